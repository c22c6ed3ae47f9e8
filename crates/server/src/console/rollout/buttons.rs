//! What a viewer may do about a rollout, what it would mean, and why not where not.

use slipway_core::rights::Right;

use super::super::session::Viewer;
use super::Told;
use crate::wire::words::{share, time};

/// A button with what pressing it means.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Button {
    /// What it says.
    pub name: String,
    /// Where its form goes.
    pub action: String,
    /// What pressing it means, said before it is pressed.
    pub means: String,
    /// Why it cannot be pressed.
    pub refused: Option<String>,
    /// It takes something back, or cannot be undone: `back`, `risky` or `plain`.
    pub kind: &'static str,
    /// Fields of its form.
    pub fields: Vec<(&'static str, String)>,
}

/// The buttons of a rollout.
pub(super) fn buttons(viewer: &Viewer, told: &Told) -> Vec<Button> {
    let r = &told.rollout;
    let at = |what: &str| format!("/rollouts/{}/{what}", r.rollout);
    let button = |name: &str, action: String, right: Right, kind, means: String| Button {
        name: name.to_string(),
        action,
        means,
        refused: viewer.refused(right),
        kind,
        fields: Vec::new(),
    };
    let mut all = Vec::new();
    let on_its_way = matches!(r.state.as_str(), "running" | "paused" | "held");
    if on_its_way || r.state == "queued" {
        all.push(button("Take it back", at("abort"), Right::Rollback, "back", taken_back(told)));
    }
    match r.state.as_str() {
        "running" => {
            let means = "Nothing advances until somebody resumes it. The judge goes on and still takes it back.";
            all.push(button("Pause", at("pause"), Right::Operate, "plain", means.to_string()));
        }
        "paused" | "held" => {
            let means = match r.state.as_str() {
                "paused" => "It goes on where it stopped.",
                _ => "The step begins afresh, with new evidence and its whole time.",
            };
            all.push(button("Resume", at("resume"), Right::Operate, "plain", means.to_string()));
        }
        _ => {}
    }
    if matches!(r.state.as_str(), "running" | "held") {
        all.push(button("Promote", at("promote"), Right::Operate, "risky", promoted(told)));
    }
    all.extend(back_again(viewer, told));
    all.extend(approval(viewer, told));
    all
}

fn taken_back(told: &Told) -> String {
    let r = &told.rollout;
    let Some(from) = &r.from else {
        return match r.state.as_str() {
            "queued" => format!("{} does not begin.", r.version),
            _ => format!("There is no predecessor: {} is stopped, and nothing serves {}.", r.version, r.service),
        };
    };
    let last = told.lane.as_ref().and_then(|lane| lane.times.rollback_ms);
    let took = last.map_or_else(String::new, |ms| format!(" The last time that took {}.", time(ms)));
    match r.worker {
        true => format!("Instances of {} finish their jobs and end; {from} takes all of them.{took}", r.version),
        false => format!("Everybody gets {from} again; {} gets no new request.{took}", r.version),
    }
}

fn promoted(told: &Told) -> String {
    let r = &told.rollout;
    let plan = told.explanation.as_ref().map(|e| &e.plan);
    let at_hand = r.steps.iter().position(|s| matches!(s.state.as_str(), "acting" | "waiting"));
    let next = plan.zip(at_hand).and_then(|(plan, at)| plan.steps.get(at + 1));
    let so = "You answer for the step at hand instead of the judge";
    match next {
        Some(step) => {
            format!("{so}. What comes next: {}, with {} of the users exposed.", step.name, share(step.exposed_bp))
        }
        None => format!("{so}. It is the last step."),
    }
}

/// A rollout that succeeded and still serves can be taken back as well.
fn back_again(viewer: &Viewer, told: &Told) -> Option<Button> {
    let (r, lane) = (&told.rollout, told.lane.as_ref()?);
    let serves = lane.stable.as_ref().is_some_and(|stable| stable.version == r.version);
    if r.state != "ended" || !serves || lane.rollout.is_some() || r.kind == "drill" {
        return None;
    }
    let action = format!("/services/{}/environments/{}/rollback", r.service, r.environment);
    let warm = lane.standby.is_some();
    let how = if warm { "which stands by: one switch" } else { "whose instances are started first" };
    Some(Button {
        name: match &lane.back_to {
            Some(to) => format!("Roll back to {to}"),
            None => "Roll back".to_string(),
        },
        action,
        means: match &lane.back_to {
            Some(to) => format!("Everybody gets {to} again, {how}. It is a rollout of its own and judged like one."),
            None => String::new(),
        },
        refused: lane.no_way_back.clone().or_else(|| viewer.refused(Right::Rollback)),
        kind: "back",
        fields: lane.back_to.iter().map(|to| ("to", to.clone())).collect(),
    })
}

fn approval(viewer: &Viewer, told: &Told) -> Option<Button> {
    let gates = told
        .gates
        .as_ref()
        .filter(|gates| gates.gates.iter().any(|g| g.name == "approvals" && g.standing == "waiting"))?;
    let own = gates.asked_by.as_deref() == Some(&format!("user:{}", viewer.name));
    let given = gates.approvals.iter().any(|a| a.counts && a.by == format!("user:{}", viewer.name));
    let refused = match (own, given) {
        (true, _) => Some("you asked for it: somebody else has to approve it".to_string()),
        (_, true) => Some("you have approved it already".to_string()),
        _ => viewer.refused(Right::Approve),
    };
    let points = &gates.plan.points_of_no_return;
    let no_return =
        if points.is_empty() { String::new() } else { format!(" It cannot be undone after: {}.", points.join(", ")) };
    Some(Button {
        name: "Approve".to_string(),
        action: format!("/rollouts/{}/approve", told.rollout.rollout),
        means: format!(
            "Your word is for exactly what is shown here: {} by {}.{no_return}",
            gates.version, gates.plan.strategy
        ),
        refused,
        kind: "plain",
        fields: vec![("shown", gates.shown.clone())],
    })
}
