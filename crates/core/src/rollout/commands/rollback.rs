//! Rolling back: during a rollout it is taken back; afterwards the predecessor serves again, at once while it stands
//! by, otherwise after it has been started and tested. There is no rollback of a rollback without a named version.

use super::abort::take_back;
use super::{Refusal, refuse};
use crate::names::VersionName;
use crate::rollout::{Asked, Lane, Rollout, RolloutKind, Turn, drilling, schema};
use crate::units::{Millis, Timestamp};

/// So long after a release was taken back, a rollback that names no version is taken to mean that release.
const SAME_TROUBLE: Millis = Millis::from_secs(60);

/// What a rollback would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Back {
    /// The open rollout is taken back; an open drill stays where it went.
    TakeBack,
    /// This version serves again, by a rollout of its own.
    To(VersionName),
}

/// What a rollback would do now, or why there is none.
pub fn way_back(lane: &Lane, to: Option<&VersionName>) -> Result<Back, Refusal> {
    let Some(stable) = lane.stable_version() else {
        return match &lane.open {
            Some(_) if to.is_none() => Ok(Back::TakeBack),
            _ => refuse("nothing_to_go_back_to", format!("nothing was ever released to {}", lane.id)),
        };
    };
    // A contract moves no traffic, and nothing may stand in the way back: it gives way.
    if let Some(open) = lane.open.as_ref().filter(|open| open.kind != RolloutKind::Contract) {
        return match to {
            None => Ok(Back::TakeBack),
            Some(to) if to == stable && !drills(open) => Ok(Back::TakeBack),
            Some(to) if *to == open.release.version && drills(open) => Ok(Back::TakeBack),
            Some(to) => refuse(
                "rollout_open",
                format!("{} is open: take it back first (slipway abort), then roll back to {to}", open.id),
            ),
        };
    }
    match (to, &lane.predecessor, &lane.went_back) {
        (Some(to), _, _) if to == stable => refuse("already_serves", format!("{to} already serves {}", lane.id)),
        (Some(to), _, _) => Ok(Back::To(to.clone())),
        // A rollback leaves none. A release that was taken back has not moved what serves, and stands in nobody's way.
        (None, Some(predecessor), _) => Ok(Back::To(predecessor.version.clone())),
        (None, None, Some(back)) => refuse(
            "no_rollback_of_a_rollback",
            format!(
                "{} already went back from {} to {} ({}); to go further back, name the version: --to VERSION",
                lane.id, back.from, back.to, back.rollout
            ),
        ),
        (None, None, None) => refuse("nothing_to_go_back_to", format!("{stable} has no predecessor in {}", lane.id)),
    }
}

/// Refuses to go back from stable without being told where to, just after a release was taken back: whoever saw the same
/// trouble as the judge means that release, not the version that serves.
pub fn refuse_two_at_once(lane: &Lane, back: &Back, now: Timestamp) -> Result<(), Refusal> {
    let (Back::To(version), Some(undone)) = (back, &lane.undone) else { return Ok(()) };
    let Some(ago) = undone.at.map(|at| now.since(at)).filter(|ago| *ago < SAME_TROUBLE) else { return Ok(()) };
    let (from, to) = (&undone.from, &undone.to);
    refuse(
        "just_taken_back",
        format!(
            "{from} was taken back {ago} ago ({}), and {to} serves {}; to go further back, name the version: --to {version}",
            undone.rollout, lane.id
        ),
    )
}

fn drills(open: &Rollout) -> bool {
    matches!(open.kind, RolloutKind::Drill { .. })
}

/// Takes the open rollout back, or opens a rollout that brings `asked` back. `asked` is present where
/// [`way_back`] named a version.
pub fn rollback(turn: &mut Turn, asked: Option<Asked>, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    match asked {
        None if turn.lane.open.as_ref().is_some_and(drills) => drilling::stay(turn, actor, now),
        None => take_back(turn, actor, "rollback asked for", now),
        Some(mut asked) => {
            asked.release = turn.lane.as_bound(asked.release);
            if let Err(why) = schema::fits_back(&turn.lane, &asked.release) {
                return refuse("schema_does_not_fit", why);
            }
            if turn.lane.open.as_ref().is_some_and(|open| open.kind == RolloutKind::Contract) {
                schema::give_way(turn);
            }
            if let Some(incident) = &mut turn.lane.watching.incident {
                incident.acted = true;
            }
            let artifact = asked.release.artifact.clone();
            let evidence = serde_json::json!({ "version": asked.release.version, "artifact": artifact });
            turn.facts.push(crate::journal::Fact {
                kind: "rollback.asked".to_string(),
                lane: Some(turn.lane.id.clone()),
                rollout: Some(asked.id.clone()),
                actor: actor.to_string(),
                cause: format!("{actor} asked to go back to {}", asked.release.version),
                evidence,
            });
            turn.lane.queue.insert(0, asked);
            Ok(())
        }
    }
}

/// Records that the incident that is open calls for a rollback which is refused or has failed, and why: a person is needed.
pub fn no_way_back(turn: &mut Turn, why: &str) {
    let Some(incident) = &turn.lane.watching.incident else { return };
    let evidence = serde_json::json!({ "incident": incident.number, "reason": why });
    turn.facts.push(crate::journal::Fact {
        kind: "incident.no_way_back".to_string(),
        lane: Some(turn.lane.id.clone()),
        rollout: None,
        actor: "slipway:watch".to_string(),
        cause: format!("incident {} calls for a rollback, and there is none: {why}", incident.number),
        evidence,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixture::{SHOP, serving};
    use crate::rollout::lane::WentBack;

    #[test]
    fn whoever_asks_just_after_a_release_was_taken_back_names_what_to_go_back_to() {
        let mut lane = serving(SHOP);
        lane.predecessor = lane.stable.clone();
        let back = way_back(&lane, None).unwrap();
        assert!(refuse_two_at_once(&lane, &back, Timestamp(1_000)).is_ok(), "nothing was taken back");
        let (from, to) = ("2".parse().unwrap(), "1".parse().unwrap());
        let (rollout, cause) = (crate::names::RolloutId::numbered(2), "errors".to_string());
        lane.undone = Some(WentBack { rollout, from, to, at: Some(Timestamp(1_000)), cause });
        let refusal = refuse_two_at_once(&lane, &back, Timestamp(4_000)).unwrap_err();
        assert_eq!(refusal.code, "just_taken_back");
        assert!(refusal.reason.starts_with("2 was taken back 3s ago (ro-2), and 1 serves "), "{}", refusal.reason);
        assert!(refuse_two_at_once(&lane, &back, Timestamp(61_000)).is_ok());
    }
}
