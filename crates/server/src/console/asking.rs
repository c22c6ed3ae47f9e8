//! What whoever gives their word for a release must see: what changes, the risk, the way back, who watches. Shown wherever a
//! release can be approved.

use crate::wire::words::{share, time};
use crate::wire::{WireGates, WireVersions};

/// Differences that are shown; the rest stand behind the link.
const SHOWN: usize = 6;

/// A release that waits, as whoever approves it must see it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asking {
    /// What changes, a sentence each.
    pub changes: Vec<String>,
    /// Where all of it is shown, with the words of the link; absent where nothing serves yet.
    pub all: Option<(String, String)>,
    /// What could go wrong, and for whom first.
    pub risk: Vec<String>,
    /// How it is undone.
    pub way_back: String,
    /// Who would notice.
    pub watchers: Vec<String>,
}

impl Asking {
    /// Of the gates that it waits at.
    pub(super) fn of(gates: &WireGates) -> Asking {
        let plan = &gates.plan;
        let whose = if plan.worker { "instances" } else { "users" };
        let before = plan.steps.iter().take_while(|s| s.exposed_bp == 0);
        let cohorts = before.filter_map(|s| s.name.strip_prefix("cohort "));
        let first = plan.steps.iter().find(|s| s.exposed_bp > 0);
        let mut risk: Vec<String> =
            cohorts.map(|cohort| format!("everybody in cohort {cohort} meets it first")).collect();
        risk.extend(first.map(|step| format!("the first {whose}: {} in step {}", share(step.exposed_bp), step.name)));
        risk.extend(plan.points_of_no_return.iter().map(|step| format!("cannot be undone after {step}")));
        risk.push(format!("takes {} at best", time(plan.best_ms)));
        risk.extend(plan.remarks.iter().cloned());
        Asking {
            changes: match (&gates.changes, gates.kind.as_str()) {
                (Some(changes), _) => changed(changes),
                (None, "contract") => plan.steps.iter().map(|step| step.what.clone()).collect(),
                (None, _) => vec!["the first version here".to_string()],
            },
            all: gates.changes.as_ref().map(link),
            risk,
            way_back: way_back(gates),
            watchers: gates.watchers.clone(),
        }
    }
}

/// How it is undone and how long that takes, said once.
fn way_back(gates: &WireGates) -> String {
    let (how, long) = (&gates.plan.way_back, &gates.plan.rollback);
    match how.rsplit_once("; ") {
        Some((how, last)) if long.starts_with(last) => format!("{how}; {long}"),
        _ => format!("{how}; {long}"),
    }
}

fn changed(versions: &WireVersions) -> Vec<String> {
    let mut said = vec![versions.sentence().to_string()];
    said.extend(versions.differences.iter().take(SHOWN).map(|difference| difference.sentence()));
    if let Some(more) = versions.differences.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        said.push(format!("and {more} more"));
    }
    said
}

fn link(versions: &WireVersions) -> (String, String) {
    let WireVersions { service, from, to, .. } = versions;
    let pair = (super::encoded(from), super::encoded(to));
    (format!("/services/{service}?from={}&to={}#diff", pair.0, pair.1), format!("compare {from} and {to}"))
}
