//! `approvals`: other people's word for exactly what they were shown.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Gate;
use crate::names::Digest;
use crate::rollout::estimate::Today;
use crate::rollout::lane::{Asked, Lane};
use crate::rollout::model::RolloutKind;
use crate::rollout::plan::plan;
use crate::rollout::schema;
use crate::spec::Approvals;
use crate::units::{Millis, Timestamp};

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

/// Whose word a rollout waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// How many, who, and for how long a word counts.
    pub policy: Approvals,
    /// How long it is waited for.
    pub patience: Millis,
    /// Whoever asked may give it: an explicit word for a point of no return where nobody else is asked.
    pub own: bool,
    /// What it is needed for, where the environment's policy does not say.
    pub point: Option<String>,
}

/// How long a contract waits for its word.
const CONTRACT_WAITS: Millis = Millis::from_secs(30 * 24 * 3600);

/// Whose word `asked` needs: the environment's policy; somebody's, where a step cannot be undone; otherwise nobody's.
pub fn word(lane: &Lane, asked: &Asked) -> Option<Word> {
    let declared = lane.policy(&asked.release)?.gates.approvals;
    match asked.kind {
        RolloutKind::Rollback | RolloutKind::Drill { .. } => None,
        RolloutKind::Contract => {
            let own = declared.is_none();
            let policy = declared.unwrap_or(Approvals { count: 1, from: Vec::new(), expire: CONTRACT_WAITS });
            Some(Word { policy, patience: CONTRACT_WAITS, own, point: Some("contract".to_string()) })
        }
        RolloutKind::Release => {
            let point = schema::expands(lane, &asked.release)
                .filter(|(_, migrate)| migrate.revert.is_none())
                .map(|_| "expand".to_string());
            match declared {
                Some(policy) => Some(Word { patience: policy.expire, policy, own: false, point }),
                None => point.map(|point| Word {
                    policy: Approvals { count: 1, from: Vec::new(), expire: Millis::from_secs(24 * 3600) },
                    patience: Millis::from_secs(24 * 3600),
                    own: true,
                    point: Some(point),
                }),
            }
        }
    }
}

/// The approvals of a rollout that count at `now`: of what it is now, and not expired.
pub fn counting<'a>(lane: &Lane, asked: &'a Asked, word: &Word, now: Timestamp) -> Vec<&'a Approval> {
    if asked.approvals.is_empty() {
        return Vec::new();
    }
    let seal = seal(lane, asked);
    asked.approvals.iter().filter(|a| a.seal == seal && now.since(a.at) <= word.policy.expire).collect()
}

/// Whether `by` may approve what `asked_by` asked for; otherwise why not.
pub fn may_approve(word: &Word, asked_by: &str, by: &str) -> Result<(), String> {
    let name = by.strip_prefix("user:").unwrap_or(by);
    let policy = &word.policy;
    if by == asked_by && !word.own {
        return Err("nobody approves their own release".to_string());
    }
    if !policy.from.is_empty() && !policy.from.iter().any(|from| from == name) {
        return Err(format!("{name} is not among those who may: {}", policy.from.join(", ")));
    }
    Ok(())
}

/// Whether enough people have given their word.
pub(super) fn enough(lane: &Lane, asked: &Asked, word: &Word, now: Timestamp) -> Gate {
    let policy = &word.policy;
    let given = counting(lane, asked, word, now);
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
    let point = word.point.as_ref().map_or_else(String::new, |step| format!("; step {step} cannot be undone"));
    let who = match policy.from.is_empty() {
        true => "anybody with the right to approve".to_string(),
        false => policy.from.join(", "),
    };
    Gate::waiting(
        NAME,
        format!("{} of {} approvals{by}{stale}{point}", given.len(), policy.count),
        match word.own {
            true => format!("{who}: slipway approve {}", asked.id),
            false => format!("{who}, but not {}: slipway approve {}", asked.actor, asked.id),
        },
    )
}
