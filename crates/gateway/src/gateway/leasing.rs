//! What time does to what is served: leases are renewed or run out, faults end, and the machine may have been suspended.

use std::time::{Duration, Instant};

use slipway_core::traffic::Generation;
use slipway_core::traffic::link::Event;

use super::{Control, Gateway};
use crate::clock;

impl Control {
    /// Leases and faults ran on while the machine was suspended, and the clock that they run by did not. Whether it was. To
    /// be asked before anything else is done with them.
    pub(super) fn wake_up(&mut self) -> bool {
        let time = self.suspensions.noticed();
        if let Some(time) = time {
            tracing::warn!(seconds = time.as_secs(), "this machine was suspended");
            self.pass(time);
        }
        time.is_some()
    }

    fn pass(&mut self, time: Duration) {
        let now = Instant::now();
        self.leases.pass(time, now);
        self.terms.pass(time, now);
    }
}

impl Gateway {
    /// The leases hold for a term from `said_ms` on, if `generation` is what is served.
    pub(crate) async fn renew(&self, generation: Generation, term: Duration, said_ms: u64) {
        let mut control = self.control.lock().await;
        if self.served.load().generation() != generation {
            return;
        }
        // What ran out before the renewal was handled has run out.
        self.lapse(&mut control);
        let left = term.saturating_sub(clock::elapsed(said_ms));
        control.leases.renew(Instant::now() + left);
        self.leases_changed.notify_one();
        self.store.renew(generation, left);
        let store = self.store.clone();
        // Nobody waits for it: a lease whose renewal was not written runs out the sooner after a restart.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.write_renewal() {
                tracing::warn!(%error, "a lease's renewal could not be written");
            }
        });
    }

    /// Serves fall-backs as leases run out, and ends faults as their time is over, until the gateway ends.
    pub(crate) async fn watch_leases(&self) {
        loop {
            let next = {
                let control = self.control.lock().await;
                let next = [control.leases.next(), control.terms.next(Instant::now())];
                next.into_iter().flatten().min()
            };
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stopped.cancelled() => return,
                () = self.leases_changed.notified() => {}
                () = due => self.lapse(&mut *self.control.lock().await),
            }
        }
    }

    /// Where this machine was suspended, whatever ran out meanwhile is over. Where somebody has the lock, the next pulse asks again.
    pub(crate) fn notice_suspension(&self) {
        if let Ok(mut control) = self.control.try_lock()
            && control.wake_up()
        {
            self.has_passed(&mut control);
        }
    }

    fn has_passed(&self, control: &mut Control) {
        self.swap(control);
        self.leases_changed.notify_one();
        self.lapse(control);
    }

    fn lapse(&self, control: &mut Control) {
        if control.wake_up() {
            self.swap(control);
            self.leases_changed.notify_one();
        }
        let lapses = control.leases.expire(Instant::now());
        if !lapses.is_empty() || self.served.load().faults().any(|fault| !fault.goes_on()) {
            self.swap(control);
        }
        if lapses.is_empty() {
            return;
        }
        for lapse in lapses {
            tracing::warn!(lane = %lapse.lane, "the lease ran out: serving the fall-back");
            self.events.push(Event::Lapsed(lapse));
        }
        // A disk that is stuck holds up no lapse.
        drop(self.write(control));
    }

    /// As if the machine had been suspended for so long.
    #[cfg(test)]
    pub(crate) async fn pass(&self, time: Duration) {
        let mut control = self.control.lock().await;
        control.pass(time);
        self.has_passed(&mut control);
    }
}
