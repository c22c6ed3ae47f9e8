//! The journal: what happened, by whom and why, filtered, linked and exported.

use std::collections::HashMap;
use std::io;

use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use slipway_control::WATCHER;
use slipway_core::journal::Entry;
use slipway_core::units::Timestamp;
use slipway_store::Filter;

use super::frame::{Frame, Here, Living, Wanted};
use super::session::Viewer;
use super::when::When;
use crate::body::Asked;
use crate::problem::Problem;
use crate::state::App;

/// Entries on one page.
const PAGE: u32 = 100;
/// Entries of an export that are read at a time.
const EXPORTED: u32 = 1_000;

/// Which entries, as the form sends it: an empty field is none.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Query {
    #[serde(default)]
    service: String,
    #[serde(default)]
    environment: String,
    #[serde(default)]
    rollout: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
    #[serde(default)]
    before: String,
}

#[derive(Template)]
#[template(path = "journal.html", blocks = ["live"])]
struct View {
    frame: Frame,
    query: Query,
    /// The query without its place, for links.
    same: String,
    entries: Vec<Shown>,
    older: Option<u64>,
}

impl Living for View {
    fn living(&self) -> askama::Result<String> {
        self.as_live().render()
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    seq: u64,
    at: When,
    kind: String,
    actor: String,
    cause: String,
    lane: Option<(String, String)>,
    rollout: Option<String>,
    evidence: Option<String>,
    /// The entry that this one followed from, as far as the page has it.
    because: Option<Linked>,
    /// Those that followed from it.
    led_to: Vec<Linked>,
}

/// Another entry on the page.
#[derive(Debug, Clone, PartialEq)]
struct Linked {
    seq: u64,
    kind: String,
}

/// Kinds from which others of the same rollout follow, each with what it leads to until the next such entry: what somebody
/// asked for, what was decided, and a step that was entered.
const LEADS: [&str; 11] = [
    "rollout.asked",
    "rollout.planned",
    "rollout.approved",
    "rollout.paused",
    "rollout.resumed",
    "rollout.promoted",
    "decided",
    "step.entered",
    "instance.exited",
    "instance.lost",
    "instance.ejected",
];

impl Query {
    fn filter(&self, limit: u32) -> Result<Filter, Problem> {
        fn given<T: std::str::FromStr>(text: &str) -> Result<Option<T>, T::Err> {
            (!text.is_empty()).then(|| text.trim().parse()).transpose()
        }
        let before = given::<u64>(&self.before).map_err(|_| Problem::bad_request("before is not a number"))?;
        Ok(Filter {
            service: given(&self.service)?,
            environment: given(&self.environment)?,
            rollout: given(&self.rollout)?,
            kind: given(&self.kind).unwrap_or_default(),
            actor: given(&self.actor).unwrap_or_default(),
            since: moment("since", &self.since)?,
            until: moment("until", &self.until)?,
            before,
            limit: Some(limit),
            ..Filter::default()
        })
    }

    /// As a query string, without the place.
    fn text(&self) -> String {
        let fields = [
            ("service", &self.service),
            ("environment", &self.environment),
            ("rollout", &self.rollout),
            ("kind", &self.kind),
            ("actor", &self.actor),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given = fields.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| format!("{name}={}&", super::encoded(value))).collect()
    }
}

/// A time that a form sends (`2026-11-23T20:55`, in UTC) or a machine writes (RFC 3339).
fn moment(name: &str, text: &str) -> Result<Option<Timestamp>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let exact = text.parse::<jiff::Timestamp>();
    let local = || text.parse::<jiff::civil::DateTime>().and_then(|t| t.to_zoned(jiff::tz::TimeZone::UTC));
    let at = exact.or_else(|_| local().map(|zoned| zoned.timestamp()));
    let bad = || Problem::bad_request(format!("{name} is no time: write it like 2026-11-23T20:55, in UTC"));
    let ms = at.map_err(|_| bad())?.as_millisecond();
    Ok(Some(Timestamp(u64::try_from(ms).map_err(|_| bad())?)))
}

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    Extension(viewer): Extension<Viewer>,
    Asked(query): Asked<Query>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let entries = app.control.store().entries(&query.filter(PAGE)?).await?;
    let view = view(&viewer, query, &entries);
    Wanted::of(&headers).answer(&view)
}

fn view(viewer: &Viewer, query: Query, entries: &[Entry]) -> View {
    let full = entries.len() == PAGE as usize;
    View {
        frame: Frame::at("Journal", Here::Journal, viewer),
        same: query.text(),
        older: entries.last().filter(|_| full).map(|entry| entry.seq),
        entries: linked(entries.iter().map(shown).collect()),
        query,
    }
}

/// Links every entry of a rollout to the last one before it from which others follow, and an incident with the rollback that
/// it led to and with its end. `entries` are newest first.
fn linked(mut entries: Vec<Shown>) -> Vec<Shown> {
    let mut last: HashMap<String, usize> = HashMap::new();
    let mut incidents: HashMap<(String, String), usize> = HashMap::new();
    for place in (0..entries.len()).rev() {
        let entry = &entries[place];
        let (kind, rollout, lane) = (entry.kind.clone(), entry.rollout.clone(), entry.lane.clone().unwrap_or_default());
        let cause = match &*kind {
            "incident.closed" => incidents.remove(&lane),
            "rollout.asked" if entry.actor == WATCHER => incidents.get(&lane).copied(),
            _ => rollout.as_ref().and_then(|rollout| last.get(rollout)).copied(),
        };
        if let Some(cause) = cause {
            let (before, now) = (link(&entries[cause]), link(&entries[place]));
            entries[place].because = Some(before);
            entries[cause].led_to.push(now);
        }
        if kind == "incident.opened" {
            incidents.insert(lane, place);
        } else if let Some(rollout) = rollout.filter(|_| leads(&kind)) {
            last.insert(rollout, place);
        }
    }
    entries
}

fn leads(kind: &str) -> bool {
    LEADS.iter().any(|lead| kind.strip_prefix(lead).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

fn link(entry: &Shown) -> Linked {
    Linked { seq: entry.seq, kind: entry.kind.clone() }
}

fn shown(entry: &Entry) -> Shown {
    let fact = &entry.fact;
    let evidence = (!fact.evidence.is_null()).then(|| serde_json::to_string_pretty(&fact.evidence).unwrap_or_default());
    Shown {
        seq: entry.seq,
        at: When::at(entry.at.0),
        kind: fact.kind.clone(),
        actor: fact.actor.clone(),
        cause: fact.cause.clone(),
        lane: fact.lane.as_ref().map(|lane| (lane.service.to_string(), lane.environment.to_string())),
        rollout: fact.rollout.as_ref().map(ToString::to_string),
        evidence,
        because: None,
        led_to: Vec::new(),
    }
}

/// The same entries and all older ones as lines of JSON, newest first, for whoever keeps them elsewhere.
pub(super) async fn export(State(app): State<App>, Asked(query): Asked<Query>) -> Result<Response, Problem> {
    let filter = query.filter(EXPORTED)?;
    let first = app.control.store().entries(&filter).await?;
    let parts = stream::unfold(Some(first), move |part| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let part = part?;
            let lines: String = part.iter().filter_map(line).collect();
            let next = match part.last().filter(|_| part.len() == EXPORTED as usize) {
                Some(last) => app.control.store().entries(&Filter { before: Some(last.seq), ..filter }).await.map(Some),
                None => Ok(None),
            };
            // Half an export must not look like a whole one: where it breaks, so does the download.
            Some(match next {
                Ok(next) => (Ok(lines), next),
                Err(error) => (Err(io::Error::other(error)), None),
            })
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"journal.ndjson\""),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}

fn line(entry: &Entry) -> Option<String> {
    serde_json::to_string(entry).ok().map(|line| line + "\n")
}

/// The living part for somebody who asked with `query`.
#[cfg(test)]
pub(super) fn view_for(viewer: &Viewer, query: serde_json::Value, entries: &[Entry]) -> String {
    let query = serde_json::from_value(query).unwrap_or_default();
    view(viewer, query, entries).living().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, rollout: &str, kind: &str) -> Shown {
        let (kind, rollout) = (kind.to_string(), Some(rollout.to_string()));
        let (actor, cause) = (String::new(), String::new());
        let (lane, evidence) = (None, None);
        Shown { seq, at: When::at(seq), kind, actor, cause, lane, rollout, evidence, because: None, led_to: Vec::new() }
    }

    #[test]
    fn an_incident_is_linked_with_its_rollback_and_its_end() {
        let at = |seq, kind: &str, service: &str, actor: &str| {
            let lane = Some((service.to_string(), "production".to_string()));
            Shown { lane, rollout: None, actor: actor.to_string(), ..entry(seq, "", kind) }
        };
        let asked = |seq, service, actor| Shown {
            rollout: Some(format!("ro-{seq}")),
            ..at(seq, "rollout.asked", service, actor)
        };
        let linked = linked(vec![
            asked(7, "shop", WATCHER),
            at(6, "incident.closed", "shop", "slipway"),
            asked(5, "shop", "user:ada"),
            asked(4, "cart", WATCHER),
            asked(3, "shop", WATCHER),
            at(2, "incident.opened", "cart", "slipway"),
            at(1, "incident.opened", "shop", "slipway"),
        ]);
        let because: Vec<_> = linked.iter().map(|entry| entry.because.as_ref().map(|b| b.seq)).collect();
        assert_eq!(because, [None, Some(1), None, Some(2), Some(1), None, None]);
        let led: Vec<u64> = linked[6].led_to.iter().map(|l| l.seq).collect();
        assert_eq!(led, [3, 6]);
    }

    #[test]
    fn a_decision_is_linked_with_what_came_of_it_in_the_same_rollout() {
        let newest_first = vec![
            entry(6, "ro-1", "rollout.ended"),
            entry(5, "ro-1", "traffic.returned"),
            entry(4, "ro-2", "rollout.asked"),
            entry(3, "ro-1", "traffic.returning"),
            entry(2, "ro-1", "decided.undo"),
            entry(1, "ro-1", "step.entered"),
        ];
        let linked = linked(newest_first);
        let because = |place: usize| linked[place].because.as_ref().map(|b| b.seq);
        assert_eq!(
            [because(0), because(1), because(2), because(3), because(4), because(5)],
            [Some(2), Some(2), None, Some(2), Some(1), None]
        );
        let led: Vec<u64> = linked[4].led_to.iter().map(|l| l.seq).collect();
        assert_eq!((led, leads("decidedly")), (vec![3, 5, 6], false));
    }
}
