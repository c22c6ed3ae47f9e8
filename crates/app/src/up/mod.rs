//! `slipway up`: wires the parts together, says where they listen, and ends them as it is told.

mod adapters;
mod gateway;
mod hooks;
pub(crate) mod lock;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use slipway_control::{Clock, Control, Parts};
use slipway_core::instance::Target;
use slipway_gateway::hub::Hub;
use slipway_registry::Blobs;
use slipway_server::{App, Farewell};
use slipway_store::Store;
use slipway_target::Prober;
use slipway_target::process::ProcessTarget;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::args::{Common, Up};
use crate::exit;
use crate::folder::{self, Folder};
use crate::up::gateway::Starter;

/// How long requests in flight may go on when everything ends.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the API's open connections may hold up the end.
const API_DRAIN: Duration = Duration::from_secs(2);

/// What ends a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Only the control plane; gateway and instances go on.
    Control,
    /// Everything.
    All,
}

/// Runs until told to end.
pub(crate) async fn run(common: &Common, up: Up) -> Result<u8> {
    // First of all: whoever ends this while it starts must not leave half of it running.
    let mut told = Told::new()?;
    let folder = Folder::find(common.data.as_deref())?;
    folder.create()?;
    let store = Store::open(folder.path()).await?;
    let listener = TcpListener::bind(up.api).await.with_context(|| {
        format!("the API cannot listen at {}; another program may have the port: choose another with --api", up.api)
    })?;
    let api = listener.local_addr()?;
    let clock = Clock::starting(store.newest_at().await?);
    let token = folder::first_token(&folder)?;
    store.insert_token("first", &token, clock.now()).await?;

    let mut starter = Starter::new(&folder, &up)?;
    starter.check_port()?;
    let hub = Hub::bind_beside(folder.gateway().join("control.json"), slipway_server::secret(), Some(api)).await?;
    let mut child = starter.ensure()?;
    let target = Arc::new(process_target(&folder, clock)?);
    let blobs = Blobs::open(folder.artifacts()).context("the artifacts cannot be opened")?;
    let prober = Prober::default();
    let control = Control::start(Parts {
        store: store.clone(),
        target: target.clone(),
        router: Arc::new(adapters::Gateways(hub.clone())),
        prober: Arc::new(adapters::Probes(prober)),
        artifacts: Arc::new(adapters::Kept(blobs.clone())),
        receivers: Arc::new(hooks::Outside::new(&folder)?),
        clock,
    })
    .await?;
    let (farewell, asked) = mpsc::channel::<Farewell>(1);
    let stop = CancellationToken::new();
    let app = slipway_server::router(App { control: control.clone(), known: Default::default(), blobs, farewell });
    let closing = stop.clone();
    let server = tokio::spawn(async move {
        let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
        axum::serve(listener, app).with_graceful_shutdown(async move { closing.cancelled().await }).await
    });
    let traffic = match starter.called(&hub, &mut child).await {
        Ok(traffic) => traffic,
        Err(error) => {
            control.stop().await;
            if let Some(mut child) = child {
                // Nobody would watch it.
                let _ = child.kill().await;
            }
            return Err(error);
        }
    };
    folder::replace(&folder.api(), &json!({ "address": api.to_string(), "pid": std::process::id() }).to_string())?;
    announce(common, &folder, &api.to_string(), &traffic.to_string())?;

    let watch = tokio::spawn(starter.watch(child));
    let end = told.wait(asked).await;
    watch.abort();
    control.stop().await;
    if end == End::All {
        gateway::stop(&folder, DRAIN).await?;
        stop_instances(&target).await?;
    }
    stop.cancel();
    let _ = tokio::time::timeout(API_DRAIN, server).await;
    store.close().await;
    Ok(exit::OK)
}

fn process_target(folder: &Folder, clock: Clock) -> Result<ProcessTarget> {
    let program = std::env::current_exe().context("this program cannot be found again")?;
    let target =
        ProcessTarget::new(folder.instances(), program, vec!["run-instance".into()], Arc::new(move || clock.now()));
    target.context("the instances cannot be taken over")
}

fn announce(common: &Common, folder: &Folder, api: &str, traffic: &str) -> Result<()> {
    use std::io::Write;
    let (data, token) = (folder.path().display(), folder.token());
    let text = match common.json {
        true => json!({ "api": format!("http://{api}"), "traffic": format!("http://{traffic}"), "data": data.to_string(), "token_file": token }).to_string(),
        false => format!(
            "Slipway is up.\n  console  http://{api}/\n  API      http://{api}\n  traffic  http://{traffic}\n  data     {data}\n  token    {}\n\
             Interrupt stops everything; SIGTERM only the control plane.",
            token.display()
        ),
    };
    let mut out = std::io::stdout();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
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
    if !folder.path().join("slipway.db").exists() {
        return Ok(false);
    }
    // Claims the folder, so that nobody starts to drive meanwhile.
    let store = Store::open(folder.path()).await?;
    let clock = Clock::starting(store.newest_at().await?);
    let had_gateway = gateway::stop(folder, DRAIN).await?;
    let target = process_target(folder, clock)?;
    let instances = Target::instances(&target).len();
    stop_instances(&target).await?;
    store.close().await;
    Ok(had_gateway || instances > 0)
}
