//! Where gateways call: those of the data folder, and those that were invited.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::authority::fingerprint;
use super::door::Door;
use super::refusal::Way;
use super::session::serve;

/// Pause between two attempts to listen where another program has the port.
const BIND_AGAIN: Duration = Duration::from_millis(100);

/// Takes calls of this data folder's gateways until the hub ends.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    while let Some(stream) = next(&shared, &listener).await {
        let shared = shared.clone();
        tokio::spawn(async move { told(serve(&shared, stream, Way::Beside, None).await) });
    }
}

/// Listens for invited gateways once nobody else has the port; `None` when the hub has ended before.
pub(super) async fn bind(shared: &Shared) -> Option<TcpListener> {
    let (address, _) = shared.invited.as_ref()?;
    tracing::warn!(%address, "invited gateways cannot call yet: another program has the port; it is tried on");
    loop {
        tokio::select! {
            () = shared.stopped.cancelled() => return None,
            () = tokio::time::sleep(BIND_AGAIN) => {}
        }
        if let Ok(listener) = TcpListener::bind(address).await {
            tracing::info!(%address, "invited gateways can call");
            return Some(listener);
        }
    }
}

/// Takes calls of invited gateways until the hub ends.
pub(super) async fn accept_invited(shared: Arc<Shared>, listener: TcpListener, acceptor: TlsAcceptor) {
    let door = Arc::new(Door::default());
    while let Some(stream) = next(&shared, &listener).await {
        // One that has hung up already has no address.
        let Ok(from) = stream.peer_addr() else { continue };
        let place = door.enter(from.ip());
        let (shared, acceptor) = (shared.clone(), acceptor.clone());
        tokio::spawn(async move {
            let served = async {
                let stream = place.wait(acceptor.accept(stream)).await?;
                let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let certificate = certificate.map(fingerprint).unwrap_or_default();
                serve(&shared, stream, Way::Invited(certificate), Some(place)).await
            };
            told(served.await);
        });
    }
}

/// The next caller; `None` when the hub has ended.
async fn next(shared: &Shared, listener: &TcpListener) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            () = shared.stopped.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // A socket that refuses is closed anyway.
                let _ = stream.set_nodelay(true);
                return Some(stream);
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a gateway's call");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

fn told(ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a gateway's link ended");
    }
}
