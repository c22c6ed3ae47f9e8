//! `freeze`: times at which no release begins.

use super::Gate;
use crate::spec::Freeze;
use crate::units::Timestamp;

const NAME: &str = "freeze";

/// Whether no freeze is on.
pub(super) fn off(freezes: &[Freeze], now: Timestamp) -> Gate {
    let on = freezes.iter().filter_map(|freeze| Some((freeze, freeze.window.ends(now)?))).max_by_key(|(_, end)| *end);
    match on {
        None => {
            let next = freezes.iter().filter_map(|f| f.window.begins(now)).min();
            Gate::met(
                NAME,
                next.map_or_else(|| "no freeze is on".to_string(), |at| format!("the next one begins {at}")),
            )
        }
        Some((freeze, end)) => {
            let reason = freeze.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
            Gate::blocking(
                NAME,
                format!("frozen until {end} ({}){reason}", freeze.window),
                "wait, or release with --override REASON".to_string(),
            )
        }
    }
}
