//! The journal as people answer for it.

use slipway_core::rollout::Refusal;
use slipway_store::Unacceptable;

use super::Control;
use crate::by::By;
use crate::error::Error;

impl Control {
    /// Takes the journal as it is for the whole one from now on, after an older database was put back.
    pub async fn accept_journal(&self, reason: &str, by: &By) -> Result<(), Error> {
        let accepted = self.engine.store.accept_journal(&by.actor, reason).await?;
        accepted.map_err(|why| {
            let code = match why {
                Unacceptable::Whole => "journal_whole",
                Unacceptable::Broken(_) => "journal_broken",
            };
            Error::Refused(Refusal { code, reason: why.to_string() })
        })
    }
}
