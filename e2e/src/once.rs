//! What a journal tells at most once, and what it never tells of instances that are well: that no act was done twice, or by two.

use std::collections::BTreeSet;

use anyhow::ensure;
use serde_json::Value;

/// What is recorded at most once of a rollout.
const ONCE: [&str; 5] = ["rollout.planned", "step.entered", "step.done", "rollout.ended", "traffic.returned"];
/// What is recorded at most once of an instance: ids are never used twice.
const ONCE_EACH: [&str; 3] = ["instance.starting", "instance.ready", "instance.stopped"];
/// What nobody may suffer.
const NEVER: [&str; 7] = [
    "instance.exited",
    "instance.lost",
    "instance.not_started",
    "instance.unhealthy",
    "instance.ejected",
    "journal.put_back",
    "journal.unanchored",
];

/// Refuses entries that tell of anything twice, or of an instance that fared badly.
pub fn nothing_twice(entries: &[Value]) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for entry in entries {
        let kind = entry["kind"].as_str().unwrap_or_default();
        ensure!(!NEVER.contains(&kind), "{entry:#}");
        let of = if ONCE.contains(&kind) {
            format!("{} {}", entry["rollout"], entry["cause"])
        } else if ONCE_EACH.contains(&kind) {
            entry["evidence"]["instance"].to_string()
        } else {
            continue;
        };
        ensure!(seen.insert((kind, of)), "recorded twice: {entry:#}\namong {:#}", Value::from(entries.to_vec()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_told_twice_or_fares_badly_is_found() {
        let of = |kind: &str, instance: &str| json!({ "kind": kind, "evidence": { "instance": instance } });
        let well = [of("instance.starting", "a"), of("instance.starting", "b"), of("instance.stopped", "a")];
        assert!(nothing_twice(&well).is_ok());
        assert!(nothing_twice(&[well.as_slice(), &[of("instance.stopped", "a")]].concat()).is_err());
        assert!(nothing_twice(&[of("instance.lost", "a")]).is_err());
        let step = json!({ "kind": "step.done", "rollout": "ro-1", "cause": "50%" });
        assert!(nothing_twice(&[step.clone(), step]).is_err());
    }
}
