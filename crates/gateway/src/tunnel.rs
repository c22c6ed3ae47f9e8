//! WebSockets and other upgraded connections: bytes in both directions until one side ends, or the longer drain limit
//! of a version that no longer serves is over.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::attempt::Attempt;
use crate::gateway::Gateway;
use crate::upstream::Connection;

/// Joins the two ends once both have been let go by HTTP.
pub(crate) fn open(
    gateway: &Gateway,
    client: OnUpgrade,
    instance: OnUpgrade,
    attempt: Attempt,
    connection: Arc<Connection>,
) {
    let stopped = gateway.stopped.clone();
    gateway.running.spawn(async move {
        connection.make_long();
        let joined = async {
            let (client, instance) = tokio::try_join!(client, instance)?;
            let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
            let copied = tokio::io::copy_bidirectional(&mut client, &mut instance).await;
            if let Err(error) = copied {
                tracing::debug!(%error, "an upgraded connection broke off");
            }
            Ok::<(), hyper::Error>(())
        };
        tokio::select! {
            ended = joined => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "an upgrade did not come about");
                }
            }
            () = connection.cut() => {}
            () = stopped.cancelled() => {}
        }
        // The attempt was counted at its head; until here the instance was busy with it.
        drop(attempt);
    });
}
