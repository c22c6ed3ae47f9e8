//! Outcomes on their way from whoever reports them to the book that turns are shown.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use slipway_core::outcome::{Ledger, Outcome, Refused, Taken};
use slipway_core::units::Millis;

use super::Engine;

/// How often the judge is shown what was reported, while reports come.
const SHOW: Duration = Duration::from_millis(200);

impl Engine {
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch of outcomes in, each for itself; or none of them, and says how long to wait.
    pub fn report(&self, batch: &[Outcome]) -> Result<Vec<Result<Taken, Refused>>, Millis> {
        let now = self.clock.now();
        let mut ledger = self.ledger();
        ledger.admit(batch.len(), now)?;
        let taken = batch.iter().map(|outcome| ledger.take(outcome, now)).collect();
        drop(ledger);
        self.reported.notify_one();
        Ok(taken)
    }

    /// Looks at what was reported, for ever.
    pub async fn show_reported(&self) {
        loop {
            self.reported.notified().await;
            self.look_at_gateways();
            tokio::time::sleep(SHOW).await;
        }
    }
}
