//! The control plane's end of the control link: hands every gateway the newest table, and knows what each of them
//! has acknowledged, counted and noticed.
//!
//! It decides nothing. A gateway that calls again after a restart of the control plane says everything anew; on disk is
//! only who was invited. Called by the control plane's drivers; all calls but [`Hub::wait_acked`] return at once.

mod authority;
mod beside;
mod door;
mod draining;
mod fence;
mod hello;
mod invite;
mod listen;
mod notes;
mod refusal;
mod reports;
mod roster;
mod session;
mod tally;
mod watch;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch as watch_channel};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use slipway_core::names::{InstanceId, LaneId};
use slipway_core::traffic::link::{CountRow, Ejection, Event, Follows, Lapse, Machine, ToGateway};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::{Millis, Timestamp};

use crate::machine;
use crate::outcomes::Reports;

use self::authority::Authority;
use self::beside::ControlFile;
use self::fence::Fence;
use self::roster::Roster;
use self::tally::Tally;

pub(crate) use self::authority::{CONTROL, hash};
pub(crate) use self::watch::{SILENCE, WRITE_LIMIT};

/// Events that wait to be taken, at most; the oldest go first.
const EVENTS_KEPT: usize = 65_536;

/// The control plane's end of the link. Clones are the same hub; it ends with the last of them.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
    _end: Arc<DropGuard>,
}

/// What the control plane knows of one gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayState {
    /// Its name, stable over restarts; while it drains, with a dot and its process id behind that.
    pub name: String,
    /// New at every start of its process.
    pub boot: String,
    /// Its process id.
    pub pid: u32,
    /// Where it listens for traffic.
    pub traffic: SocketAddr,
    /// Whether the link is up.
    pub connected: bool,
    /// Whether it runs on this machine, where its process is known by its id.
    pub here: bool,
    /// Whether another process serves in its place, so that it accepts nothing and ends with its connections.
    pub draining: bool,
    /// The version of its program, where it said.
    pub program: Option<String>,
    /// Whose place it has taken, where its program was replaced.
    pub follows: Option<Follows>,
    /// Its process has ended: it serves nobody.
    pub ended: bool,
    /// Since when it has been out of the count, because it was not heard of for longer than the grace.
    pub lost: Option<Timestamp>,
    /// The newest table that it confirmed: no new request of its is routed by an older one.
    pub acked: Generation,
    /// The newest table that it may have got; absent where it has not called since this control plane's start.
    pub sent: Option<Generation>,
    /// Epochs whose lease ran out there and that no newer one has followed.
    pub lapsed: Vec<Lapse>,
    /// Instances that it does not use at present.
    pub ejected: Vec<Ejection>,
    /// Requests in flight on instances that have left its table; absent until it has told.
    pub leaving: Option<Vec<(InstanceId, u64)>>,
    /// Lanes some of whose instances it was not told of: it is of an earlier release, and cannot read where they listen.
    pub without: Vec<LaneId>,
    /// What a person should mend there, as it said, or as whoever looks after its process did.
    pub trouble: Option<String>,
    /// When it last said anything.
    pub last_seen: Timestamp,
}

impl GatewayState {
    /// Whether its acknowledgement is waited for: it serves, or may.
    pub fn counts(&self) -> bool {
        self.connected || !(self.ended || self.lost.is_some())
    }
}

/// How a hub is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where gateways of this data folder find address and token; mode 0600, replaced whole.
    pub control_file: PathBuf,
    /// The secret that they say.
    pub token: String,
    /// Where the API listens, so that reports of outcomes can be passed on: by gateways of this data folder, and by this hub for
    /// those that joined.
    pub api: Option<SocketAddr>,
    /// Which start of a control plane this is: gateways leave earlier ones for it, and go back to none.
    pub start: u64,
    /// How long a gateway that is not heard of still counts.
    pub grace: Duration,
    /// Gateways that are invited, where there may be any.
    pub invited: Option<Invited>,
}

/// Where gateways that are invited call.
#[derive(Debug, Clone)]
pub struct Invited {
    /// Where they call, by TLS alone; absent where they cannot at present, and are only waited for.
    pub listen: Option<SocketAddr>,
    /// Who was invited, and what certificates are signed with.
    pub folder: PathBuf,
}

/// How long a gateway that is not heard of still counts: the silence after which nothing of it is renewed any more, a lease of
/// 15 s after that, and a second to spare. By then it has stopped to divide traffic by itself.
pub const GRACE: Duration = Duration::from_secs(20);

/// Called after every acknowledgement, count, event, connection and loss of one.
type Nudge = Arc<dyn Fn() + Send + Sync>;

struct Shared {
    token: String,
    address: SocketAddr,
    /// Where the API listens.
    api: Option<SocketAddr>,
    control_file: ControlFile,
    /// Where invited gateways call, and who vouches for them.
    invited: Option<(SocketAddr, Authority)>,
    grace: Duration,
    machine: Machine,
    /// The newest table.
    table: watch_channel::Sender<Option<Arc<RoutingTable>>>,
    state: Mutex<State>,
    changed: Notify,
    stopped: CancellationToken,
}

#[derive(Default)]
struct State {
    gateways: HashMap<String, Known>,
    roster: Roster,
    /// What of reports is on its way, by the gateway that took them.
    reports: HashMap<String, Arc<Reports>>,
    fenced: Fence,
    /// Who was refused, and why, as far as it was said.
    refused: HashSet<(String, &'static str)>,
    tally: Tally,
    events: VecDeque<(String, Event)>,
    nudge: Option<Nudge>,
    connections: u64,
}

struct Known {
    state: GatewayState,
    /// When it last said anything, or this hub began to listen.
    heard: Instant,
    /// Whether it says that it is there while it has nothing else to say.
    beats: bool,
    /// The live connection's number, and where its messages go.
    connection: u64,
    outbox: mpsc::UnboundedSender<ToGateway>,
    /// Cancelled when another connection takes over.
    replaced: CancellationToken,
}

impl Hub {
    /// Listens on a free loopback port and writes it, with `token`, into `control_file` (mode 0600, replaced whole).
    pub async fn bind(control_file: PathBuf, token: impl Into<String>) -> io::Result<Hub> {
        let (api, invited) = (None, None);
        Hub::open(Settings { control_file, token: token.into(), api, start: 0, grace: GRACE, invited }).await
    }

    /// Listens, for gateways of this data folder on a free loopback port, and for those that are invited.
    pub async fn open(settings: Settings) -> io::Result<Hub> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let roster = match &settings.invited {
            Some(invited) => Roster::open(&invited.folder)?,
            None => Roster::default(),
        };
        let (door, invited) = match &settings.invited {
            Some(Invited { listen: Some(listen), folder }) => {
                let authority = Authority::open(folder)?;
                let (listener, at) = match TcpListener::bind(listen).await {
                    // Another control plane that was overtaken may hold it, for as long as it stands still.
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => (None, *listen),
                    bound => {
                        let listener = bound?;
                        let at = listener.local_addr()?;
                        (Some(listener), at)
                    }
                };
                (Some((listener, authority.acceptor()?)), Some((at, authority)))
            }
            _ => (None, None),
        };
        let control_file = ControlFile::of(&settings, address);
        control_file.write()?;
        let stopped = CancellationToken::new();
        let state = State { gateways: invite::expected(&roster), roster, ..State::default() };
        let shared = Arc::new(Shared {
            token: settings.token,
            address,
            api: settings.api,
            control_file,
            invited,
            grace: settings.grace,
            machine: machine::here(),
            table: watch_channel::Sender::new(None),
            state: Mutex::new(state),
            changed: Notify::new(),
            stopped: stopped.clone(),
        });
        tokio::spawn(listen::accept(shared.clone(), listener));
        if let Some((listener, acceptor)) = door {
            let shared = shared.clone();
            tokio::spawn(async move {
                let listener = match listener {
                    Some(listener) => listener,
                    None => match listen::bind(&shared).await {
                        Some(listener) => listener,
                        None => return,
                    },
                };
                listen::accept_invited(shared, listener, acceptor).await;
            });
        }
        tokio::spawn(watch::watch(shared.clone()));
        Ok(Hub { shared, _end: Arc::new(stopped.drop_guard()) })
    }

    /// Ends it with what is returned, whoever still has it: it hears no gateway from then on, and writes nothing down.
    pub fn ends_with(&self) -> DropGuard {
        self.shared.stopped.clone().drop_guard()
    }

    /// Where gateways call.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Hands `table` to every gateway, now and whenever one calls. One that is not newer than the last is dropped:
    /// an old leader cannot act.
    pub fn publish(&self, table: RoutingTable) {
        self.shared.table.send_if_modified(|current| {
            let newer = current.as_ref().is_none_or(|c| c.generation < table.generation);
            if newer {
                *current = Some(Arc::new(table));
            }
            newer
        });
    }

    /// The leases of the splits in the table with this generation hold for another term.
    pub fn renew(&self, generation: Generation, term: Millis) {
        self.tell(ToGateway::Renew { generation, term });
    }

    /// Tells every connected gateway to finish what is in flight and to end.
    pub fn shutdown(&self, drain: Millis) {
        self.tell(ToGateway::Shutdown { drain });
    }

    fn tell(&self, message: ToGateway) {
        for known in self.shared.state().gateways.values().filter(|k| k.state.connected) {
            // A connection that has just ended takes no messages; its gateway will call again.
            let _ = known.outbox.send(message.clone());
        }
    }

    /// Every gateway that ever called, by name.
    pub fn gateways(&self) -> Vec<GatewayState> {
        let mut all: Vec<_> = self.shared.state().gateways.values().map(|k| k.state.clone()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Notes what whoever looks after a gateway's process has to say of it, until it says something itself.
    pub fn note_trouble(&self, name: &str, trouble: Option<String>) {
        if let Some(known) = self.shared.state().gateways.get_mut(name) {
            known.state.trouble = trouble;
        }
        self.shared.note_change();
    }

    /// Waits until every gateway that counts, and at least one, serves this generation or a newer one; false when the
    /// time is over.
    pub async fn wait_acked(&self, generation: Generation, timeout: Duration) -> bool {
        let acked = async {
            loop {
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.is_acked(generation) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(timeout, acked).await.is_ok()
    }

    /// Whether every gateway that counts, and at least one, serves this generation or a newer one.
    pub fn is_acked(&self, generation: Generation) -> bool {
        let state = self.shared.state();
        let mut states = state.gateways.values().map(|k| &k.state);
        let connected = states.clone().any(|s| s.connected);
        connected && !states.any(|s| s.counts() && s.acked < generation)
    }

    /// What all gateways counted, summed over them and over their starts: one row per lane, epoch and version, of the
    /// newest eight epochs of each lane. A key that was bad at two gateways, or before and after a restart of one, is
    /// two keys.
    pub fn counts(&self) -> Vec<CountRow> {
        self.shared.state().tally.rows()
    }

    /// The same, and what of it gateways had counted while they were not heard of: before this control plane was there, or
    /// their link. When that was, nobody knows.
    pub fn counted(&self) -> (Vec<CountRow>, Vec<CountRow>) {
        let state = self.shared.state();
        (state.tally.rows(), state.tally.unheard())
    }

    /// Takes the events that have come since the last call, each with its gateway's name.
    pub fn drain_events(&self) -> Vec<(String, Event)> {
        self.shared.state().events.drain(..).collect()
    }

    /// Calls `nudge` after every acknowledgement, count, event, connection and loss of one. It may call
    /// the hub, and must not block.
    pub fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        self.shared.state().nudge = Some(nudge);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_change(&self) {
        self.changed.notify_waiters();
        let nudge = self.state().nudge.clone();
        if let Some(nudge) = nudge {
            nudge();
        }
    }
}
