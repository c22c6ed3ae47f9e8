//! The control plane's end of the control link: hands every gateway the newest table, and knows what each of them
//! has acknowledged, counted and noticed.
//!
//! It decides nothing and remembers nothing on disk. A gateway that calls again after a restart of the control plane
//! says everything anew. Called by the control plane's drivers; all calls but [`Hub::wait_acked`] return at once.

mod session;
mod tally;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use slipway_core::names::InstanceId;
use slipway_core::traffic::link::{CountRow, Ejection, Event, Lapse, ToGateway};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::{Millis, Timestamp};

use self::tally::Tally;

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
    /// Its name, stable over restarts.
    pub name: String,
    /// New at every start of its process.
    pub boot: String,
    /// Its process id.
    pub pid: u32,
    /// Where it listens for traffic.
    pub traffic: SocketAddr,
    /// Whether the link is up.
    pub connected: bool,
    /// The newest table that it confirmed: no new request of its is routed by an older one.
    pub acked: Generation,
    /// Epochs whose lease ran out there and that no newer one has followed.
    pub lapsed: Vec<Lapse>,
    /// Instances that it does not use at present.
    pub ejected: Vec<Ejection>,
    /// Requests in flight on instances that have left its table; absent until it has told.
    pub leaving: Option<Vec<(InstanceId, u64)>>,
    /// When it last said anything.
    pub last_seen: Timestamp,
}

/// Called after every acknowledgement, count, event, connection and loss of one.
type Nudge = Arc<dyn Fn() + Send + Sync>;

struct Shared {
    token: String,
    address: SocketAddr,
    /// The newest table.
    table: watch::Sender<Option<Arc<RoutingTable>>>,
    state: Mutex<State>,
    changed: Notify,
    stopped: CancellationToken,
}

#[derive(Default)]
struct State {
    gateways: HashMap<String, Known>,
    /// Boots that gave way to a newer one of their name: they may not come back.
    fenced: HashSet<String>,
    tally: Tally,
    events: VecDeque<(String, Event)>,
    nudge: Option<Nudge>,
    connections: u64,
}

struct Known {
    state: GatewayState,
    /// The live connection's number, and where its messages go.
    connection: u64,
    outbox: mpsc::UnboundedSender<ToGateway>,
    /// Cancelled when another connection takes over.
    replaced: CancellationToken,
}

impl Hub {
    /// Listens on a free loopback port and writes it, with `token`, into `control_file` (mode 0600, replaced whole).
    pub async fn bind(control_file: PathBuf, token: impl Into<String>) -> io::Result<Hub> {
        Hub::bind_beside(control_file, token, None, 0).await
    }

    /// The same, and tells gateways where the API listens, so that they can pass reports of outcomes on, and which start
    /// of a control plane this is: they leave earlier ones for it, and go back to none.
    pub async fn bind_beside(
        control_file: PathBuf,
        token: impl Into<String>,
        api: Option<SocketAddr>,
        start: u64,
    ) -> io::Result<Hub> {
        let token = token.into();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        write_control_file(&control_file, address, &token, api, start)?;
        let stopped = CancellationToken::new();
        let shared = Arc::new(Shared {
            token,
            address,
            table: watch::Sender::new(None),
            state: Mutex::default(),
            changed: Notify::new(),
            stopped: stopped.clone(),
        });
        tokio::spawn(session::accept(shared.clone(), listener));
        Ok(Hub { shared, _end: Arc::new(stopped.drop_guard()) })
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

    /// Forgets a gateway that will not come back, so that nobody waits for it.
    pub fn forget(&self, name: &str) {
        let mut state = self.shared.state();
        if state.gateways.get(name).is_some_and(|k| !k.state.connected) {
            state.gateways.remove(name);
        }
        drop(state);
        self.shared.note_change();
    }

    /// Waits until every live gateway, and at least one, serves this generation or a newer one; false when the time
    /// is over. A gateway whose link is down counts as live while its process runs: it may still serve an older table.
    pub async fn wait_acked(&self, generation: Generation, timeout: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_acked(generation) {
                return true;
            }
            // A process that ends without a word changes nothing here, so it is looked at again now and then.
            let look_again = deadline.min(tokio::time::Instant::now() + Duration::from_millis(50));
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(look_again) => {
                    if look_again == deadline {
                        return self.is_acked(generation);
                    }
                }
            }
        }
    }

    /// Whether every live gateway, and at least one, serves this generation or a newer one.
    pub fn is_acked(&self, generation: Generation) -> bool {
        let state = self.shared.state();
        let behind = |s: &GatewayState| s.acked < generation && (s.connected || runs(s.pid));
        let connected = state.gateways.values().any(|k| k.state.connected);
        connected && !state.gateways.values().any(|k| behind(&k.state))
    }

    /// What all gateways counted, summed over them and over their starts: one row per lane, epoch and version, of the
    /// newest eight epochs of each lane. A key that was bad at two gateways, or before and after a restart of one, is
    /// two keys.
    pub fn counts(&self) -> Vec<CountRow> {
        self.shared.state().tally.rows()
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

/// Whether a process of this machine runs. One that has ended but was not waited for yet does not.
fn runs(pid: u32) -> bool {
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        && let Some((_, after_name)) = stat.rsplit_once(')')
    {
        return !matches!(after_name.trim_start().chars().next(), Some('Z' | 'X'));
    }
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

fn write_control_file(
    file: &Path,
    address: SocketAddr,
    token: &str,
    api: Option<SocketAddr>,
    start: u64,
) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut content = serde_json::json!({ "address": address, "token": token, "start": start });
    if let Some(api) = api {
        content["api"] = api.to_string().into();
    }
    crate::table_store::replace(file, format!("{content}\n").as_bytes())
}
