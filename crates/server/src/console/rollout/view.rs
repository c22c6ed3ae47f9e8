//! The page of a rollout as a pure function of what the API tells.

use askama::Template;

use super::super::asking::Asking;
use super::super::button::Button;
use super::super::chart::{Chart, charts};
use super::super::frame::{Frame, Here, Living};
use super::super::session::Viewer;
use super::super::when::When;
use super::Told;
use super::buttons::buttons;
use crate::wire::words::{count, met, share, time};
use crate::wire::{WireGate, WireGroupRun, WireProbes, WireRollout, WireSample, WireStep};

/// The page.
#[derive(Template)]
#[template(path = "rollout.html", blocks = ["live"])]
pub(in crate::console) struct View {
    frame: Frame,
    id: String,
    topic: String,
    service: String,
    environment: String,
    version: String,
    from: Option<String>,
    strategy: String,
    kind: String,
    /// The word for its state and the colour of it.
    state: (String, &'static str),
    /// What is said aloud when it changes: its state and its step, and not every number.
    announced: String,
    /// What is waited for, or how it ended.
    sentence: String,
    /// The sentence says what is waited for.
    waits: bool,
    remaining: Option<String>,
    bar: Option<Bar>,
    steps: Vec<Step>,
    charts: Vec<Chart>,
    /// Why there is none, where there is none.
    uncharted: String,
    met: Option<String>,
    /// How many people that were.
    people: Option<String>,
    probed: Option<String>,
    way_back: String,
    way_back_took: Option<String>,
    remarks: Vec<String>,
    /// What of other services it goes with.
    group: Option<String>,
    buttons: Vec<Button>,
    gates: Vec<WireGate>,
    /// Where it waits: what whoever approves it must see.
    asking: Option<Asking>,
    told: Vec<Line>,
    smokes: Vec<Line>,
    replay: Option<Replay>,
    actor: String,
    began: Option<When>,
    ended: Option<When>,
    took: Option<String>,
}

/// The split as a bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    /// Where the candidate's part ends, of a thousand.
    candidate: u32,
    /// Where the measured part ends.
    measured: Option<u32>,
    wanted: String,
    said: String,
}

/// A step on the rail.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    name: String,
    state: String,
    sign: &'static str,
    /// What it does, or what is said of it now.
    text: String,
    /// How long it took, or may take.
    length: String,
    no_return: bool,
    here: bool,
}

/// A line of what happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    at: When,
    what: String,
    actor: String,
    texts: Vec<String>,
    kind: &'static str,
}

/// The slider.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replay {
    last: usize,
    moment: usize,
    at: When,
    playing: bool,
}

impl Living for View {
    fn living(&self) -> askama::Result<String> {
        self.as_live().render()
    }
}

/// What a release of a group means for the rollout of one of its services.
fn group(run: &WireGroupRun) -> String {
    let others = run.services.len() - 1;
    let services = if others == 1 { "another service".to_string() } else { format!("{others} other services") };
    let cause = run.cause.as_ref().map_or_else(String::new, |cause| format!(" ({cause})"));
    match run.state.as_str() {
        "returning" => format!("Part of {}: the whole group {} goes back{cause}.", run.id, run.group),
        _ => format!(
            "Part of {}, the release of the group {} with {services}, asked for by {}: where one of them fails, all that were released with it go back.",
            run.id, run.group, run.actor
        ),
    }
}

/// The page of a rollout for somebody, now or at a moment of it.
pub(in crate::console) fn view(viewer: &Viewer, told: &Told, moment: Option<usize>) -> View {
    let (r, explanation) = (&told.rollout, told.explanation.as_ref());
    let plan = explanation.map(|e| &e.plan).or(told.gates.as_ref().map(|g| &g.plan));
    let planned: &[WireStep] = plan.map_or(&[], |plan| &plan.steps);
    let index = moment.map(|moment| moment.min(told.samples.len().saturating_sub(1)));
    let then = index.and_then(|index| told.samples.get(index));
    let seen = index.and_then(|index| told.samples.get(..=index)).unwrap_or(&told.samples);
    let no_return = plan.map_or(&[][..], |plan| &plan.points_of_no_return);
    let until = then.map_or(u64::MAX, |sample| sample.at);
    let state = then.map_or_else(|| state(r), |sample| word(&sample.state, None));
    let steps = steps(told, planned, no_return, then);
    let title = format!("{}: {} {} to {}", state.0, r.service, r.version, r.environment);
    View {
        frame: Frame::of(title, Here::Overview, viewer),
        id: r.rollout.clone(),
        topic: format!("lane:{}/{}", r.service, r.environment),
        service: r.service.clone(),
        environment: r.environment.clone(),
        version: r.version.clone(),
        from: r.from.clone(),
        strategy: r.strategy.clone(),
        kind: r.kind.clone(),
        announced: announced(&state, &steps),
        state,
        sentence: sentence(r, then),
        waits: then.is_none() && r.cause.is_none() && r.waiting.is_some() && r.state != "queued",
        remaining: r.waiting.as_ref().filter(|_| then.is_none()).and_then(|w| w.remaining_ms).map(time),
        bar: bar(told, then),
        steps,
        uncharted: uncharted(told),
        charts: charts(seen, planned, explanation.map_or(0, |e| e.began_at)),
        met: (r.kind != "contract" && r.exposed_requests > 0).then(|| met(&at(r, then))),
        people: then.is_none().then(|| people(r)).flatten(),
        probed: r.probes.as_ref().filter(|_| then.is_none()).map(|probes| probed(&r.version, probes)),
        way_back: plan.map_or_else(String::new, |plan| plan.way_back.clone()),
        way_back_took: took_back(r, plan.map(|plan| plan.rollback.as_str())),
        remarks: plan.map_or_else(Vec::new, |plan| plan.remarks.clone()),
        group: told.group.as_ref().map(group),
        buttons: if then.is_none() { buttons(viewer, told) } else { Vec::new() },
        gates: told.gates.as_ref().map_or_else(Vec::new, |gates| gates.gates.clone()),
        asking: told.gates.as_ref().filter(|_| r.state == "queued").map(Asking::of),
        told: lines(told, until),
        smokes: smokes(told, until),
        replay: replay(told, moment),
        actor: explanation
            .map(|e| e.actor.clone())
            .or(told.gates.as_ref().and_then(|g| g.asked_by.clone()))
            .unwrap_or_default(),
        began: explanation.map(|e| When::at(e.began_at)),
        ended: explanation.and_then(|e| e.ended_at).map(When::at),
        took: explanation.map(|e| time(e.ended_at.unwrap_or(told.now).saturating_sub(e.began_at))),
    }
}

/// How many people a version has met, as far as they are told apart.
fn people(r: &WireRollout) -> Option<String> {
    match r.exposed_users {
        0 => None,
        1 => Some("One user was told apart among them.".to_string()),
        n => Some(format!("{} users were told apart among them.", count(n))),
    }
}

fn probed(version: &str, probes: &WireProbes) -> String {
    let (all, bad) = (count(probes.candidate), count(probes.candidate_failed));
    format!("{all} synthetic probes went to {version}, {bad} of them failed.")
}

/// Why there is nothing to draw.
fn uncharted(told: &Told) -> String {
    let r = &told.rollout;
    let said = if told.unread {
        "What was kept of it cannot be read now."
    } else if r.kind == "contract" {
        "It changes the database alone: users meet nothing new, and nothing is judged."
    } else if r.exposed_requests == 0 && r.worker {
        "Nothing has been judged: no outcome was reported of it."
    } else if r.exposed_requests == 0 && r.state == "ended" {
        "Nothing was judged: no user met it."
    } else if r.exposed_requests == 0 {
        "Nothing has been judged yet: no user has met it."
    } else if told.samples.is_empty() {
        "What it looked like as it went is not kept any more; the decisions are."
    } else {
        "It declares no objectives: nothing judges it but health and smoke tests."
    };
    said.to_string()
}

fn announced((state, _): &(String, &'static str), steps: &[Step]) -> String {
    match steps.iter().find(|step| step.here) {
        Some(step) => format!("{state}, step {}", step.name),
        None => state.clone(),
    }
}

/// The word for a rollout's state and the colour of it.
fn state(r: &WireRollout) -> (String, &'static str) {
    word(&r.state, r.outcome.as_deref())
}

/// The same of a state and an outcome by name.
pub(in crate::console) fn word(state: &str, outcome: Option<&str>) -> (String, &'static str) {
    let (word, kind) = match (state, outcome) {
        (_, Some("succeeded")) => ("succeeded", "good"),
        (_, Some("rolled_back")) => ("rolled back", "bad"),
        (_, Some("held")) => ("needs a person", "bad"),
        (_, Some("superseded")) => ("superseded", "calm"),
        (_, Some(other)) => (other, "bad"),
        ("running", None) => ("on its way", "busy"),
        ("paused", None) => ("paused", "warn"),
        ("undoing", None) => ("going back", "bad"),
        ("queued", None) => ("waiting to begin", "busy"),
        (other, None) => (other, "calm"),
    };
    (word.to_string(), kind)
}

fn sentence(r: &WireRollout, then: Option<&WireSample>) -> String {
    let now = r.cause.as_ref().or(r.waiting.as_ref().map(|w| &w.on));
    match then {
        Some(sample) => {
            sample.waiting.clone().or_else(|| (sample.state == "ended").then(|| r.cause.clone())?).unwrap_or_default()
        }
        None => now.cloned().unwrap_or_default(),
    }
}

/// The rollout as it stood at a moment, as far as numbers go.
fn at(r: &WireRollout, then: Option<&WireSample>) -> WireRollout {
    match then {
        None => r.clone(),
        Some(s) => WireRollout { exposed_requests: s.requests, failed_requests: s.failed, ..r.clone() },
    }
}

/// The split now, at the moment that is played, or of one that was taken back at its widest: who met it is the question.
fn bar(told: &Told, then: Option<&WireSample>) -> Option<Bar> {
    let r = &told.rollout;
    let ours = r.split.iter().find(|s| s.version == r.version);
    let ended_badly = r.state == "ended" && r.outcome.as_deref() != Some("succeeded");
    let widest = told.samples.iter().max_by_key(|s| s.weight_bp).filter(|_| ended_badly);
    let (weight, measured) = match (then.or(widest), ours, told.samples.last()) {
        (Some(sample), _, _) => (sample.weight_bp, sample.measured_bp),
        (None, Some(part), _) => (part.weight_bp, part.measured_bp),
        (None, None, Some(sample)) => (sample.weight_bp, sample.measured_bp),
        (None, None, None) => return None,
    };
    let (thousand, seen) = (u32::from(weight) / 10, measured.map(|m| u32::from(m) / 10));
    let of = match (r.worker, then.is_none() && ended_badly) {
        (true, false) => "of the instances",
        (false, false) => "of the users",
        (true, true) => "of the instances at its widest",
        (false, true) => "of the users at its widest",
    };
    let said = measured.map_or_else(String::new, |bp| format!("{} measured", share(bp)));
    Some(Bar { candidate: thousand, measured: seen, wanted: format!("{} {of}", share(weight)), said })
}

fn steps(told: &Told, planned: &[WireStep], no_return: &[String], then: Option<&WireSample>) -> Vec<Step> {
    let one = |(i, step): (usize, &WireStep)| {
        let record = told.rollout.steps.get(i);
        let now = record.map_or("pending", |record| record.state.as_str());
        let state = match then {
            Some(sample) if i > sample.step => "pending",
            Some(sample) if i == sample.step && sample.state != "ended" => "waiting",
            _ => now,
        };
        let here = matches!(state, "acting" | "waiting");
        // What is waited for stands above, and what was decided at its end among the decisions, with its numbers.
        let above = told.rollout.cause.as_deref().filter(|_| then.is_none());
        let told_here = record.filter(|r| matches!(state, "failed" | "skipped") && !r.report.is_empty());
        let told_here = told_here.filter(|r| above != Some(r.report.as_str()));
        let estimate = step.today_ms.unwrap_or(step.best_ms);
        let length = match (state, took(&told.samples, i)) {
            ("pending", _) if estimate > 0 => format!("about {}", time(estimate)),
            ("done" | "failed", Some(ms)) => time(ms),
            _ => String::new(),
        };
        Step {
            name: step.name.clone(),
            state: state.to_string(),
            sign: sign(state),
            text: told_here.map_or_else(|| step.what.clone(), |record| record.report.clone()),
            length,
            no_return: no_return.contains(&step.name),
            here,
        }
    };
    planned.iter().enumerate().map(one).collect()
}

/// How long a step took that is over.
fn took(samples: &[WireSample], step: usize) -> Option<u64> {
    let begun = samples.iter().find(|s| s.step == step)?.at;
    let ended = samples.iter().find(|s| s.step > step || (s.step == step && s.state == "ended"))?.at;
    Some(ended.saturating_sub(begun))
}

fn sign(state: &str) -> &'static str {
    match state {
        "done" => "✓",
        "failed" => "✕",
        "acting" | "waiting" => "●",
        "skipped" => "–",
        _ => "○",
    }
}

fn took_back(r: &WireRollout, planned: Option<&str>) -> Option<String> {
    match r.rollback_ms {
        Some(ms) => Some(format!("Going back took {} until every gateway had confirmed it.", time(ms))),
        // What never began has nothing to take back.
        None if r.outcome.as_deref() == Some("blocked") => None,
        None => planned.filter(|said| !said.is_empty()).map(|said| format!("Going back: {said}.")),
    }
}

fn lines(told: &Told, until: u64) -> Vec<Line> {
    let Some(explanation) = &told.explanation else { return Vec::new() };
    let decided = explanation.decisions.iter().map(|d| {
        let kind = match d.what.as_str() {
            "undo" => "bad",
            "hold" | "restart" => "warn",
            _ => "good",
        };
        let what = format!("{} · {}", d.what, d.step);
        let judged = d.judgements.iter().map(|j| (&j.sentence, format!("{}: {}", j.name(), j.sentence)));
        let (within, beside): (Vec<_>, Vec<_>) = judged.partition(|(bare, _)| d.sentence.contains(bare.as_str()));
        let mut texts: Vec<String> = within.into_iter().map(|(_, text)| text).collect();
        // What the sentence says beside the judgements that it is made of.
        if texts.len() < 2 {
            texts = vec![d.sentence.clone()];
        }
        texts.extend(beside.into_iter().map(|(_, text)| text));
        (d.at, Line { at: When::at(d.at), what, actor: d.actor.clone(), texts, kind })
    });
    let beside = explanation.beside.iter().map(|b| {
        let line = Line {
            at: When::at(b.at),
            what: b.kind.clone(),
            actor: b.actor.clone(),
            texts: vec![b.sentence.clone()],
            kind: "calm",
        };
        (b.at, line)
    });
    let mut all: Vec<(u64, Line)> = decided.chain(beside).filter(|(at, _)| *at <= until).collect();
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    all.into_iter().map(|(_, line)| line).collect()
}

fn smokes(told: &Told, until: u64) -> Vec<Line> {
    let seen = told.smokes.iter().filter(|smoke| smoke.at <= until);
    seen.map(|smoke| Line {
        at: When::at(smoke.at),
        what: "smoke test".to_string(),
        actor: String::new(),
        texts: vec![smoke.sentence.clone()],
        kind: if smoke.sentence.contains("passed") { "good" } else { "bad" },
    })
    .collect()
}

fn replay(told: &Told, moment: Option<usize>) -> Option<Replay> {
    let last = told.samples.len().checked_sub(1).filter(|last| *last > 0 || moment.is_some())?;
    if told.rollout.state != "ended" && moment.is_none() {
        return None;
    }
    let at = moment.unwrap_or(last).min(last);
    let sample = told.samples.get(at)?;
    Some(Replay { last, moment: at, at: When::at(sample.at), playing: moment.is_some() })
}
