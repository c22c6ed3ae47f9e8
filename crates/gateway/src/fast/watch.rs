//! What can end a connection's waiting besides bytes: the gateway's end, and a deadline.
//!
//! Costs next to nothing in the ordinary case. The task is woken by the token and by one timer, which is set for the
//! earliest deadline and left alone when a later one follows; each look only compares.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Why waiting ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// The gateway cuts whatever still runs.
    Stopped,
    /// The deadline has passed.
    Late,
}

/// What a connection's task waits for besides bytes. It must be polled by one task only.
#[derive(Debug)]
pub(crate) struct Watch {
    token: CancellationToken,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    timer: Pin<Box<Sleep>>,
    /// When the timer will wake the task.
    armed: Instant,
    deadline: Option<Instant>,
    begun: bool,
}

impl Watch {
    /// Wakes the task for `stopped`, for `closing`, and at deadlines, the first of which is `deadline`.
    pub(crate) fn new(stopped: &CancellationToken, closing: &CancellationToken, deadline: Instant) -> Watch {
        Watch {
            token: stopped.clone(),
            stopped: Box::pin(stopped.clone().cancelled_owned()),
            closing: Box::pin(closing.clone().cancelled_owned()),
            timer: Box::pin(tokio::time::sleep_until(deadline.into())),
            armed: deadline,
            deadline: Some(deadline),
            begun: false,
        }
    }

    /// Waiting is over at `deadline`; never where there is none.
    pub(crate) fn until(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
        if let Some(at) = deadline
            && at < self.armed
        {
            self.arm(at);
        }
    }

    fn arm(&mut self, at: Instant) {
        self.timer.as_mut().reset(at.into());
        self.armed = at;
        self.begun = false;
    }

    /// Whether waiting is over. Called before the task waits, and whenever it is woken.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Alarm> {
        if self.token.is_cancelled() {
            return Some(Alarm::Stopped);
        }
        if self.timer.is_elapsed() {
            let now = Instant::now();
            match self.deadline {
                Some(at) if at <= now => return Some(Alarm::Late),
                Some(at) => self.arm(at),
                // Nobody waits for a time now; whoever does next sets an earlier one than this.
                None => self.arm(now + std::time::Duration::from_secs(3600)),
            }
        }
        // Once registered they wake this task for good, and are not asked again.
        while !self.begun {
            self.begun = true;
            let _ = self.closing.as_mut().poll(cx);
            if self.stopped.as_mut().poll(cx).is_ready() {
                return Some(Alarm::Stopped);
            }
            if self.timer.as_mut().poll(cx) == Poll::Ready(()) && self.deadline.is_some_and(|at| at <= Instant::now()) {
                return Some(Alarm::Late);
            }
        }
        None
    }
}
