//! A share of requests, drawn so that of any number of them never more than the share are, and in the long run no fewer; which
//! ones is left to chance.

use std::sync::atomic::{AtomicU64, Ordering::*};

use slipway_core::units::Weight;

/// Basis points that requests have brought and nothing has used.
#[derive(Debug, Default)]
pub(crate) struct Share(AtomicU64);

impl Share {
    /// Whether this request is one of them.
    pub(crate) fn draws(&self, share: Weight) -> bool {
        let share = u64::from(share.bp());
        let whole = u64::from(Weight::ALL.bp());
        let earned = self.0.fetch_add(share, AcqRel) + share;
        let odds = (whole + share) / 2;
        if earned < whole || rand::random_range(0..whole) >= odds {
            return false;
        }
        let spend = |credit: u64| credit.checked_sub(whole);
        self.0.fetch_update(AcqRel, Acquire, spend).is_ok()
    }
}
