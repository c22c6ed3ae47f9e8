//! Versions whose instances cannot be started: the target refused before anything ran. They are tried again, less and less
//! often, and the journal says it once. A release fails by the first refusal; this is about what stays: stable, its standby,
//! and a rollback that has the traffic.

use serde::{Deserialize, Serialize};

use super::lane::Lane;
use super::turn::Turn;
use crate::hook;
use crate::names::{InstanceId, VersionName};
use crate::units::{Millis, Timestamp};

/// From one attempt to the next, at the most: users may be waiting.
const LONGEST: Millis = Millis::from_secs(60);

/// A version of which an instance could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unstarted {
    /// Attempts in a row; those of one moment are one.
    pub times: u64,
    /// Why, without the instance's own name.
    pub why: String,
    /// When the next attempt is made.
    pub again: Timestamp,
}

/// Notes that `instance` could not be started. Returns whether that is news.
pub(super) fn note(lane: &mut Lane, version: &VersionName, instance: &InstanceId, why: &str, now: Timestamp) -> bool {
    let why = why.replace(instance.as_str(), "");
    let known = lane.unstarted.get(version);
    let news = known.is_none_or(|known| known.why != why);
    let times = match known {
        Some(known) if now < known.again => known.times,
        Some(known) => known.times + 1,
        None => 1,
    };
    let again = match known {
        Some(known) if now < known.again => known.again,
        _ => now.plus(hook::again_after(times).min(LONGEST)),
    };
    lane.unstarted.insert(version.clone(), Unstarted { times, why, again });
    news
}

/// Whether the next attempt has to wait; the turn wakes for it.
pub(super) fn waits(turn: &mut Turn, version: &VersionName, now: Timestamp) -> bool {
    let Some(again) = turn.lane.unstarted.get(version).map(|known| known.again).filter(|again| now < *again) else {
        return false;
    };
    turn.wake(again);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::TargetError;
    use crate::rollout::effect::{Effect, EffectResult};
    use crate::rollout::fixture;
    use crate::rollout::observed::Observed;
    use crate::rollout::turn::turn;

    #[test]
    fn what_cannot_be_started_is_tried_less_and_less_often_and_told_once() {
        let (mut lane, mut seen) = (fixture::serving(fixture::SHOP), Observed::default());
        let (mut attempts, mut told) = (Vec::new(), 0);
        for now in (0..600_000).step_by(100).map(Timestamp) {
            let next = turn(&lane, &seen, now);
            told += next.facts.iter().filter(|fact| fact.kind.starts_with("instance.")).count();
            assert!(next.wake_at.is_some_and(|at| at > now) || !next.effects.is_empty(), "it wakes for it");
            let refused = |effect: &Effect| match effect {
                Effect::Start { spec } => Some(EffectResult::NotStarted {
                    instance: spec.id.clone(),
                    error: TargetError::Hopeless(format!("no room for {}", spec.id)),
                }),
                _ => None,
            };
            seen.results = next.effects.iter().filter_map(refused).collect();
            attempts.extend(seen.results.first().map(|_| now));
            lane = next.lane;
        }
        let first: Vec<u64> = attempts.windows(2).take(4).map(|two| two[1].since(two[0]).0).collect();
        assert_eq!(first, [600, 1_100, 2_100, 4_100]);
        assert!((10..20).contains(&attempts.len()), "{attempts:?}");
        assert_eq!(told, 3, "two that are started, and why they could not be");
        let slot = fixture::slot(&lane, 999, "1", false);
        let other = slot.id.clone();
        lane.slots.push(slot);
        seen.results =
            vec![EffectResult::NotStarted { instance: other, error: TargetError::Hopeless("no artifact".into()) }];
        let news = turn(&lane, &seen, Timestamp(700_000));
        assert!(news.facts.iter().any(|fact| fact.cause.contains("no artifact")), "another reason is told");
    }
}
