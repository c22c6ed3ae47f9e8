//! `slipway up`: wires the parts together, says where they listen, and ends them as it is told.

mod acme;
mod adapters;
#[cfg(feature = "failpoints")]
mod failing;
mod fence;
mod front;
pub(crate) mod gateway;
mod hooks;
mod standing;
mod web;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use slipway_control::{Clock, Control, Parts};
use slipway_core::instance::Target;
use slipway_gateway::hub::{Hub, Invited, Settings};
use slipway_registry::Blobs;
use slipway_server::{App, Challenges, Farewell};
use slipway_store::{Address, Store};
use slipway_target::Prober;
use slipway_target::process::ProcessTarget;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::args::{Common, Up};
use crate::database;
use crate::exit;
use crate::folder::{self, Folder};
use crate::up::acme::Keeper;
use crate::up::fence::{Fence, Fenced};
use crate::up::front::Front;
use crate::up::gateway::Starter;
use crate::up::standing::{Standing, Stood};

pub(crate) use fence::is_overtaken;

/// How long requests in flight may go on when everything ends.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the API's open connections may hold up the end.
const API_DRAIN: Duration = Duration::from_secs(2);
/// Before a control plane that could not take over or stand by tries again.
const AGAIN: Duration = Duration::from_secs(1);

/// What ends a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Only the control plane; gateway and instances go on.
    Control,
    /// Everything.
    All,
    /// Another control plane has taken over.
    Overtaken,
}

/// What stays the same, whoever drives.
struct Ground<'a> {
    common: &'a Common,
    up: &'a Up,
    folder: Folder,
    database: Option<Address>,
    api: std::net::SocketAddr,
    front: Front,
    /// Whether whoever started this was told how it goes.
    announced: Cell<bool>,
}

/// Runs until told to end.
pub(crate) async fn run(common: &Common, up: Up) -> Result<u8> {
    // First of all: whoever ends this while it starts must not leave half of it running.
    let mut told = Told::new()?;
    let database = up.database.as_deref().map(database::address).transpose()?;
    let folder = Folder::find(common.data.as_deref())?;
    folder.create()?;
    let alone = match database {
        None => Some(Store::open(folder.path()).await?),
        Some(_) => None,
    };
    let listener = TcpListener::bind(up.api).await.with_context(|| {
        format!("the API cannot listen at {}; another program may have the port: choose another with --api", up.api)
    })?;
    let api = listener.local_addr()?;
    let front = Front::new()?;
    let stop = CancellationToken::new();
    let server = tokio::spawn({
        let (closing, app) = (stop.clone(), front.router());
        let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
        async move { axum::serve(listener, app).with_graceful_shutdown(async move { closing.cancelled().await }).await }
    });
    let ground = Ground { common, up: &up, folder, database, api, front, announced: Cell::new(false) };
    let ended = match alone {
        Some(store) => ground.drive(store, &mut told).await.map(|_| ()),
        None => ground.take_turns(&mut told).await,
    };
    stop.cancel();
    let _ = tokio::time::timeout(API_DRAIN, server).await;
    ended.map(|()| exit::OK)
}

impl Ground<'_> {
    /// Stands by and drives, as the others leave it, until told to end.
    async fn take_turns(&self, told: &mut Told) -> Result<()> {
        let Some(database) = &self.database else { return Ok(()) };
        // Kept from one term to the next: what was taken down meanwhile stays down.
        let mut seen = 0;
        loop {
            let address = format!("http://{}", self.api);
            let named = |error| database::named(error, database);
            let mut standing = match Standing::join(&self.folder, database, address, seen).await {
                Ok(standing) => standing,
                // Whoever starts must know at once; whoever has stood by or driven goes on.
                Err(error) if self.announced.get() && is_away(&error) => {
                    tracing::warn!(error = format!("{error:#}"), "it cannot stand by yet");
                    tokio::select! {
                        () = tokio::time::sleep(AGAIN) => continue,
                        _ = told.interrupt.recv() => return Ok(()),
                        _ = told.terminate.recv() => return Ok(()),
                    }
                }
                Err(error) => return Err(named(error)),
            };
            let joined = || self.announce(&gateway::of_driver(&self.folder, self.up.traffic)?, None, true);
            let stood = tokio::select! {
                stood = standing.stand(&self.front, self.announced.get(), joined) => stood.map_err(named)?,
                _ = told.interrupt.recv() => return Ok(()),
                _ = told.terminate.recv() => return Ok(()),
            };
            seen = standing.seen();
            drop(standing);
            match stood {
                Stood::TakenDown => return Ok(()),
                Stood::Leads(store) => match self.drive(store.clone(), told).await {
                    Ok(End::Overtaken) => {
                        tracing::warn!("another control plane has taken over: this one stands by from now on");
                    }
                    Ok(End::All | End::Control) => return Ok(()),
                    // What has begun to end is not taken up again.
                    Err(error) if self.announced.get() && !store.is_taken_down() => {
                        tracing::error!(
                            error = format!("{error:#}"),
                            "this control plane could not take over: it stands by, and tries again where nobody else does"
                        );
                        tokio::time::sleep(AGAIN).await;
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Drives until told to end, or until another has taken over.
    async fn drive(&self, store: Store, told: &mut Told) -> Result<End> {
        // From the first moment on: starting may take longer than a lease.
        let mut holding = tokio::spawn({
            let store = store.clone();
            async move { store.hold().await }
        });
        let end = self.lead(&store, told, &mut holding).await;
        holding.abort();
        if !matches!(end, Ok(End::All | End::Control)) {
            self.front.wait();
        }
        store.close().await;
        end
    }

    async fn lead(&self, store: &Store, told: &mut Told, holding: &mut JoinHandle<u64>) -> Result<End> {
        let folder = &self.folder;
        let start = store.start_number();
        let fence = self.database.as_ref().map(|_| Fence::raise(folder, start)).transpose()?;
        let clock = Clock::starting(store.newest_at().await?);
        let token = folder::first_token(folder)?;
        store.insert_token("first", &token, clock.now()).await?;

        let mut starter = Starter::new(folder, self.up)?;
        let challenges = Challenges::default();
        let obtaining = match starter.tls() {
            Some(tls) => {
                let keeping = (store.clone(), clock);
                Keeper::new(folder, &self.up.acme, &tls.certificates, challenges.clone(), keeping)?
            }
            None => None,
        };
        starter.check_certificates()?;
        starter.check_port()?;
        let hub = self.hub(start).await?;
        // However this ends, and whoever still holds it: it is another's turn to hear gateways.
        let _ends = hub.ends_with();
        starter.expect(&hub);
        let mut child = starter.ensure()?;
        let target = Arc::new(process_target(folder, clock, fence.as_ref().map(|_| start))?);
        let blobs = Blobs::open(folder.artifacts()).context("the artifacts cannot be opened")?;
        let parts = Parts {
            store: store.clone(),
            target: match fence.clone() {
                Some(fence) => Arc::new(Fenced { target: target.clone(), fence }),
                None => target.clone(),
            },
            router: Arc::new(adapters::Gateways(hub.clone())),
            prober: Arc::new(adapters::Probes(Prober::default())),
            artifacts: Arc::new(adapters::Kept(blobs.clone())),
            receivers: Arc::new(hooks::Outside::new(folder)?),
            clock,
        };
        #[cfg(feature = "failpoints")]
        let parts = failing::through(parts);
        let control = Control::start(parts).await?;
        let (farewell, asked) = mpsc::channel::<Farewell>(1);
        let app = App { control: control.clone(), known: Default::default(), challenges, blobs, farewell };
        self.front.own(slipway_server::router(app));
        let announced = async {
            let traffic = starter.called(&hub, &mut child).await?;
            let written = json!({ "address": self.api.to_string(), "pid": std::process::id() });
            folder::replace(&folder.api(), &written.to_string())?;
            self.announce(&traffic.to_string(), starter.speaks_tls_at(), false)
        };
        let announced = tokio::select! {
            announced = announced => announced,
            _ = &mut *holding => Err(anyhow!("another control plane has taken over")),
        };
        if let Err(error) = announced {
            self.front.wait();
            control.stop().await;
            // What was started is the other's by then.
            if holding.is_finished() || fence.as_ref().is_some_and(Fence::is_overtaken) {
                tracing::warn!(error = format!("{error:#}"), "overtaken before it was up");
                return Ok(End::Overtaken);
            }
            if let Some(mut child) = child {
                // Nobody would watch it.
                let _ = child.kill().await;
            }
            return Err(error);
        }

        let watch = tokio::spawn(starter.watch(hub.clone(), start, fence.clone(), child));
        let obtaining = obtaining.map(|keeper| tokio::spawn(keeper.keep()));
        let end = tokio::select! {
            end = told.wait(asked) => end,
            by = holding => {
                tracing::warn!(by = by.unwrap_or_default(), own = start, "overtaken");
                End::Overtaken
            }
        };
        watch.abort();
        if let Some(obtaining) = obtaining {
            obtaining.abort();
        }
        if end == End::Overtaken {
            self.front.wait();
        }
        control.stop().await;
        if end == End::All {
            take_down(folder, store, fence.as_ref(), &target).await?;
        }
        Ok(end)
    }

    /// The other end of gateways' links.
    async fn hub(&self, start: u64) -> Result<Hub> {
        let invited = Some(Invited { listen: self.up.gateways_listen, folder: self.folder.gateways() });
        let settings = Settings {
            control_file: self.folder.gateway().join("control.json"),
            token: slipway_server::secret(),
            api: Some(self.api),
            start,
            grace: self.up.gateway_grace.as_duration(),
            invited,
        };
        Hub::open(settings).await.context("gateways cannot be listened for (see --gateways-listen)")
    }

    fn announce(&self, traffic: &str, tls: Option<std::net::SocketAddr>, standby: bool) -> Result<()> {
        use std::io::Write;
        let tls = tls.map(|tls| format!("https://{tls}"));
        let (data, token, api) = (self.folder.path().display(), self.folder.token(), self.api);
        let text = match self.common.json {
            true => json!({ "api": format!("http://{api}"), "traffic": format!("http://{traffic}"), "tls": tls, "data": data.to_string(), "token_file": token, "standby": standby }).to_string(),
            false => format!(
                "{}\n  console  http://{api}/\n  API      http://{api}\n  traffic  http://{traffic}{}\n  data     {data}\n  token    {}\n{}",
                if standby { "Slipway stands by: another control plane drives." } else { "Slipway is up." },
                tls.as_ref().map(|tls| format!(" and {tls}")).unwrap_or_default(),
                token.display(),
                if standby {
                    "Requests are passed on to it. Interrupt and SIGTERM stop only this one."
                } else {
                    "Interrupt stops everything; SIGTERM only the control plane."
                },
            ),
        };
        let mut out = std::io::stdout();
        writeln!(out, "{text}")?;
        out.flush()?;
        self.announced.set(true);
        Ok(())
    }
}

/// Whether it may be otherwise in a moment: the database does not answer.
fn is_away(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(slipway_store::Error::Unavailable(_)))
}

/// Instances as local processes; for one of several control planes with the number of its start.
fn process_target(folder: &Folder, clock: Clock, start: Option<u64>) -> Result<ProcessTarget> {
    let program = crate::program::own()?;
    let mut words = vec!["run-instance".into()];
    words.extend(start.into_iter().flat_map(|start| ["--of".into(), start.to_string().into()]));
    let target = ProcessTarget::new(folder.instances(), program, words, Arc::new(move || clock.now()));
    target.context("the instances cannot be taken over")
}

/// The ways in which this can be told to end.
struct Told {
    interrupt: Signal,
    terminate: Signal,
}

impl Told {
    fn new() -> Result<Told> {
        Ok(Told { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wait(&mut self, mut asked: mpsc::Receiver<Farewell>) -> End {
        tokio::select! {
            _ = self.interrupt.recv() => End::All,
            _ = self.terminate.recv() => End::Control,
            Some(Farewell) = asked.recv() => End::All,
        }
    }
}

/// Ends gateway and instances, unless they are another's by now: whoever stood still is told to end before it hears that
/// it was overtaken.
async fn take_down(folder: &Folder, store: &Store, fence: Option<&Fence>, target: &ProcessTarget) -> Result<()> {
    // Before anything ends, so that none of those that stand by brings it back.
    let own = store.take_down().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "those that stand by cannot be told to end");
        true
    });
    let overtaken = || fence.is_some_and(Fence::is_overtaken);
    if !own || overtaken() {
        tracing::warn!("another control plane has taken over: only this one ends");
        return Ok(());
    }
    gateway::stop(folder, DRAIN).await?;
    // Somebody may have started another meanwhile.
    if overtaken() {
        return Ok(());
    }
    stop_instances(target).await
}

/// Stops every instance; those too whose start was under way.
async fn stop_instances(target: &ProcessTarget) -> Result<()> {
    loop {
        target.stop_all().await.context("not every instance could be stopped")?;
        if Target::instances(target).is_empty() {
            return Ok(());
        }
    }
}

/// Ends gateway and instances of a data folder that nobody drives. Whether there were any.
pub(crate) async fn stop_leftovers(folder: &Folder) -> Result<bool> {
    // Both claim the folder, so that nobody starts to drive meanwhile.
    let (store, clock, _claim) = if folder.is_shared() {
        (None, Clock::starting(Default::default()), Some(slipway_store::claim(folder.path()).await?))
    } else if folder.path().join("slipway.db").exists() {
        let store = Store::open(folder.path()).await?;
        let clock = Clock::starting(store.newest_at().await?);
        (Some(store), clock, None)
    } else {
        return Ok(false);
    };
    let had_gateway = gateway::stop(folder, DRAIN).await?;
    let target = process_target(folder, clock, None)?;
    let instances = Target::instances(&target).len();
    stop_instances(&target).await?;
    if let Some(store) = store {
        store.close().await;
    }
    Ok(had_gateway || instances > 0)
}
