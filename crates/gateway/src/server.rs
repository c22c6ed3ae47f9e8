//! The gateway process: its start, its listeners, its end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
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
    let state = |source| Error::State { path: config.state_dir.clone(), source };
    let store = match &config.control {
        Control::Invited(invitation) => TableStore::open_for(&config.state_dir, &invitation.authority),
        Control::Beside(_) => TableStore::open(&config.state_dir),
    };
    let store = store.map_err(state)?;
    let access_log = match &config.access_log {
        Some(path) => Some(AccessLog::open(path).map_err(|source| Error::AccessLog { path: path.clone(), source })?),
        None => None,
    };
    let listener = bind(config.listen, tuning.port_wait).await?;
    let most = tuning.connections.min(connection::room());
    let secure = match &config.tls {
        Some(tls) => Some(secure(tls, tuning.port_wait).await?),
        None => None,
    };
    let traffic = listener.local_addr().map_err(|source| Error::Listen { address: config.listen, source })?;
    let gateway = Arc::new(Gateway::start(config.name.clone(), tuning, store, access_log));
    let _ends_with_us = gateway.ended.clone().drop_guard();

    let tls_address =
        secure.as_ref().and_then(|(listener, certificates)| Some((listener.local_addr().ok()?, certificates.obtained)));
    let admin = metrics::bind(&config.state_dir, tls_address).await.map_err(state)?;
    tokio::spawn(metrics::serve(gateway.clone(), admin));
    let (held, control) = (gateway.clone(), config.control.clone());
    tokio::spawn(async move { link::run(held, &control, traffic).await });
    let held = gateway.clone();
    tokio::spawn(async move { held.keep_pulse().await });
    let held = gateway.clone();
    tokio::spawn(async move { held.watch_leases().await });
    tokio::spawn(close_idle(gateway.clone()));
    tokio::spawn(health::run(gateway.clone()));
    let mut terminate = signal(SignalKind::terminate()).map_err(state)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(state)?;

    // So that a table which was taken back meanwhile is not served.
    gateway.catch_up().await;
    if let Some((listener, certificates)) = secure {
        let acceptor = tls::acceptor(certificates.clone())?;
        // It is set once, here.
        let _ = gateway.certificates.set(certificates.clone());
        tokio::spawn(tls::watch(gateway.clone(), certificates));
        tokio::spawn(tls::accept(gateway.clone(), listener, acceptor, most));
    }
    tracing::info!(address = %traffic, generation = gateway.served().generation().0, "serving");
    tokio::select! {
        () = accept(&gateway, listener, most) => {}
        _ = interrupt.recv() => gateway.close(gateway.tuning.drain),
        _ = terminate.recv() => gateway.close(gateway.tuning.drain),
        () = gateway.closing.cancelled() => {}
    }
    drain(&gateway).await;
    Ok(())
}

/// Listens for TLS, with certificates to speak it.
async fn secure(tls: &Tls, wait: Duration) -> Result<(TcpListener, Arc<Certificates>), Error> {
    let certificates = Certificates::open(tls)?;
    Ok((bind(tls.listen, wait).await?, Arc::new(certificates)))
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

async fn accept(gateway: &Arc<Gateway>, listener: TcpListener, most: usize) {
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
