//! Groups, as text.

use slipway_server::wire::{WireGroupMember, WireGroupPlan, WireGroupRun};

use super::table::columns;
use super::{flat, time};

/// A group's plan: its services in order, and what a person should know of each.
pub(crate) fn group_plan(plan: &WireGroupPlan) -> String {
    let mut text = format!("{} into {}, one after another; back in reverse order\n\n", plan.group, plan.environment);
    let mut rows =
        vec![["", "service", "version", "from", "strategy", "best", "worst", "way back"].map(str::to_string).to_vec()];
    for (i, member) in plan.services.iter().enumerate() {
        let its = &member.plan;
        let unchanged = member.unchanged.then(|| "serves already: left alone".to_string());
        rows.push(vec![
            format!("{}.", i + 1),
            member.service.clone(),
            its.version.clone(),
            its.from.clone().unwrap_or_else(|| "-".to_string()),
            its.strategy.clone(),
            time(its.best_ms),
            time(its.worst_ms),
            unchanged.unwrap_or_else(|| its.way_back.clone()),
        ]);
    }
    text.push_str(&columns(&rows));
    text.push_str(&format!("\nduration  {} at best, {} at worst\n", time(plan.best_ms), time(plan.worst_ms)));
    for member in &plan.services {
        for gate in member.plan.gates.iter().filter(|gate| gate.standing == "blocking" || gate.standing == "waiting") {
            let (service, name, standing) = (&member.service, &gate.name, &gate.standing);
            text.push_str(&format!("gate      {service}: {name} {standing}: {}\n", flat(&gate.sentence)));
        }
        for remark in &member.plan.remarks {
            text.push_str(&format!("note      {}: {remark}\n", member.service));
        }
    }
    text
}

/// A group release as it stands.
pub(crate) fn group_run(run: &WireGroupRun) -> String {
    let how = run.outcome.as_deref().unwrap_or(&run.state).replace('_', " ");
    let cause = run.cause.as_ref().map_or_else(String::new, |cause| format!(": {}", flat(cause)));
    let mut text = format!("{} of {} in {} by {}: {how}{cause}\n", run.id, run.group, run.environment, run.actor);
    let rows: Vec<Vec<String>> = run
        .services
        .iter()
        .map(|m| {
            let from = m.from.clone().unwrap_or_else(|| "-".to_string());
            let rollout = m.rollout.clone().unwrap_or_default();
            vec![format!("  {}", m.service), format!("{from} to {}", m.version), m.progress.clone(), rollout]
        })
        .collect();
    text.push_str(&columns(&rows));
    text
}

/// A service of a group release in one line.
pub(crate) fn group_member(member: &WireGroupMember) -> String {
    let rollout = member.rollout.as_ref().map_or_else(String::new, |rollout| format!(" ({rollout})"));
    let cause = member.cause.as_ref().map_or_else(String::new, |cause| format!(": {}", flat(cause)));
    format!("{} {}: {}{rollout}{cause}", member.service, member.version, member.progress)
}
