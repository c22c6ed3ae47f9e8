//! `approvals`: other people's word for exactly what they were shown.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Gate;
use crate::names::Digest;
use crate::rollout::estimate::Today;
use crate::rollout::lane::{Asked, Lane};
use crate::rollout::plan::plan;
use crate::spec::Approvals;
use crate::units::Timestamp;

const NAME: &str = "approvals";

/// One person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who, as the journal names them.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they were shown; see [`seal`].
    pub seal: Digest,
}

/// What an approval is bound to: artifact, configuration, what is replaced, and the steps by which. Another plan or
/// another stable version has another seal, today's traffic has not.
pub fn seal(lane: &Lane, asked: &Asked) -> Digest {
    let plan = plan(lane, asked.kind, &asked.release, &asked.strategy, &Today::default());
    let steps: Vec<_> = plan.steps.iter().map(|step| json!([step.name, step.kind, step.undo])).collect();
    let shown = json!({
        "service": lane.id.service, "environment": lane.id.environment,
        "version": asked.release.version, "artifact": asked.release.artifact, "config": asked.release.config,
        "from": plan.from, "strategy": asked.strategy, "steps": steps, "asked_by": asked.actor,
        "override": asked.overriding,
    });
    Digest::of(shown.to_string().as_bytes())
}

/// The approvals of a rollout that count at `now`: of what it is now, and not expired.
pub fn counting<'a>(lane: &Lane, asked: &'a Asked, policy: &Approvals, now: Timestamp) -> Vec<&'a Approval> {
    if asked.approvals.is_empty() {
        return Vec::new();
    }
    let seal = seal(lane, asked);
    asked.approvals.iter().filter(|a| a.seal == seal && now.since(a.at) <= policy.expire).collect()
}

/// Whether `by` may approve what `asked_by` asked for; otherwise why not.
pub fn may_approve(policy: &Approvals, asked_by: &str, by: &str) -> Result<(), String> {
    let name = by.strip_prefix("user:").unwrap_or(by);
    if by == asked_by {
        return Err("nobody approves their own release".to_string());
    }
    if !policy.from.is_empty() && !policy.from.iter().any(|from| from == name) {
        return Err(format!("{name} is not among those who may: {}", policy.from.join(", ")));
    }
    Ok(())
}

/// Whether enough people have given their word.
pub(super) fn enough(lane: &Lane, asked: &Asked, policy: &Approvals, now: Timestamp) -> Gate {
    let given = counting(lane, asked, policy, now);
    let names = given.iter().map(|a| a.by.as_str()).collect::<Vec<_>>().join(", ");
    if given.len() >= policy.count as usize {
        return Gate::met(NAME, format!("approved by {names}"));
    }
    let by = if names.is_empty() { String::new() } else { format!(" ({names})") };
    let stale = asked.approvals.len() - given.len();
    let stale = match stale {
        0 => String::new(),
        n => format!("; {n} more no longer counts, since it has expired or the plan has changed"),
    };
    let who = match policy.from.is_empty() {
        true => "anybody with the right to approve".to_string(),
        false => policy.from.join(", "),
    };
    Gate::waiting(
        NAME,
        format!("{} of {} approvals{by}{stale}", given.len(), policy.count),
        format!("{who}, but not {}: slipway approve {}", asked.actor, asked.id),
    )
}
