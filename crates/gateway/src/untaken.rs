//! Lets go of an answer over HTTP/2 that its client does not take, without the rest of its connection: the client grants
//! the stream no window, and a connection to an instance would be held for as long as it likes. Over HTTP/1.1 that is a
//! connection that is not read, which `stalls` sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hyper::rt::Executor;

tokio::task_local! {
    /// That of the stream at hand.
    static TAKING: Arc<Taking>;
}

/// How far an answer was taken.
#[derive(Debug)]
pub(crate) struct Taking {
    since: Instant,
    /// Since when there is something that was not taken, in microseconds after `since`; 0 where there is not.
    waits_us: AtomicU64,
}

impl Taking {
    /// That of the stream whose request is being answered, where it is one of HTTP/2.
    pub(crate) fn current() -> Option<Arc<Taking>> {
        TAKING.try_with(Arc::clone).ok()
    }

    /// Something of the answer is there for the client, from now on.
    pub(crate) fn gives(&self) {
        let now = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.waits_us.store(now.max(1), Relaxed);
    }

    /// More is asked for: what there was has been taken, or nobody minds how long that takes.
    pub(crate) fn goes_on(&self) {
        self.waits_us.store(0, Relaxed);
    }

    fn waits(&self) -> Duration {
        match self.waits_us.load(Relaxed) {
            0 => Duration::ZERO,
            since => self.since.elapsed().saturating_sub(Duration::from_micros(since)),
        }
    }
}

/// Runs the streams of a connection, and resets those whose answers are not taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams {
    limit: Duration,
}

impl Streams {
    /// With as long as a client may take nothing of an answer.
    pub(crate) fn new(limit: Duration) -> Streams {
        Streams { limit }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let limit = self.limit;
        let taking = Arc::new(Taking { since: Instant::now(), waits_us: AtomicU64::new(0) });
        tokio::spawn(TAKING.scope(taking.clone(), async move {
            let (mut stream, mut look) = (std::pin::pin!(stream), std::pin::pin!(tokio::time::sleep(limit)));
            loop {
                tokio::select! {
                    biased;
                    _ = &mut stream => return,
                    () = &mut look => {
                        let left = limit.saturating_sub(taking.waits());
                        if left.is_zero() {
                            return tracing::debug!("an answer is not taken: its stream is reset");
                        }
                        look.as_mut().reset(tokio::time::Instant::now() + left);
                    }
                }
            }
        }));
    }
}
