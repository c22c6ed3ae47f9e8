//! Mirroring: copies of users' requests for a candidate that no user meets yet. Which gateways are told to make follows from
//! where the rollout stands. Evidence of its own stratum, as probes are: see [`super::probing`].

use serde_json::json;

use super::lane::{Lane, Release};
use super::model::State;
use super::plan::StepKind;
use crate::spec;
use crate::traffic::Mirror;

/// What is copied of a release's requests before any user meets it, where something there can be judged by it.
pub(super) fn before_users(release: &Release) -> Option<&spec::Mirror> {
    let judged = release.spec.objectives.iter().any(|o| !o.bad.is_reported());
    release.spec.mirror.as_ref().filter(|_| judged && !release.spec.is_worker())
}

/// Whether the step at hand is judged by copies, so that they are the synthetic evidence about it.
pub fn at_hand(lane: &Lane) -> bool {
    let step = lane.open.as_ref().and_then(|open| open.plan.steps.get(open.step));
    matches!(step.map(|step| step.kind), Some(StepKind::Probe { mirrored: true, .. }))
}

/// What gateways are to copy now; nothing unless such a step is at hand and goes on.
pub(super) fn in_force(lane: &Lane) -> Option<Mirror> {
    let open = lane.open.as_ref().filter(|open| open.state == State::Running && open.progress.confirmed.is_some())?;
    let declared = before_users(&open.release).filter(|_| at_hand(lane) && lane.stable.is_some())?;
    Some(Mirror {
        to: open.release.version.clone(),
        share: declared.share,
        methods: declared.methods.clone(),
        body_bytes: declared.body,
        timeout: declared.timeout,
        at_once: declared.at_once,
    })
}

/// What is recorded where it begins.
pub(super) fn begun(lane: &Lane) -> Option<(String, serde_json::Value)> {
    let Mirror { to, share, methods, .. } = in_force(lane)?;
    let sentence = format!(
        "copies of {share} of the requests ({}) to {to}, whose answers are thrown away; synthetic evidence of their own, not \
         users' requests",
        methods.join(", ")
    );
    Some((sentence, json!({ "synthetic": true, "mirrored": true, "share_bp": share.bp() })))
}
