//! Placeholder for the judge's interface.
use serde::{Deserialize, Serialize};
/// Counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Events.
    pub n: u64,
    /// Bad ones.
    pub bad: u64,
    /// Keys with a bad one.
    pub bad_keys: u64,
}

/// b
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// a
    pub alpha: f64,
    /// b
    pub beta: f64,
}
impl Budget {
    /// x
    pub fn of_step(s: &crate::spec::Strategy, steps: u32, objectives: u32) -> Budget {
        Budget { alpha: s.alpha / f64::from(steps * objectives * 3), beta: s.beta / 3.0 }
    }
}
/// c
pub enum Comparison {
    /// a
    Concurrent(Counts),
    /// a
    Before(Counts),
    /// a
    None,
}
/// r
pub enum Rule {
    /// a
    PassOrFail,
    /// a
    FailOnly,
}
/// v
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// a
    Pass,
    /// a
    Fail,
    /// a
    Inconclusive,
}
/// e
#[allow(missing_docs)]
pub struct Evidence {
    pub candidate: Counts,
    pub stable: Comparison,
    pub stable_ten_minutes: Counts,
    pub stable_ten_seconds: Counts,
    pub candidate_weight: crate::units::Weight,
    pub next_weight: crate::units::Weight,
    pub rule: Rule,
    pub since: crate::units::Timestamp,
    pub min_requests: u64,
    pub keys_known: bool,
}
/// j
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub objective: String,
    pub verdict: Verdict,
    pub n: u64,
    pub sentence: String,
}
/// j
pub fn judge(o: &crate::spec::Objective, _b: &Budget, e: &Evidence, _now: crate::units::Timestamp) -> Judgement {
    Judgement { objective: o.name.clone(), verdict: Verdict::Inconclusive, n: e.candidate.n, sentence: String::new() }
}
/// n
pub fn requests_needed(_o: &crate::spec::Objective, _b: &Budget, _n: crate::units::Weight) -> u64 {
    50
}
/// o
pub fn stable_outage(_o: &crate::spec::Objective, _c: Counts) -> Option<String> {
    None
}
