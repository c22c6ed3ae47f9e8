//! The gateway process: its start, its listeners, its end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::access_log::AccessLog;
use crate::fast::{self, Rest};
use crate::gateway::Gateway;
use crate::link::Control;
use crate::socket::listen;
use crate::table_store::TableStore;
use crate::tls::{self, Certificates, Tls};
use crate::upgrade::elder::Elder;
use crate::upgrade::{Listeners, Report, STEP_LIMIT, Succession, manager};
use crate::{Error, connection, health, link, metrics};

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens for traffic.
    pub listen: SocketAddr,
    /// Its own folder: the last table, the lapses, and `admin.json` with the address of `/metrics`.
    pub state_dir: PathBuf,
    /// How the control plane is found.
    pub control: Control,
    /// Its name, stable over restarts; two gateways of one control plane have different names.
    pub name: String,
    /// A file for one line of JSON per request.
    pub access_log: Option<PathBuf>,
    /// Where TLS is spoken, if it is.
    pub tls: Option<Tls>,
}

/// Limits and intervals that are the same for every route. The defaults are meant to be kept; tests shorten them.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// How long a client may take for a request's head, and be idle between requests.
    pub header_timeout: Duration,
    /// Largest header section in bytes; 431 above.
    pub header_bytes: usize,
    /// Longest path and query in bytes; 414 above.
    pub uri_bytes: usize,
    /// How long an instance may take to accept a connection.
    pub connect_timeout: Duration,
    /// How long a connection to an instance is kept idle: shorter than what common servers keep (5 s).
    pub idle_upstream: Duration,
    /// First pause before an ejected instance is tried again; it doubles each time.
    pub probe_first: Duration,
    /// Longest such pause.
    pub probe_longest: Duration,
    /// How long a start waits for the control plane's newest table before it serves what it has.
    pub table_wait: Duration,
    /// How long a start tries for a port that is still taken.
    pub port_wait: Duration,
    /// How long in-flight requests may go on after SIGTERM.
    pub drain: Duration,
    /// Client connections at once, if the process may have so many files; who comes after is told so.
    pub connections: usize,
    /// Connections to instances at once, if the process may have so many files; who needs one more waits for it.
    pub instance_connections: usize,
    /// How long a client may send nothing of a body that the instance waits for.
    pub body_idle: Duration,
    /// What a client has to send of a body, in bytes per second of waiting for it, once it was waited for `body_grace`.
    pub body_rate: u64,
    /// See `body_rate`.
    pub body_grace: Duration,
    /// How long a client may take nothing of what is ready for it.
    pub write_idle: Duration,
    /// Requests that an HTTP/2 connection may have open at once.
    pub streams: u32,
    /// How often certificates are looked at for newer ones.
    pub certificates_every: Duration,
    /// Whether plain HTTP/1.1 requests take the short way. With an access log all take the long one, which writes it.
    pub fast: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            header_timeout: Duration::from_secs(30),
            header_bytes: 32 << 10,
            uri_bytes: 8 << 10,
            connect_timeout: Duration::from_millis(1500),
            idle_upstream: Duration::from_secs(4),
            probe_first: Duration::from_millis(200),
            probe_longest: Duration::from_secs(2),
            table_wait: Duration::from_millis(500),
            port_wait: Duration::from_secs(5),
            drain: Duration::from_secs(30),
            connections: 16_384,
            instance_connections: 32_768,
            body_idle: Duration::from_secs(30),
            body_rate: 500,
            body_grace: Duration::from_secs(20),
            write_idle: Duration::from_secs(30),
            streams: 128,
            certificates_every: Duration::from_secs(10),
            fast: true,
        }
    }
}

/// Serves until SIGTERM, SIGINT or the control plane's word ends it; in-flight requests finish first, for 30 seconds at most.
pub async fn run(config: Config) -> Result<(), Error> {
    run_with(config, Tuning::default()).await
}

/// As [`run`], with other limits and intervals. Dropping the future ends everything that the gateway does.
pub async fn run_with(config: Config, tuning: Tuning) -> Result<(), Error> {
    run_as(config, tuning, None).await
}

/// The same for a process that may follow another and give way to one: at SIGUSR2 it starts its program anew, and once that
/// serves, it ends with its own connections.
pub async fn run_as(config: Config, tuning: Tuning, mut succession: Option<Succession>) -> Result<(), Error> {
    let state = |source| Error::State { path: config.state_dir.clone(), source };
    // First of all: one that comes too early would end this process.
    let mut asked = succession.is_some().then(|| signal(SignalKind::user_defined2())).transpose().map_err(state)?;
    let heir = succession.as_mut().and_then(|succession| succession.heir.take());
    let store = match (&config.control, &heir) {
        (Control::Invited(invitation), Some(_)) => {
            TableStore::open_later(&config.state_dir, Some(&invitation.authority))
        }
        (Control::Beside(_), Some(_)) => TableStore::open_later(&config.state_dir, None),
        (Control::Invited(invitation), None) => TableStore::open_for(&config.state_dir, &invitation.authority),
        (Control::Beside(_), None) => TableStore::open(&config.state_dir),
    };
    let store = store.map_err(state)?;
    let access_log = match &config.access_log {
        Some(path) => Some(AccessLog::open(path).map_err(|source| Error::AccessLog { path: path.clone(), source })?),
        None => None,
    };
    let most = tuning.connections.min(connection::room());
    let (listeners, coming) = match heir {
        Some(heir) => {
            let (listeners, coming) = heir.listeners(config.tls.is_some()).map_err(Error::Succession)?;
            (listeners, Some(coming))
        }
        None => (bind_all(&config, tuning.port_wait).await?, None),
    };
    let certificates = config.tls.as_ref().map(Certificates::open).map(Arc::new);
    let listeners = Arc::new(listeners);
    let traffic = listeners.traffic.local_addr().map_err(|source| Error::Listen { address: config.listen, source })?;
    let gateway = Arc::new(Gateway::start(config.name.clone(), tuning, store, access_log));
    let _ends_with_us = gateway.ended.clone().drop_guard();

    let tls_address = listeners.tls.as_ref().and_then(|listener| listener.local_addr().ok());
    let tls_address = tls_address.zip(certificates.as_ref().map(|certificates| certificates.obtained));
    let (listener, admin) = metrics::bind(&config.state_dir, tls_address, succession.is_some()).await.map_err(state)?;
    let (mut unwritten, follows) = (None, coming.is_some());
    if !follows && let Err(error) = Report::forget(&config.state_dir) {
        tracing::warn!(%error, "what an earlier process began cannot be removed");
    }
    if coming.is_none()
        && let Err(error) = admin.write()
    {
        tracing::warn!(%error, "where /metrics are cannot be written (a full disk?); it serves all the same, and tries on");
        unwritten = Some(admin.clone());
    }
    let lock = succession.is_some().then(|| config.state_dir.join("lock"));
    tokio::spawn(metrics::serve(gateway.clone(), listener));
    let (held, control) = (gateway.clone(), config.control.clone());
    tokio::spawn(async move { link::run(held, &control, traffic).await });
    let held = gateway.clone();
    tokio::spawn(async move { held.keep_pulse().await });
    let held = gateway.clone();
    tokio::spawn(async move { held.watch_leases().await });
    let held = gateway.clone();
    tokio::spawn(async move { held.write_later(unwritten, lock.filter(|_| !follows)).await });
    tokio::spawn(close_idle(gateway.clone()));
    tokio::spawn(health::run(gateway.clone()));
    let mut terminate = signal(SignalKind::terminate()).map_err(state)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(state)?;

    // So that a table which was taken back meanwhile is not served.
    let come = match (coming, &succession) {
        (Some(coming), Some(succession)) => {
            Some(coming.take_over(&gateway, &succession.lock, &admin).await.map_err(Error::Succession)?)
        }
        _ => {
            gateway.catch_up().await;
            None
        }
    };
    if let Some(certificates) = certificates {
        let acceptor = tls::acceptor(certificates.clone())?;
        // It is set once, here.
        let _ = gateway.certificates.set(certificates.clone());
        tokio::spawn(tls::watch(gateway.clone(), certificates));
        tokio::spawn(tls::accept(gateway.clone(), listeners.clone(), acceptor, most));
    }
    match come {
        Some(come) => come.serves(&gateway).await,
        // One that follows is made known by the one that it follows.
        None if succession.is_some() => manager::tell("READY=1"),
        None => {}
    }
    say_start(&gateway, &config.control, traffic, tls_address.map(|(tls, _)| tls));
    let mut gives_way_for = Duration::ZERO;
    if let (Some(succession), Some(asked)) = (succession, asked.take()) {
        gives_way_for = succession.drain;
        let (listeners, state_dir) = (Arc::downgrade(&listeners), config.state_dir.clone());
        let elder = Elder { gateway: gateway.clone(), listeners, state_dir, succession, admin };
        tokio::spawn(elder.attend(asked));
    }
    tokio::select! {
        () = accept(&gateway, &listeners.traffic, most) => {}
        _ = interrupt.recv() => gateway.close(gateway.tuning.drain),
        _ = terminate.recv() => gateway.close(gateway.tuning.drain),
        () = gateway.closing.cancelled() => {}
        () = gateway.draining.cancelled() => {}
    }
    drop(listeners);
    if gateway.draining.is_cancelled() {
        gateway.running.close();
        tokio::select! {
            () = gateway.running.wait() => {}
            _ = interrupt.recv() => gateway.close(gateway.tuning.drain),
            _ = terminate.recv() => gateway.close(gateway.tuning.drain),
            () = gateway.closing.cancelled() => {}
            () = tokio::time::sleep(gives_way_for) => gateway.close(Duration::ZERO),
        }
    }
    drain(&gateway).await;
    Ok(())
}

/// Says where it listens, whom it follows, and whether there is anything to serve.
fn say_start(gateway: &Gateway, control: &Control, traffic: SocketAddr, tls: Option<SocketAddr>) {
    let tls = tls.map(|tls| format!(" and with TLS at {tls}")).unwrap_or_default();
    let connected = if gateway.connected.load(Acquire) { "connected" } else { "not connected yet" };
    let table = match gateway.served().table.is_some() {
        true => format!("routing table {} is served", gateway.served().generation().0),
        false => "there is no routing table yet".to_string(),
    };
    let name = &gateway.name;
    tracing::info!(target: crate::SAYS, "gateway {name} listens at {traffic}{tls}; control plane at {control}: {connected}; {table}");
}

/// Listens wherever it is asked to.
async fn bind_all(config: &Config, wait: Duration) -> Result<Listeners, Error> {
    let traffic = bind(config.listen, wait).await?;
    let tls = match &config.tls {
        Some(tls) => Some(bind(tls.listen, wait).await?),
        None => None,
    };
    Ok(Listeners { traffic, tls })
}

async fn bind(address: SocketAddr, wait: Duration) -> Result<TcpListener, Error> {
    let until = Instant::now() + wait;
    loop {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                return Err(Error::Listen { address, source: error });
            }
            // A predecessor that has just been killed may hold the port for another moment.
            Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(_) => return Err(Error::PortTaken { address }),
        }
    }
}

async fn accept(gateway: &Arc<Gateway>, listener: &TcpListener, most: usize) {
    let turned_away = Arc::new(tokio::sync::Semaphore::new(64));
    loop {
        match listener.accept().await {
            Ok((stream, _)) if gateway.running.len() >= most => {
                // Beyond so many nobody is even told.
                if let Ok(place) = turned_away.clone().try_acquire_owned() {
                    tokio::spawn(connection::turn_away(stream, place));
                }
            }
            Ok((stream, client)) => {
                gateway.running.spawn(serve(gateway.clone(), stream, client));
            }
            Err(error) => {
                // Out of file descriptors, mostly: connections that end will make room.
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Serves one client connection to its end.
async fn serve(gateway: Arc<Gateway>, stream: TcpStream, client: SocketAddr) {
    // Small answers must not wait for the acknowledgement of the one before; a socket that refuses is closed anyway.
    let _ = stream.set_nodelay(true);
    if !gateway.tuning.fast || gateway.access_log.is_some() {
        return connection::serve(gateway, stream, client, "http").await;
    }
    if let Some(Rest { stream, before, two }) = fast::serve(&gateway, stream, client).await {
        // What the long way keeps for a connection is large, and most connections never need it.
        Box::pin(connection::resume(gateway, stream, before, client, two)).await;
    }
}

async fn drain(gateway: &Gateway) {
    gateway.closing.cancel();
    // A program that was to follow is taken back first: two must not keep the folder.
    let mut over = gateway.handing_over.subscribe();
    let _ = tokio::time::timeout(STEP_LIMIT, over.wait_for(|on| !on)).await;
    gateway.running.close();
    let limit = *crate::gateway::lock(&gateway.drain_limit);
    if tokio::time::timeout(limit, gateway.running.wait()).await.is_err() {
        tracing::warn!("requests were still running when the drain was over: cut");
        gateway.stopped.cancel();
        gateway.running.wait().await;
    }
    // The last counts go out with the link's end; nobody waits long for a control plane that is away.
    let _ = tokio::time::timeout(Duration::from_millis(300), gateway.told_all.cancelled()).await;
    if let Some(log) = gateway.access_log.clone() {
        // It cannot fail, and a panic in there has been told already.
        let _ = tokio::task::spawn_blocking(move || log.flush()).await;
    }
}

async fn close_idle(gateway: Arc<Gateway>) {
    loop {
        tokio::select! {
            () = gateway.stopped.cancelled() => return,
            () = gateway.places.wanted() => gateway.served().upstreams().for_each(|u| u.close_idle(Duration::ZERO)),
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                gateway.served().upstreams().for_each(|u| u.close_idle(gateway.tuning.idle_upstream));
            }
        }
    }
}
