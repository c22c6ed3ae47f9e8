//! How lengths of time, shares and numbers read, wherever people read them: on the command line and in the console.

use slipway_core::units::{Millis, Weight};

use super::WireRollout;

/// A length of time.
pub fn time(ms: u64) -> String {
    Millis(ms).to_string()
}

/// A share of the traffic, in basis points.
pub fn share(bp: u16) -> String {
    Weight::from_bp(bp).map_or_else(|| format!("{bp}bp"), |w| w.to_string())
}

/// A number with separators.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of services.
pub fn services(n: usize) -> String {
    if n == 1 { "one service".to_string() } else { format!("{n} services") }
}

/// What the candidate of a rollout met.
pub fn met(r: &WireRollout) -> String {
    if r.worker {
        let (all, bad) = (count(r.exposed_requests), count(r.failed_requests));
        return format!("{all} outcomes were reported of {}, {bad} of them bad", r.version);
    }
    format!(
        "{} requests met {}, {} of them failed, {} failed by Slipway",
        count(r.exposed_requests),
        r.version,
        count(r.failed_requests),
        count(r.failed_by_slipway)
    )
}
