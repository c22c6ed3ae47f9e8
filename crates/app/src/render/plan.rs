//! A plan as text.

use slipway_server::wire::WirePlan;

use super::table::columns;
use super::{count, share, time};

/// A plan: a table of steps, then what a person should know.
pub(crate) fn plan(plan: &WirePlan) -> String {
    let from = plan.from.as_ref().map_or_else(|| "first release".to_string(), |f| format!("from {f}"));
    let mut text = format!("{} by {}, {from}\n\n", plan.version, plan.strategy);
    let (who, what) = if plan.worker { ("jobs", "outcomes") } else { ("users", "requests") };
    let mut rows = vec![["step", "what", who, what, "best", "worst", "today"].map(str::to_string).to_vec()];
    for step in &plan.steps {
        let requests = step.requests.values().max().map_or_else(|| "-".to_string(), |n| count(*n));
        rows.push(vec![
            step.name.clone(),
            step.what.clone(),
            share(step.exposed_bp),
            requests,
            time(step.best_ms),
            time(step.worst_ms),
            step.today_ms.map_or_else(|| "?".to_string(), time),
        ]);
    }
    text.push_str(&columns(&rows));
    text.push_str("\nif a step fails\n");
    let undos: Vec<Vec<String>> = plan.steps.iter().map(|s| vec![format!("  {}", s.name), s.undo.clone()]).collect();
    text.push_str(&columns(&undos));
    let today = match plan.today_ms {
        None if plan.worker => "as long as outcomes take to come today".to_string(),
        Some(ms) if plan.worker => format!("{} today", time(ms)),
        None => "unknown, no traffic to go by at today's traffic".to_string(),
        Some(ms) => format!("{} at today's traffic", time(ms)),
    };
    text.push_str(&format!(
        "\nway back         {}\nroll back        {}\nduration         {} at best, {} at worst, {today}\nextra instances  {}\n",
        plan.way_back,
        plan.rollback,
        time(plan.best_ms),
        time(plan.worst_ms),
        plan.extra_instances,
    ));
    if !plan.points_of_no_return.is_empty() {
        text.push_str(&format!("no return after  {}\n", plan.points_of_no_return.join(", ")));
    }
    if !plan.gates.is_empty() {
        text.push_str(&format!("\ngates\n{}", super::gates::list(&plan.gates)));
    }
    plan.remarks.iter().for_each(|r| text.push_str(&format!("note             {r}\n")));
    text
}
