//! What a viewer may do about a rollout, what it would mean, and why not where not.

use slipway_core::rights::Right;

use super::super::button::Button;
use super::super::session::Viewer;
use super::Told;
use crate::wire::words::{share, time};
use crate::wire::{WireGates, WireRollout, WireStepRecord};

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
        ask: None,
        choice: None,
    };
    let mut all = Vec::new();
    let on_its_way = matches!(r.state.as_str(), "running" | "paused" | "held");
    if on_its_way {
        let back = button("Take it back", at("abort"), Right::Rollback, "back", taken_back(told));
        let never = match r.kind.as_str() {
            "rollback" => Some("it is itself a way back, and goes on"),
            "contract" => Some("what it removes does not come back"),
            _ => None,
        };
        all.push(Button { refused: never.map(str::to_string).or(back.refused.clone()), ..back });
    }
    if r.state == "queued" {
        let means = format!("{} does not begin. It can be asked for again.", r.version);
        all.push(button("Withdraw", at("abort"), Right::Rollback, "plain", means));
    }
    match r.state.as_str() {
        "running" => {
            let judged = match r.kind.as_str() {
                "rollback" | "contract" => "",
                _ => " The judge goes on and still takes it back.",
            };
            let means = format!("Nothing advances until somebody resumes it.{judged}");
            all.push(button("Pause", at("pause"), Right::Operate, "plain", means));
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
        let fields = vec![("step", at_hand(r).map_or_else(String::new, |step| step.name.clone()))];
        let promote = button("Promote", at("promote"), Right::Operate, "risky", promoted(told));
        let judged = r.state == "held" || waits_for_a_verdict(told);
        let idle = (!judged).then(|| "this step waits for no verdict: it goes on by itself when it can".to_string());
        all.push(Button { fields, refused: idle.or(promote.refused.clone()), ..promote });
    }
    if r.unsettled {
        let say = format!("slipway migration {} --env {} --settle", r.service, r.environment);
        let first = format!("nobody knows what a migration has done: look at the database, then say it with {say}");
        all.iter_mut().filter(|b| b.kind != "back").for_each(|b| b.refused = Some(first.clone()));
    }
    all.extend(back_again(viewer, told));
    all.extend(told.gates.as_ref().and_then(|gates| approval(viewer, gates, &r.rollout)));
    all
}

fn taken_back(told: &Told) -> String {
    let r = &told.rollout;
    let Some(from) = &r.from else {
        return format!("There is no predecessor: {} is stopped, and nothing serves {}.", r.version, r.service);
    };
    let last = told.lane.as_ref().and_then(|lane| lane.times.rollback_ms);
    let took = last.map_or_else(String::new, |ms| format!(" The last time that took {}.", time(ms)));
    match r.worker {
        true => format!("Instances of {} finish their jobs and end; {from} takes all of them.{took}", r.version),
        false => format!("Everybody gets {from} again; {} gets no new request.{took}", r.version),
    }
}

/// Whether the step at hand waits for a verdict, which a person may give instead of the judge.
fn waits_for_a_verdict(told: &Told) -> bool {
    let step = told.explanation.as_ref().zip(at_hand(&told.rollout));
    step.is_none_or(|(explanation, at)| explanation.plan.steps.iter().any(|step| step.name == at.name && step.judged))
}

/// The step that is acting or waits, which a word is for.
fn at_hand(rollout: &WireRollout) -> Option<&WireStepRecord> {
    rollout.steps.iter().find(|step| matches!(step.state.as_str(), "acting" | "waiting"))
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
        fields: lane.back_to.iter().map(|to| ("to", to.clone())).chain([("from", r.version.clone())]).collect(),
        ask: None,
        choice: None,
    })
}

/// The button to approve a release that waits for somebody's word.
pub(in crate::console) fn approval(viewer: &Viewer, gates: &WireGates, rollout: &str) -> Option<Button> {
    gates.gates.iter().find(|gate| gate.name == "approvals" && gate.standing == "waiting")?;
    let viewer_is = |name: &str| name == format!("user:{}", viewer.name);
    let own = gates.asked_by.as_deref().is_some_and(viewer_is);
    let given = gates.approvals.iter().any(|a| a.counts && viewer_is(&a.by));
    let among = gates.approvers.is_empty() || gates.approvers.contains(&viewer.name);
    let refused = match (own && !gates.own_word, given) {
        (true, _) => Some("you asked for it: somebody else has to approve it".to_string()),
        (_, true) => Some("you have approved it already".to_string()),
        _ if !among => Some(format!("only {} may approve it", gates.approvers.join(", "))),
        _ => viewer.refused(Right::Approve),
    };
    let points = &gates.plan.points_of_no_return;
    let no_return = match points.is_empty() {
        true => String::new(),
        false => format!(" It cannot be undone after: {}.", points.join(", ")),
    };
    let (version, strategy) = (&gates.version, &gates.plan.strategy);
    Some(Button {
        name: "Approve".to_string(),
        action: format!("/rollouts/{rollout}/approve"),
        means: format!("Your word is for exactly what is shown here: {version} by {strategy}.{no_return}"),
        refused,
        kind: "plain",
        fields: vec![("shown", gates.shown.clone())],
        ask: None,
        choice: None,
    })
}
