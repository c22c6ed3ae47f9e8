//! Is stable itself in trouble? Then nobody can be judged: the step pauses, and starts afresh once stable is back.
//! The planner keeps the [`Pause`] with the step, asks [`watch`] at every look, and counts the restarts.

use serde::{Deserialize, Serialize};

use super::sequence::Sequence;
use super::{Counts, FAIL_KEYS};
use crate::spec::Objective;
use crate::units::{Millis, Timestamp};

/// How often one step may start afresh. An outage after that leaves it to its limit, and then to a person.
pub const MAX_RESTARTS: u32 = 2;
/// How long stable must have been back.
const BACK_FOR: Millis = Millis::from_secs(10);
/// The chance of calling a stable outage that is none, for one window. It costs a restart, not a rollback.
pub(super) const LEVEL: f64 = 0.001;

/// What stable's last ten seconds say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stability {
    /// Stable is shown to be above `at_most`.
    Above,
    /// It is not.
    NotAbove,
}

/// What stable's last ten seconds say about one objective. A step is in an outage if any objective is.
pub fn stability(objective: &Objective, ten_seconds: Counts) -> Stability {
    match Sequence::new(objective.at_most).shown_above(ten_seconds, objective.at_most, LEVEL) {
        true => Stability::Above,
        false => Stability::NotAbove,
    }
}

/// The chance of calling a version broken that is none, for one look: a day of looks, one each second, stays below 1%.
const BREACH_LEVEL: f64 = 1e-7;

/// Whether a version that serves is shown to be above `at_most` so surely that people are woken for it. As everywhere,
/// one unhappy user is not enough.
pub fn breached(objective: &Objective, counts: Counts) -> bool {
    counts.bad_keys >= FAIL_KEYS
        && Sequence::new(objective.at_most).shown_above(counts, objective.at_most, BREACH_LEVEL)
}

/// A step that waits for stable. Kept with the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it began.
    pub since: Timestamp,
    /// Since when stable is no longer shown above `at_most`.
    pub back_since: Option<Timestamp>,
}

/// What to do about stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Nothing: stable serves well enough to be compared with.
    Steady,
    /// Neither pass nor fail by this step's evidence; keep the pause.
    Paused(Pause),
    /// Stable has been back for ten seconds: a new epoch, evidence and clock from zero, no pause.
    Restart,
}

/// From the pause so far and what stable's last ten seconds say to what to do. Asking twice with one `now` changes nothing.
pub fn watch(pause: Option<Pause>, stability: Stability, now: Timestamp) -> Watch {
    match (pause, stability) {
        (None, Stability::NotAbove) => Watch::Steady,
        (None, Stability::Above) => Watch::Paused(Pause { since: now, back_since: None }),
        (Some(pause), Stability::Above) => Watch::Paused(Pause { back_since: None, ..pause }),
        (Some(pause), Stability::NotAbove) => {
            let back_since = pause.back_since.unwrap_or(now);
            if now.since(back_since) >= BACK_FOR {
                Watch::Restart
            } else {
                Watch::Paused(Pause { back_since: Some(back_since), ..pause })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulation::errors;
    use super::*;

    #[test]
    fn a_pause_ends_ten_seconds_after_stable_is_back_for_good() {
        use Stability::{Above, NotAbove};
        let at = |s: u64| Timestamp(s * 1000);
        let mut pause = None;
        let mut told = Vec::new();
        for (s, seen) in [(0, NotAbove), (1, Above), (5, NotAbove), (9, Above), (12, NotAbove), (21, NotAbove)] {
            let next = watch(pause, seen, at(s));
            pause = if let Watch::Paused(p) = next { Some(p) } else { None };
            told.push(pause.is_some());
        }
        assert_eq!(told, [false, true, true, true, true, true]);
        assert_eq!(pause, Some(Pause { since: at(1), back_since: Some(at(12)) }));
        assert_eq!(watch(pause, NotAbove, at(22)), Watch::Restart);
    }

    #[test]
    fn an_outage_is_seen_within_a_second_and_a_stray_error_is_none() {
        let seen = |n, bad| stability(&errors(), Counts { n, bad, bad_keys: bad });
        assert_eq!(seen(0, 0), Stability::NotAbove);
        assert_eq!(seen(10, 1), Stability::NotAbove);
        assert_eq!(seen(3000, 30), Stability::NotAbove);
        assert_eq!(seen(3000, 80), Stability::Above, "a quarter of a second of 300 requests per second");
        assert_eq!(seen(4, 4), Stability::Above);
    }
}
