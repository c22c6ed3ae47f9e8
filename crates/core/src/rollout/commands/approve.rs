//! Approving: a person's word for a release that waits, bound to what they were shown.

use serde_json::json;

use super::{Refusal, refuse};
use crate::journal::Fact;
use crate::names::{Digest, RolloutId};
use crate::rollout::gates::{self, Approval};
use crate::rollout::{Observed, Turn};
use crate::units::Timestamp;

/// Adds `by`'s word for what `shown` names to the release that waits under `id`.
pub fn approve(
    turn: &mut Turn,
    id: &RolloutId,
    by: &str,
    shown: &Digest,
    seen: &Observed,
    now: Timestamp,
) -> Result<(), Refusal> {
    let lane = turn.lane.clone();
    let Some(asked) = turn.lane.queue.iter_mut().find(|asked| asked.id == *id) else {
        return refuse("not_waiting", format!("{id} does not wait for anybody's word"));
    };
    let Some(word) = gates::word(&lane, asked) else {
        return refuse("not_waiting", format!("{} asks for no approvals", lane.id));
    };
    if let Err(why) = gates::may_approve(&word, &asked.actor, by) {
        return refuse("may_not_approve", why);
    }
    let seal = gates::seal(&lane, asked);
    if *shown != seal {
        return refuse(
            "plan_changed",
            format!(
                "{id} is no longer what was shown: look again (slipway gates {} --env {}), then approve",
                lane.id.service, lane.id.environment
            ),
        );
    }
    if gates::counting(&lane, asked, &word, now).iter().any(|a| a.by == by) {
        return refuse("already_approved", format!("{by} has approved {id} already"));
    }
    asked.approvals.retain(|a| a.by != by);
    asked.approvals.push(Approval { by: by.to_string(), at: now, seal: seal.clone() });
    let (asked, release) = (asked.clone(), asked.release.clone());
    let standing = gates::of(&lane, &asked, seen, now);
    let cause = format!("{by} approves {} for {}", release.version, lane.id.environment);
    turn.facts.push(Fact {
        kind: "rollout.approved".to_string(),
        lane: Some(lane.id.clone()),
        rollout: Some(id.clone()),
        actor: by.to_string(),
        cause,
        evidence: json!({
            "shown": seal, "version": release.version, "artifact": release.artifact, "config": release.config,
            "gates": standing,
        }),
    });
    Ok(())
}
