//! What keeps lanes turning: a task for each, woken by nudges and by the time; the renewal of leases; the watch over
//! gateways and instances.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use slipway_core::names::LaneId;
use slipway_core::rollout::LEASE;
use slipway_core::units::Millis;
use tokio::sync::Notify;

use crate::engine::Engine;
use crate::error::Error;

/// How often leases are renewed.
const RENEW: Duration = Duration::from_secs(3);
/// How long a driver sleeps when nothing says when to look again.
const IDLE: Millis = Millis::from_secs(30);
/// How long after a failed turn the next one comes.
const AFTER_ERROR: Millis = Millis::from_secs(1);
/// How many times as long as it took nobody looks after a look at all of something, where it is often changing.
const REST: u32 = 4;
/// Rests that are not worth a timer.
const BRIEF: Duration = Duration::from_millis(2);
/// How much later than at once an instance may be looked at. What came of an effect is looked at for itself, at once.
const LATE: Duration = Duration::from_millis(50);

/// Turns a lane for ever.
pub(crate) async fn drive(engine: Arc<Engine>, lane: LaneId) {
    let (cell, _) = engine.cell(&lane);
    loop {
        let now = engine.clock.now();
        // On the heap for as long as it goes on, since what a turn needs is much more than what a lane that waits does; and one
        // that panics does not end its driver.
        let turning = AssertUnwindSafe(Box::pin(engine.turn(&lane, None))).catch_unwind();
        let turned = turning.await.unwrap_or_else(|_| Err(Error::Unavailable("it panicked".to_string())));
        let sleep = match turned {
            Ok(Some(wake)) => wake.since(now).max(Millis(5)),
            Ok(None) => IDLE,
            Err(error) => {
                tracing::error!(%lane, %error, "a turn failed");
                AFTER_ERROR
            }
        };
        tokio::select! {
            () = cell.wake.notified() => {}
            () = tokio::time::sleep(sleep.min(IDLE).as_duration()) => {}
        }
    }
}

/// Renews the leases of divided traffic for ever.
pub(crate) async fn renew(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(RENEW);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        engine.stay_awake();
        match engine.stuck() {
            None => engine.tables.renew(LEASE),
            // Blunt, since whatever one lane waits for may hold up others next.
            Some(lane) => tracing::error!(
                %lane, "no turn comes to a decision: leases are not renewed, and gateways go back by themselves"
            ),
        }
    }
}

/// Looks at gateways and instances whenever they say that something changed.
pub(crate) fn watch(engine: &Arc<Engine>) {
    let gateways = nudged(engine, Engine::look_at_gateways, Duration::ZERO);
    engine.router.on_change(gateways);
    // Every look is at all of them.
    let instances = nudged(engine, Engine::look_at_target, LATE);
    engine.target.on_change(instances);
    let probes = nudged(engine, Engine::look_at_probes, Duration::ZERO);
    engine.prober.on_change(probes);
}

/// A nudge that makes a task of its own look, so that whoever nudges is never held up. Looks that take long come seldom: after
/// each there is none for [`REST`] times as long as it took, and for no longer than `late`.
fn nudged(engine: &Arc<Engine>, look: fn(&Engine), late: Duration) -> Arc<dyn Fn() + Send + Sync> {
    let notify = Arc::new(Notify::new());
    let (weak, waiting) = (Arc::downgrade(engine), notify.clone());
    tokio::spawn(async move {
        loop {
            let Some(engine) = weak.upgrade() else { return };
            let began = Instant::now();
            look(&engine);
            drop(engine);
            let rest = (began.elapsed() * REST).min(late);
            if rest > BRIEF {
                tokio::time::sleep(rest).await;
            }
            waiting.notified().await;
        }
    });
    Arc::new(move || notify.notify_one())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use slipway_store::Store;

    use super::*;
    use crate::fakes;

    static LOOKS: AtomicU64 = AtomicU64::new(0);

    /// A look that takes long enough for a rest after it: nobody waits for it by this.
    fn look(_: &Engine) {
        std::thread::sleep(BRIEF);
        LOOKS.fetch_add(1, SeqCst);
    }

    #[tokio::test]
    async fn a_nudge_while_nobody_looks_is_heard_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = Arc::new(fakes::engine(Store::open(folder.path()).await.expect("a store")));
        let nudge = nudged(&engine, look, LATE);
        let looks = async |wanted| {
            while LOOKS.load(SeqCst) < wanted {
                tokio::task::yield_now().await;
            }
        };
        for n in 1..4 {
            tokio::time::timeout(Duration::from_secs(30), looks(n)).await.expect("it is looked");
            nudge();
            nudge();
        }
    }
}
