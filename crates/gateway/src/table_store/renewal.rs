//! Renewals of leases, on disk: only the last one counts, and nobody waits for it.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_core::traffic::Generation;

use super::{TableStore, replace};
use crate::clock::since_boot_ms;
use crate::gateway::lock;

/// The renewal that is to be written: one write at a time, and never more than one that waits.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    going: Mutex<()>,
    wanted: Mutex<Option<Renewed>>,
}

/// The last renewal of the leases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Renewed {
    pub(super) generation: Generation,
    pub(super) until_ms: u64,
}

impl TableStore {
    /// Notes that the leases hold for another `term` from now on, which is to be written.
    pub(crate) fn renew(&self, generation: Generation, term: Duration) {
        let until_ms = since_boot_ms().saturating_add(u64::try_from(term.as_millis()).unwrap_or(u64::MAX));
        *lock(&self.renewal.wanted) = Some(Renewed { generation, until_ms });
    }

    /// Writes the last renewal, or leaves that to whoever writes one already. Blocks.
    pub(crate) fn write_renewal(&self) -> io::Result<()> {
        while lock(&self.renewal.wanted).is_some() {
            let Ok(_one) = self.renewal.going.try_lock() else { return Ok(()) };
            let rests = lock(&self.rests);
            // Let go of at once: whoever renews is not to wait for the disk.
            let renewed = lock(&self.renewal.wanted).take();
            if let Some(renewed) = renewed.filter(|_| !*rests) {
                replace(&self.renewal_file(), &serde_json::to_vec(&renewed)?)?;
            }
        }
        Ok(())
    }
}
