//! A service's rollouts as text.

use slipway_core::units::Timestamp;
use slipway_server::wire::HistoryEntry;

use super::table::columns;
use super::{count, flat, time};

/// One line for each rollout, newest first.
pub(crate) fn history(service: &str, entries: &[HistoryEntry]) -> String {
    if entries.is_empty() {
        return format!("{service} was never released here\n");
    }
    let head = [
        "rollout",
        "environment",
        "version",
        "strategy",
        "outcome",
        "deployed in",
        "rolled back in",
        "wall",
        "exposed",
        "failed",
        "began",
    ];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    for entry in entries {
        let r = &entry.rollout;
        let wall = match (entry.deploy_wall_ms, entry.rollback_wall_ms) {
            (Some(deploy), Some(back)) => format!("{} + {}", time(deploy), time(back)),
            (Some(deploy), None) => time(deploy),
            _ => "-".to_string(),
        };
        rows.push(vec![
            r.rollout.clone(),
            r.environment.clone(),
            r.version.clone(),
            r.strategy.clone(),
            r.outcome.clone().unwrap_or_else(|| r.state.clone()),
            time(r.deploy_ms),
            r.rollback_ms.map_or_else(|| "-".to_string(), time),
            wall,
            count(r.exposed_requests),
            count(r.failed_requests),
            Timestamp(entry.began_at).to_string(),
        ]);
    }
    let mut text = String::new();
    for (line, entry) in columns(&rows).lines().zip(std::iter::once(None).chain(entries.iter().map(Some))) {
        text.push_str(&format!("{line}\n"));
        if let Some(cause) = entry.and_then(|e| e.rollout.cause.as_ref()) {
            text.push_str(&format!("      {}\n", flat(cause)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    #[test]
    fn both_times_stand_side_by_side_with_the_cause_below() {
        let entry = |rollout| HistoryEntry {
            rollout,
            actor: "user:first".into(),
            began_at: 1_800_000_000_000,
            ended_at: Some(1_800_000_060_000),
            deploy_wall_ms: Some(58_000),
            rollback_wall_ms: Some(2_000),
        };
        let text = history("shop", &[entry(examples::rolled_back()), entry(examples::canary())]);
        insta::assert_snapshot!(text);
    }
}
