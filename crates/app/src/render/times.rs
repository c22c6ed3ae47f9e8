//! How fast a service goes back beside how fast it goes out, in one line.

use slipway_server::wire::{WireDrill, WireTimes};

use super::{flat, time};

/// `rollback 40ms, deployment 31s, drilled 3d ago`; nothing where nothing was ever measured.
pub(crate) fn times(times: &WireTimes) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(times.rollback_ms.map(|ms| format!("rollback {}", time(ms))));
    parts.extend(times.deployment_ms.map(|ms| format!("deployment {}", time(ms))));
    if parts.is_empty() {
        return None;
    }
    parts.push(times.drill.as_ref().map_or_else(|| "never drilled".to_string(), drilled));
    Some(parts.join(", "))
}

fn drilled(drill: &WireDrill) -> String {
    let cold = if drill.cold { " cold" } else { "" };
    let ago = format!("{}{cold} {} ago", if drill.passed { "drilled" } else { "drill failed" }, time(drill.ago_ms));
    match (drill.passed, drill.slower) {
        (false, _) => format!("{ago}: {}", flat(&drill.cause)),
        (true, true) => format!("{ago}, slower than the deployment"),
        (true, false) => ago,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drill(passed: bool, slower: bool) -> WireDrill {
        WireDrill {
            rollout: "ro-7".into(),
            to: "1.0.0".into(),
            at: 0,
            ago_ms: 3 * 86_400_000,
            cold: false,
            passed,
            cause: "errors: 7 of 30".into(),
            back_ms: Some(40),
            forth_ms: Some(12),
            deployment_ms: Some(31_000),
            slower,
        }
    }

    #[test]
    fn both_times_side_by_side() {
        let said =
            |drill| times(&WireTimes { rollback_ms: Some(40), deployment_ms: Some(31_000), drill }).unwrap_or_default();
        assert_eq!(said(Some(drill(true, false))), "rollback 40ms, deployment 31s, drilled 3d ago");
        assert_eq!(said(None), "rollback 40ms, deployment 31s, never drilled");
        assert_eq!(
            said(Some(drill(true, true))),
            "rollback 40ms, deployment 31s, drilled 3d ago, slower than the deployment"
        );
        assert_eq!(
            said(Some(drill(false, false))),
            "rollback 40ms, deployment 31s, drill failed 3d ago: errors: 7 of 30"
        );
        assert_eq!(times(&WireTimes::default()), None);
    }
}
