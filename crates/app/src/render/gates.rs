//! Gates and tokens as text.

use slipway_core::units::Timestamp;
use slipway_server::wire::{WireGate, WireGates, WireToken};

use super::flat;
use super::table::columns;

/// What an approver must see: what changes, how it goes in, the way back, and how each gate stands.
pub(crate) fn gates(g: &WireGates) -> String {
    let mut text = match (&g.rollout, &g.asked_by) {
        (Some(rollout), Some(by)) => {
            format!("{rollout}: {} {} to {}, asked for by {by}\n", g.service, g.version, g.environment)
        }
        _ => {
            format!("the next release of {} to {}, if it declares what {} does\n", g.service, g.environment, g.version)
        }
    };
    if g.gates.is_empty() {
        text.push_str("  no gates are declared\n");
    }
    text.push_str(&list(&g.gates));
    if g.rollout.is_some() {
        let from = g.plan.from.as_ref().map_or_else(|| "nothing".to_string(), ToString::to_string);
        let rows = [
            ("replaces", format!("{from} by {}", g.plan.strategy)),
            ("way back", format!("{}; {}", g.plan.way_back, g.plan.rollback)),
            ("artifact", g.artifact.clone()),
            ("config", g.config.clone()),
            ("shown", g.shown.clone()),
        ];
        let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, what)| vec![format!("  {name}"), what]).collect();
        text.push_str(&columns(&rows));
        for approval in &g.approvals {
            let stale = if approval.counts { "" } else { ", for something else than is shown now" };
            text.push_str(&format!("  approved by {} at {}{stale}\n", approval.by, Timestamp(approval.at)));
        }
        if let Some(changes) = &g.changes {
            text.push_str(&format!("  changes: {}\n", changes.sentence()));
            changes.differences.iter().for_each(|d| text.push_str(&format!("    {}\n", flat(&d.sentence()))));
        }
        g.watchers.iter().for_each(|watcher| text.push_str(&format!("  {}\n", flat(watcher))));
        g.plan.remarks.iter().for_each(|remark| text.push_str(&format!("  note: {}\n", flat(remark))));
    }
    text
}

/// One line for each gate, and what to do below those that do not hold.
pub(super) fn list(gates: &[WireGate]) -> String {
    let mut text = String::new();
    for gate in gates {
        let mark = match gate.standing.as_str() {
            "met" => "✓",
            "waived" => "·",
            "waiting" => "●",
            _ => "✗",
        };
        text.push_str(&format!("  {mark} {:<22} {}\n", gate.name, flat(&gate.sentence)));
        if let Some(remedy) = &gate.remedy {
            text.push_str(&format!("      {}\n", flat(remedy)));
        }
    }
    text
}

/// One line for each token.
pub(crate) fn tokens(tokens: &[WireToken]) -> String {
    let mut rows = vec![["name", "may", "since"].map(str::to_string).to_vec()];
    for token in tokens {
        let may = if token.may.is_empty() { "look".to_string() } else { token.may.join(", ") };
        rows.push(vec![token.name.clone(), may, Timestamp(token.created_at).to_string()]);
    }
    columns(&rows)
}
