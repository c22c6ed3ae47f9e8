//! What a viewer may do about a service in an environment, what it would mean, and why not where not.

use slipway_core::rights::Right;

use super::super::button::{Ask, Button, Choice};
use super::super::session::Viewer;
use crate::routes::operating::MOST_INSTANCES;
use crate::wire::LaneStatus;

/// The buttons of a service in an environment; `earlier` are versions that have served there.
pub(super) fn buttons(viewer: &Viewer, l: &LaneStatus, earlier: Vec<String>) -> Vec<Button> {
    let button = |name: &str, what: &str, right, means: String, busy: Option<String>| Button {
        name: name.to_string(),
        action: format!("/services/{}/environments/{}/{what}", l.service, l.environment),
        means,
        refused: busy.or_else(|| viewer.refused(right)),
        kind: "plain",
        fields: Vec::new(),
        ask: None,
        choice: None,
    };
    let open = l.rollout.as_ref().map(|id| format!("{id} is open: see there"));
    // Whoever presses it has seen this one serve.
    let serving = l.stable.iter().map(|stable| ("from", stable.version.clone())).collect::<Vec<_>>();
    let mut all = Vec::new();
    if let (Some(to), None) = (&l.back_to, &l.rollout) {
        let means = format!("Everybody gets {to} again in {}. It is a rollout of its own.", l.environment);
        let back = button(&format!("Roll back to {to}"), "rollback", Right::Rollback, means, None);
        all.push(Button { kind: "back", fields: [vec![("to", to.clone())], serving.clone()].concat(), ..back });
    }
    if let (None, Some(no), None) = (&l.back_to, &l.no_way_back, &l.rollout) {
        let means = format!("{no}. Everybody gets the version that you choose. It is a rollout of its own.");
        let none = earlier.is_empty().then(|| no.clone());
        let back = button("Roll back", "rollback", Right::Rollback, means, none);
        let choice = Choice { name: "to", label: "Version", among: earlier };
        all.push(Button { kind: "back", fields: serving, choice: Some(choice), ..back });
    }
    let means = "The way back is taken on purpose, and the way forth again; judged and timed like any other.";
    let nothing = l.stable.is_none().then(|| format!("nothing serves in {} yet", l.environment));
    all.push(button("Drill", "drill", Right::Operate, means.to_string(), open.clone().or(nothing)));
    let Some(stable) = &l.stable else { return all };
    let going = l.restart.as_ref().map(|r| format!("a restart by {} is on its way: {} of {} left", r.by, r.left, r.of));
    let means =
        "Every instance is replaced, one after another: each new one is healthy and tested before its elder ends.";
    all.push(button("Restart", "restart", Right::Operate, means.to_string(), open.clone().or(going)));
    let means =
        format!("{} has {} instances now. The next release brings its own number.", stable.version, stable.desired);
    let value = stable.desired.max(1);
    let ask = Ask { name: "instances", label: "Instances", value, least: 1, most: MOST_INSTANCES };
    all.push(Button { ask: Some(ask), ..button("Scale", "scale", Right::Operate, means, open) });
    if !l.faults.is_empty() {
        let means = "No fault is injected any more; requests that are held back go on.".to_string();
        all.push(button("End faults", "faults/end", Right::Operate, means, None));
    }
    // A worker has no users to keep away.
    if l.maintenance {
        let means = "Requests reach the service again.".to_string();
        all.push(button("End maintenance", "maintenance/off", Right::Operate, means, None));
    } else if !l.worker {
        let means = "Nobody reaches the service: requests are held for so long and then answered with a sentence.";
        let most = (crate::routes::operating::LONGEST_HOLD_MS / 1_000) as u32;
        let ask = Ask { name: "hold", label: "Seconds to hold a request", value: 0, least: 0, most };
        let begin = button("Begin maintenance", "maintenance/on", Right::Operate, means.to_string(), None);
        all.push(Button { kind: "risky", ask: Some(ask), ..begin });
    }
    all
}
