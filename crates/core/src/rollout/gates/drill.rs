//! `require_drill`: the way back was practised lately, worked, and was no slower than the deployment.

use super::Gate;
use crate::rollout::drilling;
use crate::rollout::lane::Lane;
use crate::rollout::observed::Observed;
use crate::units::{Millis, Timestamp};

const NAME: &str = "drill";

/// Whether the last drill is at most `age` old, has passed, and was fast enough.
pub(super) fn young(lane: &Lane, age: Millis, seen: &Observed, now: Timestamp) -> Gate {
    // Where the way back cannot be practised a drill cannot be asked for either. An outage is no such reason.
    if let Err(refusal) = drilling::way_back(lane, seen)
        && refusal.code == "nothing_to_drill"
    {
        return Gate::waived(NAME, format!("require_drill is waived this time: {}", refusal.reason));
    }
    let remedy = format!("run: slipway drill {} --env {}", lane.id.service, lane.id.environment);
    let Some(last) = &lane.drilled else {
        return Gate::blocking(NAME, "the way back was never practised here".to_string(), remedy);
    };
    let ago = now.since(last.at);
    let sentence = match () {
        () if !last.passed => format!("the last drill ({}) failed: {}", last.rollout, last.cause),
        () if ago > age => format!("the last drill ({}) was {ago} ago, and {age} is the most", last.rollout),
        () if last.slower() => {
            let of = |time: Option<Millis>| time.unwrap_or_default();
            let remedy = format!("make it faster (a standby: strategy.standby, a quicker start), then {remedy}");
            let (back, forth) = (of(last.back), of(last.deployment));
            let sentence =
                format!("in the last drill ({}) going back took {back}, the deployment {forth}", last.rollout);
            return Gate::blocking(NAME, sentence, remedy);
        }
        () => return Gate::met(NAME, format!("{} passed {ago} ago", last.rollout)),
    };
    Gate::blocking(NAME, sentence, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::RolloutId;
    use crate::rollout::drilling::{Drilled, drillable};
    use crate::rollout::fixture::{at_step, slot};
    use crate::rollout::gates::Standing;

    const FILE: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: / }
environments:
  production: { instances: 1, strategy: { blue-green: {} } }
";
    const DAY: Millis = Millis::from_secs(24 * 3600);

    /// 1 serves, and what it replaced could serve again.
    fn lane() -> (Lane, Observed) {
        let mut lane = at_step(FILE, "verification");
        let predecessor = lane.open.take().expect("a rollout").release;
        let seen =
            Observed { artifacts: [(predecessor.artifact.clone(), ())].into_iter().collect(), ..Observed::default() };
        lane.slots = vec![slot(&lane, 1, "1", true)];
        lane.predecessor = Some(predecessor);
        (lane, seen)
    }

    fn drilled(back: u64, deployment: u64) -> Drilled {
        Drilled {
            rollout: RolloutId::numbered(7),
            at: Timestamp(1_000),
            to: "2".parse().expect("a version"),
            cold: false,
            passed: true,
            cause: "2 served and 1 serves again".into(),
            back: Some(Millis(back)),
            forth: Some(Millis(10)),
            deployment: Some(Millis(deployment)),
        }
    }

    #[test]
    fn a_drill_counts_for_as_long_as_it_is_young_enough_passed_and_was_fast_enough() {
        let at = |age: Millis| Timestamp(1_000).plus(Millis(30 * DAY.0)).plus(age);
        let failed = Drilled { passed: false, cause: "errors: 9 of 10".into(), ..drilled(10, 1_000) };
        let untimed = Drilled { back: None, ..drilled(0, 0) };
        let cases = [
            (None, at(Millis(0)), Standing::Blocking, "the way back was never practised here"),
            (Some(drilled(10, 1_000)), at(Millis(0)), Standing::Met, "ro-7 passed 30d ago"),
            (Some(drilled(10, 1_000)), at(Millis(1)), Standing::Blocking, "was 30d ago, and 30d is the most"),
            (Some(drilled(10, 1_000)), at(DAY), Standing::Blocking, "(ro-7) was 31d ago, and 30d is the most"),
            (Some(failed), at(Millis(0)), Standing::Blocking, "the last drill (ro-7) failed: errors: 9 of 10"),
            // A tenth of ten seconds and a second: twelve seconds.
            (Some(drilled(12_000, 10_000)), at(Millis(0)), Standing::Met, "ro-7 passed"),
            (
                Some(drilled(12_001, 10_000)),
                at(Millis(0)),
                Standing::Blocking,
                "in the last drill (ro-7) going back took 12.0s, the deployment 10s",
            ),
            (Some(untimed), at(Millis(0)), Standing::Met, "ro-7 passed"),
        ];
        for (last, now, standing, says) in cases {
            let (mut lane, seen) = lane();
            lane.drilled = last;
            let gate = young(&lane, Millis(30 * DAY.0), &seen, now);
            assert_eq!(gate.standing, standing, "{now}: {gate:?}");
            assert!(gate.sentence.contains(says), "{says}: {gate:?}");
            let remedy = gate.remedy.unwrap_or_default();
            assert_eq!(remedy.contains("run: slipway drill shop --env production"), standing == Standing::Blocking);
            assert_eq!(remedy.contains("make it faster"), says.contains("going back took"), "{remedy}");
        }
    }

    #[test]
    fn slower_is_more_than_a_tenth_and_a_second_to_the_millisecond() {
        for (back, deployment, slower) in [
            (11_999, 10_000, false),
            (12_000, 10_000, false),
            (12_001, 10_000, true),
            (1_000, 0, false),
            (1_001, 0, true),
            (1_000_000, 908_182, false),
        ] {
            assert_eq!(drilled(back, deployment).slower(), slower, "{back} against {deployment}");
        }
        assert!(!Drilled { deployment: None, ..drilled(9_000, 0) }.slower(), "nothing to compare with");
    }

    #[test]
    fn where_the_predecessor_could_not_come_back_no_drill_is_made_and_none_is_required() {
        let (lane, seen) = lane();
        assert!(drillable(&lane, &seen).is_ok());
        let mut contracted = lane.clone();
        (contracted.schema.at, contracted.schema.since) = (Some(3), Some(3));
        for (lane, seen, says) in [
            (&lane, &Observed::default(), "the artifact of 2 (sha256:"),
            (&contracted, &seen, "the database was contracted to 3"),
        ] {
            let refusal = drillable(lane, seen).map(|_| ()).expect_err(says);
            assert_eq!(refusal.code, "nothing_to_drill");
            assert!(refusal.reason.contains(says), "{refusal:?}");
            let gate = young(lane, DAY, seen, Timestamp(0));
            assert_eq!(gate.standing, Standing::Waived, "{gate:?}");
            assert!(gate.sentence.contains(says), "{gate:?}");
        }
    }
}
