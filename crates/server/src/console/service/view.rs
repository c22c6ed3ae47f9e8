//! The page of a service as a pure function of what the API tells.

use askama::Template;

use super::super::button::Button;
use super::super::frame::{Frame, Here, Living};
use super::super::overview;
use super::super::session::Viewer;
use super::super::when::When;
use super::Told;
use super::buttons::buttons;
use crate::wire::words::{count, share, time};
use crate::wire::{HistoryEntry, LaneStatus, WireBack, WireComparison, WireDifference, WireGate, WireGates, WireWay};

/// The page.
#[derive(Template)]
#[template(path = "service.html", blocks = ["live"])]
pub(in crate::console) struct View {
    frame: Frame,
    service: String,
    lanes: Vec<Lane>,
    history: Vec<Past>,
    versions: Vec<String>,
    next: Vec<Next>,
    pair: (String, String),
    /// The pair as a query.
    asked: String,
    diff: Option<Diff>,
}

/// The service in one environment.
#[derive(Debug, Clone, PartialEq)]
struct Lane {
    environment: String,
    version: String,
    ready: String,
    since: Option<When>,
    standby: Option<(String, Option<When>)>,
    rollout: Option<String>,
    /// Those that wait to begin.
    waiting: Vec<String>,
    drill: String,
    /// How the card looks.
    kind: &'static str,
    times: Vec<(&'static str, String)>,
    notes: Vec<String>,
    /// What can be pressed.
    buttons: Vec<Button>,
    /// What cannot, by the reason.
    refused: Vec<(Vec<String>, String)>,
}

/// A rollout that was.
#[derive(Debug, Clone, PartialEq)]
struct Past {
    id: String,
    environment: String,
    what: String,
    outcome: (String, &'static str),
    actor: String,
    began: When,
    deployment: String,
    rollback: String,
    cause: String,
}

/// What a next release would do in one environment.
#[derive(Debug, Clone, PartialEq)]
struct Next {
    environment: String,
    strategy: String,
    /// Each step with what it exposes and how long it takes.
    steps: Vec<(String, String, String)>,
    takes: String,
    gates: Vec<WireGate>,
    ways: Vec<Way>,
    advice: String,
}

/// One strategy beside the others.
#[derive(Debug, Clone, PartialEq)]
struct Way {
    name: String,
    fits: bool,
    takes: String,
    exposed: String,
    extra: u32,
    back: String,
    rollback: String,
    harm: String,
    why: Vec<String>,
}

/// Two versions.
#[derive(Debug, Clone, PartialEq)]
struct Diff {
    from: String,
    to: String,
    said: String,
    rows: Vec<Row>,
}

/// One place in which they differ.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    place: String,
    before: String,
    after: String,
    /// Of a file the lines that differ instead, each with what it is: `came`, `gone`, `place` or `same`.
    lines: Vec<(&'static str, String)>,
}

impl Living for View {
    fn living(&self) -> askama::Result<String> {
        self.as_live().render()
    }
}

/// The page of a service for somebody.
pub(in crate::console) fn view(viewer: &Viewer, service: &str, told: &Told, pair: (&str, &str)) -> View {
    View {
        frame: Frame::of(service, Here::Overview, viewer),
        service: service.to_string(),
        lanes: told.lanes.iter().map(|l| lane(viewer, l, &told.history)).collect(),
        history: told.history.iter().map(past).collect(),
        versions: told.versions.clone(),
        next: told.next.iter().map(|gates| next(gates, &told.compared)).collect(),
        pair: (pair.0.to_string(), pair.1.to_string()),
        asked: format!("from={}&to={}", super::super::encoded(pair.0), super::super::encoded(pair.1)),
        diff: told.diff.as_ref().map(|found| match found {
            Err(why) => Diff { from: pair.0.into(), to: pair.1.into(), said: why.clone(), rows: Vec::new() },
            Ok(found) => Diff {
                from: found.from.clone(),
                to: found.to.clone(),
                said: found.sentence().to_string(),
                rows: found.differences.iter().map(difference).collect(),
            },
        }),
    }
}

/// Versions that have served there, the newest first, but for the one that serves.
fn earlier(l: &LaneStatus, history: &[HistoryEntry]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for past in history.iter().map(|entry| &entry.rollout) {
        let served = past.environment == l.environment && past.outcome.as_deref() == Some("succeeded");
        let serves = l.stable.as_ref().is_some_and(|stable| stable.version == past.version);
        if served && !serves && matches!(past.kind.as_str(), "release" | "rollback") && !all.contains(&past.version) {
            all.push(past.version.clone());
        }
    }
    all
}

fn lane(viewer: &Viewer, l: &LaneStatus, history: &[HistoryEntry]) -> Lane {
    let mut notes = l.drift.clone();
    notes.extend(l.incident.iter().map(|i| format!("incident {}: {}", i.number, i.what.join("; "))));
    notes.extend(l.unrecorded.iter().map(|u| format!("not recorded: {}; a way back is still taken", u.why)));
    notes.extend(l.restart.as_ref().map(|r| format!("restarted by {}: {} of {} instances left", r.by, r.left, r.of)));
    notes.extend(overview::short(l));
    if l.maintenance {
        notes.push("in maintenance: nobody is reached, on purpose".to_string());
    }
    notes.extend(l.faults.iter().map(|f| format!("a fault is injected on purpose by {}: {}", f.by, f.what)));
    let buttons = buttons(viewer, l, earlier(l, history));
    let back = (l.times.rollback_ms, l.times.deployment_ms);
    let times = [("rollback", back.0), ("deployment", back.1)];
    Lane {
        kind: match (&l.incident, &l.rollout) {
            (Some(_), _) => "bad",
            (None, Some(_)) => "busy",
            (None, None) if notes.is_empty() && l.queue.is_empty() => "calm",
            (None, None) => "warn",
        },
        environment: l.environment.clone(),
        version: l.stable.as_ref().map_or_else(|| "nothing yet".to_string(), |s| s.version.clone()),
        ready: l.stable.as_ref().map_or_else(String::new, |s| format!("{} of {} ready", s.ready, s.desired)),
        since: l.deployed_at.map(When::at),
        standby: l.standby.as_ref().map(|s| (s.version.clone(), l.standby_until.map(When::at))),
        rollout: l.rollout.clone(),
        waiting: l.queue.clone(),
        drill: match &l.times.drill {
            None => "never drilled".to_string(),
            Some(d) if !d.passed => format!("the last drill failed {} ago: {}", time(d.ago_ms), d.cause),
            Some(d) if d.slower => format!("drilled {} ago; slower than the deployment", time(d.ago_ms)),
            Some(d) => format!("drilled {} ago", time(d.ago_ms)),
        },
        times: times.into_iter().filter_map(|(name, ms)| Some((name, time(ms?)))).collect(),
        notes,
        refused: refused(&buttons),
        buttons: buttons.into_iter().filter(|b| b.refused.is_none()).collect(),
    }
}

/// The names of the buttons that cannot be pressed, those with the same reason together.
fn refused(buttons: &[Button]) -> Vec<(Vec<String>, String)> {
    let mut all: Vec<(Vec<String>, String)> = Vec::new();
    for button in buttons {
        let Some(why) = &button.refused else { continue };
        match all.iter_mut().find(|(_, reason)| reason == why) {
            Some((names, _)) => names.push(button.name.clone()),
            None => all.push((vec![button.name.clone()], why.clone())),
        }
    }
    all
}

fn past(entry: &HistoryEntry) -> Past {
    let r = &entry.rollout;
    let from = r.from.as_ref().map(|from| format!("{from} → ")).unwrap_or_default();
    let said = |ms: Option<u64>| ms.map_or_else(|| "–".to_string(), time);
    Past {
        id: r.rollout.clone(),
        environment: r.environment.clone(),
        what: format!(
            "{from}{}{}",
            r.version,
            if r.kind == "release" { String::new() } else { format!(" ({})", r.kind) }
        ),
        outcome: super::super::rollout::word(&r.state, r.outcome.as_deref()),
        actor: entry.actor.clone(),
        began: When::at(entry.began_at),
        deployment: time(r.deploy_ms),
        rollback: said(r.rollback_ms),
        cause: r.cause.clone().unwrap_or_default(),
    }
}

fn next(gates: &WireGates, compared: &[WireComparison]) -> Next {
    let plan = &gates.plan;
    let compared = compared.iter().find(|c| c.environment == gates.environment);
    Next {
        environment: gates.environment.clone(),
        strategy: plan.strategy.clone(),
        steps: plan
            .steps
            .iter()
            .map(|s| (s.name.clone(), share(s.exposed_bp), time(s.today_ms.unwrap_or(s.best_ms))))
            .collect(),
        takes: format!("{} at best, {} before every limit has run out", time(plan.best_ms), time(plan.worst_ms)),
        gates: gates.gates.clone(),
        ways: compared.map_or_else(Vec::new, |c| c.strategies.iter().map(way).collect()),
        advice: compared.map_or_else(String::new, |c| match &c.advice {
            Some(advice) => format!("{advice}: {}", c.why),
            None => c.why.clone(),
        }),
    }
}

fn way(way: &WireWay) -> Way {
    Way {
        name: way.strategy.clone(),
        fits: way.fits,
        takes: time(way.today_ms.unwrap_or(way.best_ms)),
        exposed: share(way.exposed_bp),
        extra: way.extra_instances,
        back: way.back.as_ref().map_or_else(|| "none".to_string(), back),
        rollback: way.rollback.clone(),
        harm: way.harm.as_ref().map_or_else(
            || "no traffic known".to_string(),
            |h| match h.after_ms {
                Some(ms) => format!("{} requests in {}", count(h.failed), time(ms)),
                None => "would pass unnoticed".to_string(),
            },
        ),
        why: way.misfits.iter().chain(&way.cautions).cloned().collect(),
    }
}

/// How long going back takes, and how that is known.
fn back(back: &WireBack) -> String {
    let about = match back.basis.as_str() {
        "measured" => "",
        "at_most" => "up to ",
        _ => "about ",
    };
    match back.first_ms == back.last_ms {
        true => format!("{about}{}", time(back.first_ms)),
        false => format!("{about}{} at first, {} at the end", time(back.first_ms), time(back.last_ms)),
    }
}

fn difference(d: &WireDifference) -> Row {
    let said = |value: &Option<serde_json::Value>| match value {
        None => "–".to_string(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let kind = |line: &str| match line.as_bytes().first() {
        Some(b'+') => "came",
        Some(b'-') => "gone",
        Some(b'@') => "place",
        _ => "same",
    };
    let lines = d.lines().unwrap_or_default();
    Row {
        place: d.place.clone(),
        before: said(&d.before),
        after: said(&d.after),
        lines: lines.into_iter().map(|line| (kind(&line), line)).collect(),
    }
}
