//! Services in environments: trouble first, then what moves, then the calm rest.

pub(super) mod shared;

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use self::shared::Shared;
use super::frame::{Frame, Here, Wanted, made};
use super::session::Viewer;
use super::when::When;
use crate::problem::Problem;
use crate::state::App;
use crate::wire::words::{services, share, time};
use crate::wire::{LaneStatus, WireRollout, WireTimes};

/// How long the overview tells of what was taken back, in milliseconds: a day.
const LATELY_MS: u64 = 24 * 3_600 * 1_000;

/// The word for a service where something waits for somebody's.
pub(super) const WAITS: &str = "waits for a word";

/// A service in an environment, with its open rollout.
pub(super) type Told = (LaneStatus, Option<WireRollout>);

#[derive(Template)]
#[template(path = "overview.html", blocks = ["live"])]
struct View {
    frame: Frame,
    rows: Arc<Rows>,
}

/// What the page shows, the same to everybody.
struct Rows {
    trouble: Vec<Row>,
    moving: Vec<Row>,
    /// Calm again after something was taken back there, the latest first.
    lately: Vec<Back>,
    calm: Vec<Row>,
    said: String,
}

impl Rows {
    /// As the browser's tab says it: whether anybody is needed, first.
    fn title(&self) -> String {
        match (self.trouble.len(), self.moving.len()) {
            (0, 0) => "Services".to_string(),
            (0, n) => format!("{n} changing: Services"),
            (n, _) => format!("{}: Services", need(n)),
        }
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

/// What was taken back lately.
#[derive(Debug, Clone, PartialEq)]
struct Back {
    service: String,
    environment: String,
    /// The rollout that went back.
    href: String,
    from: String,
    to: String,
    at: When,
    cause: String,
}

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    Extension(shared): Extension<Arc<Shared>>,
    Extension(viewer): Extension<Viewer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let made = shared.now(&app).await?;
    let frame = Frame::at(made.rows.title(), Here::Overview, &viewer);
    Wanted::of(&headers).answer_with(&made.part, || View { frame, rows: made.rows.clone() })
}

/// The living part.
fn living(rows: &Arc<Rows>) -> Result<String, Problem> {
    // Nothing of the frame is in it.
    let view = View { frame: Frame::outside(""), rows: rows.clone() };
    made(&view.as_live())
}

/// What the page shows of what the API tells.
fn rows<'a>(told: impl Iterator<Item = &'a Told>) -> Rows {
    let told: Vec<&Told> = told.collect();
    let mut rows: Vec<(u8, Row)> = told.iter().map(|told| row(told)).collect();
    let all: BTreeSet<String> = rows.iter().map(|(_, row)| row.service.clone()).collect();
    rows.sort_by(|a, b| (a.0, &a.1.service, &a.1.environment).cmp(&(b.0, &b.1.service, &b.1.environment)));
    let of = |rank: u8| rows.iter().filter(|(r, _)| *r == rank).map(|(_, row)| row.clone()).collect::<Vec<_>>();
    let (trouble, moving, calm) = (of(0), of(1), of(2));
    let lately = lately(&told);
    let said = match (trouble.len(), moving.len()) {
        (0, 0) if calm.is_empty() => "Nothing is there yet.".to_string(),
        (0, 0) if lately.is_empty() => format!("All calm: {}, nothing is changing.", services(all.len())),
        (0, 0) => format!("All calm again: {}, nothing is changing.", services(all.len())),
        (0, n) => format!("{n} changing, nobody is needed."),
        (n, 0) => format!("{}.", need(n)),
        (n, m) => format!("{}, {m} changing.", need(n)),
    };
    Rows { trouble, moving, lately, calm, said }
}

/// What was taken back within [`LATELY_MS`] where nothing happens now, the latest first.
fn lately(told: &[&Told]) -> Vec<Back> {
    let mut all: Vec<(u64, Back)> = told
        .iter()
        .filter(|(lane, open)| standing(lane, open.as_ref()).0 == 2)
        .filter_map(|(lane, _)| back(lane))
        .collect();
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    all.into_iter().map(|(_, back)| back).collect()
}

fn back(lane: &LaneStatus) -> Option<(u64, Back)> {
    let back = lane.went_back.as_ref().filter(|back| back.ago_ms.is_some_and(|ms| ms < LATELY_MS))?;
    let at = back.at?;
    let shown = Back {
        service: lane.service.clone(),
        environment: lane.environment.clone(),
        href: format!("/rollouts/{}", back.rollout),
        from: back.from.clone(),
        to: back.to.clone(),
        at: When::at(at),
        cause: back.cause.clone(),
    };
    Some((at, shown))
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
            None => match lane.queue.first() {
                Some(waiting) => format!("/rollouts/{waiting}"),
                None => format!("/services/{}", lane.service),
            },
        },
        version: lane.stable.as_ref().map_or_else(|| "nothing yet".to_string(), |s| s.version.clone()),
        candidate,
        state,
        sentence,
        ready: lane.stable.as_ref().map_or_else(String::new, |s| format!("{}/{}", s.ready, s.desired)),
        share: weight.map(|bp| (format!("{}", f64::from(bp) / 100.0), format!("{} of the {}", share(bp), whose(lane)))),
        since: lane.deployed_at.map(When::at),
        times: both(&lane.times),
        drill: drilled(&lane.times),
    };
    (rank, row)
}

/// What is said of a service with fewer instances that are ready than it should have, and not because of a restart.
pub(super) fn short(lane: &LaneStatus) -> Option<String> {
    let short = lane.stable.as_ref().filter(|s| s.ready < s.desired && lane.restart.is_none());
    short.map(|stable| format!("{} of {} instances are ready", stable.ready, stable.desired))
}

/// 0 for trouble, 1 for what moves, 2 for calm; the word for it; and what is to be said.
pub(super) fn standing(lane: &LaneStatus, open: Option<&WireRollout>) -> (u8, (String, &'static str), String) {
    let short = short(lane);
    let word = |word: &str, kind| (word.to_string(), kind);
    if let Some(incident) = &lane.incident {
        return (0, word("incident", "bad"), incident.what.join("; "));
    }
    let unrecorded = lane.unrecorded.as_ref().map(|u| u.why.clone());
    if let Some(open) = open {
        let waits = open.waiting.as_ref().map_or_else(String::new, |w| w.on.clone());
        let said = open.cause.clone().unwrap_or(waits);
        return match (open.state.as_str(), open.outcome.as_deref()) {
            (_, Some("held")) => (0, word("needs a person", "bad"), said),
            ("undoing", _) => (0, word("going back", "bad"), said),
            ("paused", _) => (0, word("paused", "warn"), said),
            _ if unrecorded.is_some() => (0, word("not recorded", "warn"), unrecorded.unwrap_or_default()),
            _ if whole(open) && short.is_some() => (0, word("short", "warn"), short.unwrap_or_default()),
            _ => (1, word(&open.kind, "busy"), said),
        };
    }
    if let Some(said) = unrecorded {
        return (0, word("not recorded", "warn"), said);
    }
    if let Some(said) = short {
        return (0, word("short", "warn"), said);
    }
    if lane.maintenance {
        return (0, word("maintenance", "warn"), "nobody is reached, on purpose".to_string());
    }
    if let Some(fault) = lane.faults.first() {
        return (0, word("fault", "warn"), format!("on purpose, by {}: {}", fault.by, fault.what));
    }
    if let Some(drift) = lane.drift.first() {
        return (0, word("drift", "warn"), drift.clone());
    }
    if lane.restart.is_some() {
        return (1, word("restarting", "busy"), "instances are replaced one after another".to_string());
    }
    // Where nothing is open, whatever waits does so for somebody's word.
    if !lane.queue.is_empty() {
        return (0, word(WAITS, "warn"), format!("{} waits to begin", lane.queue.join(", ")));
    }
    if lane.stable.is_none() {
        return (0, word("nothing serves", "warn"), "no release into it has succeeded".to_string());
    }
    (2, word("calm", "calm"), String::new())
}

fn need(n: usize) -> String {
    if n == 1 { "1 needs a look".to_string() } else { format!("{n} need a look") }
}

/// Whether stable keeps all of its instances while this goes on.
fn whole(open: &WireRollout) -> bool {
    open.kind == "release" && !open.worker && matches!(open.strategy.as_str(), "canary" | "blue-green")
}

/// What shares are of.
fn whose(lane: &LaneStatus) -> &'static str {
    if lane.worker { "instances" } else { "users" }
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
    let view = View { frame: Frame::at("Services", Here::Overview, viewer), rows: Arc::new(rows(told.iter())) };
    view.as_live().render().unwrap_or_default()
}
