//! Outcomes as they are reported.

use slipway_core::outcome::{Outcome, Refused, Taken};
use slipway_core::units::Millis;

use super::Control;

impl Control {
    /// Takes a batch of outcomes in, each for itself; or none of them, and says how long to wait.
    pub fn report_outcomes(&self, batch: &[Outcome]) -> Result<Vec<Result<Taken, Refused>>, Millis> {
        self.engine.report(batch)
    }
}
