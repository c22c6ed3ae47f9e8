//! How long a request that was sent is waited for, and what comes of that.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use crate::attempt::Attempt;
use crate::body::{Progress, RequestBody};
use crate::server::Tuning;

/// What became of a request that was sent.
pub(crate) enum Sent {
    /// The head has come.
    Answered(Box<Response<Incoming>>),
    /// It could not be sent, or no head came.
    Broken(Box<TrySendError<Request<RequestBody>>>),
    /// The instance was silent for too long.
    Silent,
    /// The client was.
    Stalled,
}

/// How long an instance and a client are waited for.
pub(crate) struct Patience<'a> {
    /// The gateway's limits.
    pub(crate) tuning: &'a Tuning,
    /// How long the instance may take.
    pub(crate) limit: Duration,
    /// Both may be silent for as long as the request's body has not ended.
    pub(crate) streams: bool,
}

/// Waits for the head, as long as that makes sense.
pub(crate) async fn wait_for_head(
    sending: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
    progress: &Option<Arc<Progress>>,
    attempt: &Attempt,
    patience: Patience<'_>,
) -> Sent {
    let Patience { tuning, limit, streams } = patience;
    let look = tuning.body_idle.min(tuning.body_grace) / 4;
    let mut sending = std::pin::pin!(sending);
    let mut sleep = std::pin::pin!(tokio::time::sleep(if progress.is_some() { limit.min(look) } else { limit }));
    loop {
        tokio::select! {
            biased;
            sent = &mut sending => return match sent {
                Ok(response) => Sent::Answered(Box::new(response)),
                Err(broken) => Sent::Broken(Box::new(broken)),
            },
            () = &mut sleep => {
                let left = limit.saturating_sub(attempt.waited());
                let body = progress.as_ref().filter(|p| !p.ended());
                let next = match body {
                    Some(_) if streams => look,
                    Some(body) if left.is_zero() || body.starves(tuning) => return Sent::Stalled,
                    Some(_) => left.min(look),
                    None if left.is_zero() => return Sent::Silent,
                    None => left,
                };
                sleep.as_mut().reset(tokio::time::Instant::now() + next);
            }
        }
    }
}
