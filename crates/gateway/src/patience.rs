//! How long a request that was sent is waited for, and what comes of that.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use slipway_core::traffic::Limits;

use crate::attempt::Attempt;
use crate::body::{Progress, RequestBody};

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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How long the instance may take.
    pub(crate) limit: Duration,
    /// Both may be silent for as long as the request's body has begun and not ended.
    pub(crate) streams: bool,
}

impl Patience {
    /// With an ordinary request.
    pub(crate) fn new(limits: &Limits) -> Patience {
        Patience { limit: limits.response.as_duration(), streams: false }
    }

    /// With a call of gRPC. A stream of answers may have nothing to say for long, and nothing tells it from a single one: what
    /// the call allows itself holds, else the limit of what goes on for long.
    pub(crate) fn with_call(limits: &Limits, allowed: Option<Duration>) -> Patience {
        let limit = allowed.unwrap_or(limits.drain_long.as_duration()).max(limits.response.as_duration());
        Patience { limit, streams: true }
    }
}

/// Waits for the head, as long as that makes sense.
pub(crate) async fn wait_for_head(
    sending: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
    progress: &Option<Arc<Progress>>,
    attempt: &Attempt,
    Patience { limit, streams }: Patience,
) -> Sent {
    let first = progress.as_ref().map_or(limit, |progress| limit.min(progress.look()));
    let mut sending = std::pin::pin!(sending);
    let mut sleep = std::pin::pin!(tokio::time::sleep(first));
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
                    Some(body) if streams && !body.is_untouched() => body.look(),
                    Some(body) if body.starves() => return Sent::Stalled,
                    // Meanwhile nobody waits for the instance.
                    Some(body) if body.is_waiting() => body.look(),
                    Some(_) if left.is_zero() => return Sent::Silent,
                    Some(body) => left.min(body.look()),
                    None if left.is_zero() => return Sent::Silent,
                    None => left,
                };
                sleep.as_mut().reset(tokio::time::Instant::now() + next);
            }
        }
    }
}
