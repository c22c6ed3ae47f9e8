//! One rollout: what changes, whether it hurts, why it went as it did, and the button that takes it back.
//!
//! Afterwards it can be played again: `?moment=N` shows it as the N-th sample saw it.

mod buttons;
pub(super) mod view;

pub(super) use buttons::approval;
pub(super) use view::word;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use slipway_core::names::RolloutId;
use slipway_store::Filter;

use super::frame::Wanted;
use super::session::Viewer;
use crate::body::Asked;
use crate::problem::Problem;
use crate::routes::{lane, rollouts};
use crate::state::App;
use crate::wire::{
    Explanation, LaneStatus, WireBeside, WireGates, WireGroupRun, WirePoint, WireRollout, WireSample, lane_status,
};

/// Kinds of the journal that tell of smoke tests.
const SMOKED: &str = "instance.smoked";
/// Smoke tests that are shown.
const SMOKES: u32 = 20;

/// Everything that the page is made from, as the API tells it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The rollout.
    pub rollout: WireRollout,
    /// Why it went as it did; absent while it waits to begin.
    pub explanation: Option<Explanation>,
    /// What it looked like as it went.
    pub samples: Vec<WireSample>,
    /// Its service in its environment now.
    pub lane: Option<LaneStatus>,
    /// How its gates stand, where it waits for them.
    pub gates: Option<WireGates>,
    /// Smoke tests of its instances.
    pub smokes: Vec<WireBeside>,
    /// The open release of a group that it is part of.
    pub group: Option<WireGroupRun>,
    /// Whether something of it could not be read: the store is away.
    pub unread: bool,
    /// Now, milliseconds since 1970.
    pub now: u64,
}

/// Which moment.
#[derive(Debug, Deserialize)]
pub(super) struct Moment {
    /// Empty for now.
    #[serde(default)]
    moment: String,
}

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    Asked(query): Asked<Moment>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let moment = (!query.moment.is_empty()).then(|| query.moment.parse()).transpose();
    let moment = moment.map_err(|_| Problem::bad_request("moment is not a number"))?;
    let told = told(&app, &id.parse()?).await?;
    let view = view::view(&viewer, &told, moment);
    Wanted::of(&headers).answer(&view)
}

async fn told(app: &App, id: &RolloutId) -> Result<Told, Problem> {
    let rollout = rollouts::find(app, id).await?;
    let waits = rollout.state == "queued";
    // Whoever goes back needs the page also while the store cannot be read.
    let mut unread = false;
    let explanation = if waits { None } else { there(rollouts::explained(app, id).await, &mut unread)? };
    // One that waits for its turn alone has no gates before it.
    let gates = if waits { app.control.gates_of_rollout(id).await.ok().map(WireGates::from) } else { None };
    let lane = lane(&rollout.service, &rollout.environment)?;
    let smoked =
        Filter { rollout: Some(id.clone()), kind: Some(SMOKED.into()), limit: Some(SMOKES), ..Filter::default() };
    let samples = there(rollouts::sampled(app, id).await, &mut unread)?;
    let smokes = there(app.control.store().entries(&smoked).await.map_err(Problem::from), &mut unread)?;
    let group = there(app.control.group_at(&lane).await.map_err(Problem::from), &mut unread)?.flatten();
    let group = group.as_ref().map(WireGroupRun::from);
    Ok(Told {
        group: group.filter(|g| g.services.iter().any(|member| member.rollout.as_deref() == Some(id.as_str()))),
        samples: with_decisions(samples.unwrap_or_default(), explanation.as_ref()),
        lane: app.control.lane(&lane).await?.as_ref().map(lane_status),
        smokes: smokes.unwrap_or_default().into_iter().map(WireBeside::from).collect(),
        unread,
        now: app.control.now().0,
        rollout,
        explanation,
        gates,
    })
}

/// What was asked for; nothing where the store is away, which is noted.
fn there<T>(found: Result<T, Problem>, unread: &mut bool) -> Result<Option<T>, Problem> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(problem) if problem.is_away() => {
            *unread = true;
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

/// Samples, and the looks at which something was decided: those end a step, so no sample shows them.
fn with_decisions(mut samples: Vec<WireSample>, explanation: Option<&Explanation>) -> Vec<WireSample> {
    let Some(explanation) = explanation else { return samples };
    for decision in explanation.decisions.iter().filter(|decision| !decision.judgements.is_empty()) {
        let after = samples.partition_point(|sample| sample.at < decision.at);
        let Some(before) = after.checked_sub(1).and_then(|i| samples.get(i)) else { continue };
        let step = explanation.plan.steps.iter().position(|step| step.name == decision.step).unwrap_or(before.step);
        let weight_bp = decision.weight_bp.unwrap_or(before.weight_bp);
        let look = WireSample {
            at: decision.at,
            step,
            weight_bp,
            // What was measured of another share says nothing of this one.
            measured_bp: before.measured_bp.filter(|_| before.weight_bp == weight_bp),
            waiting: Some(decision.sentence.clone()),
            objectives: decision.judgements.iter().map(WirePoint::from).collect(),
            ..before.clone()
        };
        samples.insert(after, look);
    }
    samples
}
