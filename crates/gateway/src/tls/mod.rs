//! The listener that speaks TLS: handshakes, and certificates that are read anew while connections go on. What comes
//! out of a handshake is a connection like any other.

mod certificates;
mod pair;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use crate::connection;
use crate::gateway::Gateway;
use crate::upgrade::Listeners;

pub(crate) use certificates::Certificates;
pub use pair::Mistake;

/// How often at least the folder is looked at where the control plane puts certificates there.
const OBTAINED_EVERY: Duration = Duration::from_secs(1);

/// Where TLS is spoken, and with what.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Where the gateway listens for it.
    pub listen: SocketAddr,
    /// The folder with the certificates and their keys.
    pub certificates: PathBuf,
    /// The control plane obtains them: there may be none yet, and it is asked what proves a host to whoever issues them.
    pub obtained: bool,
}

/// When a certificate begins to hold and stops, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From when.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
}

/// When the certificate in the folder `pair` (fullchain.pem, privkey.pem) holds; `None` where there is none.
pub fn validity(pair: &Path) -> Result<Option<Validity>, Mistake> {
    let read = pair::read_folder(pair)?;
    Ok(read.map(|pair| Validity { not_before: pair.not_before, not_after: pair.not_after }))
}

/// Everything that is wrong with the certificates, before a gateway is started with them. Empty: nothing is that others
/// come in the place of by themselves.
pub fn mistakes(tls: &Tls) -> Vec<Mistake> {
    let now = pair::now();
    match pair::read_all(&tls.certificates) {
        Err(Mistake::Empty { .. }) | Ok(_) if tls.obtained => Vec::new(),
        Ok(pairs) => pairs.into_values().filter_map(|pair| pair.and_then(|p| p.check_time(now)).err()).collect(),
        Err(mistake) => vec![mistake],
    }
}

/// What handshakes are made with.
pub(crate) fn acceptor(certificates: Arc<Certificates>) -> Result<TlsAcceptor, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Takes connections until the gateway ends.
pub(crate) async fn accept(gateway: Arc<Gateway>, listeners: Arc<Listeners>, acceptor: TlsAcceptor, most: usize) {
    let Some(listener) = &listeners.tls else { return };
    loop {
        let accepted = tokio::select! {
            // Whoever has given way accepts nothing more.
            biased;
            () = gateway.closing.cancelled() => return,
            () = gateway.draining.cancelled() => return,
            () = gateway.stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // Without a handshake there is no way to say why.
            Ok(_) if gateway.running.len() >= most => {}
            Ok((stream, client)) => {
                gateway.running.spawn(serve(gateway.clone(), stream, client, acceptor.clone()));
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn serve(gateway: Arc<Gateway>, stream: TcpStream, client: SocketAddr, acceptor: TlsAcceptor) {
    // A socket that refuses is closed anyway.
    let _ = stream.set_nodelay(true);
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(gateway.tuning.header_timeout, acceptor.accept(stream)) => shaken,
        () = gateway.closing.cancelled() => return,
        () = gateway.stopped.cancelled() => return,
    };
    match shaken {
        Ok(Ok(stream)) => connection::serve(gateway, stream, client, "https").await,
        Ok(Err(error)) => tracing::debug!(%error, %client, "a handshake failed"),
        Err(_) => tracing::debug!(%client, "a handshake took too long"),
    }
}

/// Looks for newer certificates now and then, and at SIGHUP, until the gateway ends.
pub(crate) async fn watch(gateway: Arc<Gateway>, certificates: Arc<Certificates>) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "certificates are not read anew: signals cannot be had");
            return;
        }
    };
    let every = gateway.tuning.certificates_every;
    // The first of them is waited for.
    let every = if certificates.obtained { every.min(OBTAINED_EVERY) } else { every };
    loop {
        let asked = tokio::select! {
            () = gateway.ended.cancelled() => return,
            _ = hangup.recv() => true,
            () = tokio::time::sleep(every) => false,
        };
        let held = certificates.clone();
        // It cannot fail, and a panic in there has been told already.
        let _ = tokio::task::spawn_blocking(move || held.renew(asked)).await;
    }
}
