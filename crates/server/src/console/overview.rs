//! Services in environments: trouble first, then what moves, then the calm rest.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::frame::{Frame, Here, Living, Wanted};
use super::session::Viewer;
use super::when::When;
use crate::problem::Problem;
use crate::state::App;
use crate::wire::words::{share, time};
use crate::wire::{LaneStatus, WireRollout, WireTimes};

/// A service in an environment, with its open rollout.
pub(super) type Told = (LaneStatus, Option<WireRollout>);

#[derive(Template)]
#[template(path = "overview.html", blocks = ["live"])]
struct View {
    frame: Frame,
    trouble: Vec<Row>,
    moving: Vec<Row>,
    calm: Vec<Row>,
    said: String,
}

impl Living for View {
    fn living(&self) -> askama::Result<String> {
        self.as_live().render()
    }
}

/// A line of the overview.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    service: String,
    environment: String,
    href: String,
    version: String,
    candidate: Option<String>,
    /// How bad, busy or calm it is, as a word and the colour of it.
    state: (String, &'static str),
    sentence: String,
    /// Ready and wanted instances of the version that serves.
    ready: String,
    /// The candidate's share as a percentage of the width, and in words.
    share: Option<(String, String)>,
    since: Option<When>,
    times: String,
    drill: (String, &'static str),
}

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let told = told(&app).await?;
    let view = view(Frame::of("Services", Here::Overview, &viewer), &told);
    Wanted::of(&headers).answer(&view)
}

/// Everything that is shown, as the API tells it.
pub(super) async fn told(app: &App) -> Result<Vec<Told>, Problem> {
    let lanes = app.control.lanes().await?;
    Ok(lanes.into_iter().map(|lane| (crate::wire::lane_status(&lane), crate::wire::open_rollout(&lane))).collect())
}

fn view(frame: Frame, told: &[Told]) -> View {
    let mut rows: Vec<(u8, Row)> = told.iter().map(row).collect();
    rows.sort_by(|a, b| (a.0, &a.1.service, &a.1.environment).cmp(&(b.0, &b.1.service, &b.1.environment)));
    let of = |rank: u8| rows.iter().filter(|(r, _)| *r == rank).map(|(_, row)| row.clone()).collect::<Vec<_>>();
    let (trouble, moving, calm) = (of(0), of(1), of(2));
    let said = match (trouble.len(), moving.len()) {
        (0, 0) => format!("All calm: {}, nothing is changing.", services(calm.len())),
        (0, n) => format!("{n} changing, nobody is needed."),
        (n, 0) => format!("{n} need a look."),
        (n, m) => format!("{n} need a look, {m} changing."),
    };
    View { frame, trouble, moving, calm, said }
}

fn services(n: usize) -> String {
    if n == 1 { "one service".to_string() } else { format!("{n} services") }
}

fn row((lane, open): &Told) -> (u8, Row) {
    let (rank, state, sentence) = standing(lane, open.as_ref());
    let candidate = lane.candidate.as_ref().map(|c| c.version.clone());
    let weight = lane.split.iter().find(|s| Some(&s.version) == candidate.as_ref()).map(|s| s.weight_bp);
    let row = Row {
        service: lane.service.clone(),
        environment: lane.environment.clone(),
        href: match &lane.rollout {
            Some(rollout) => format!("/rollouts/{rollout}"),
            None => format!("/services/{}", lane.service),
        },
        version: lane.stable.as_ref().map_or_else(|| "nothing yet".to_string(), |s| s.version.clone()),
        candidate,
        state,
        sentence,
        ready: lane.stable.as_ref().map_or_else(String::new, |s| format!("{}/{}", s.ready, s.desired)),
        share: weight.map(|bp| (format!("{}", f64::from(bp) / 100.0), share(bp))),
        since: lane.deployed_at.map(When::at),
        times: both(&lane.times),
        drill: drilled(&lane.times),
    };
    (rank, row)
}

/// 0 for trouble, 1 for what moves, 2 for calm; the word for it; and what is to be said.
fn standing(lane: &LaneStatus, open: Option<&WireRollout>) -> (u8, (String, &'static str), String) {
    let short = lane.stable.as_ref().filter(|s| s.ready < s.desired && lane.restart.is_none());
    let word = |word: &str, kind| (word.to_string(), kind);
    if let Some(incident) = &lane.incident {
        return (0, word("incident", "bad"), incident.what.join("; "));
    }
    if let Some(open) = open {
        let waits = open.waiting.as_ref().map_or_else(String::new, |w| w.on.clone());
        let said = open.cause.clone().unwrap_or(waits);
        return match (open.state.as_str(), open.outcome.as_deref()) {
            (_, Some("held")) => (0, word("needs a person", "bad"), said),
            ("undoing", _) => (0, word("going back", "bad"), said),
            ("paused", _) => (0, word("paused", "warn"), said),
            _ => (1, word(&open.kind, "busy"), said),
        };
    }
    if let Some(stable) = short {
        let said = format!("{} of {} instances are ready", stable.ready, stable.desired);
        return (0, word("short", "warn"), said);
    }
    if lane.maintenance {
        return (0, word("maintenance", "warn"), "nobody is reached, on purpose".to_string());
    }
    if let Some(drift) = lane.drift.first() {
        return (0, word("drift", "warn"), drift.clone());
    }
    if lane.restart.is_some() {
        return (1, word("restarting", "busy"), "instances are replaced one after another".to_string());
    }
    if !lane.queue.is_empty() {
        return (1, word("waiting", "busy"), format!("{} waits to begin", lane.queue.join(", ")));
    }
    (2, word("calm", "calm"), String::new())
}

/// How long going back and deploying took the last time.
fn both(times: &WireTimes) -> String {
    let said = |ms: Option<u64>| ms.map_or_else(|| "–".to_string(), time);
    match (times.rollback_ms, times.deployment_ms) {
        (None, None) => String::new(),
        (back, forth) => format!("{} back, {} out", said(back), said(forth)),
    }
}

fn drilled(times: &WireTimes) -> (String, &'static str) {
    match &times.drill {
        None => ("never drilled".to_string(), "calm"),
        Some(drill) if !drill.passed => (format!("drill failed {} ago", time(drill.ago_ms)), "bad"),
        Some(drill) if drill.slower => (format!("slower than deploying, {} ago", time(drill.ago_ms)), "warn"),
        Some(drill) => (format!("drilled {} ago", time(drill.ago_ms)), "good"),
    }
}

/// The living part for somebody.
#[cfg(test)]
pub(super) fn view_for(viewer: &Viewer, told: &[Told]) -> String {
    view(Frame::of("Services", Here::Overview, viewer), told).as_live().render().unwrap_or_default()
}
