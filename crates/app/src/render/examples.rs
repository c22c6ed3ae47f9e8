//! Rollouts as the API tells them, for the tests of what is made of them.

use slipway_server::wire::{WireJudgement, WireRollout, WireShare, WireStable, WireStepRecord, WireWaiting};

fn step(name: &str, state: &str, report: &str) -> WireStepRecord {
    WireStepRecord { name: name.into(), state: state.into(), report: report.into() }
}

fn split(candidate: u16, measured: Option<u16>) -> Vec<WireShare> {
    let part = |version: &str, weight_bp, measured_bp| WireShare { version: version.into(), weight_bp, measured_bp };
    vec![part("1.0.0", 10_000 - candidate, measured.map(|m| 10_000 - m)), part("1.1.0", candidate, measured)]
}

/// A canary at 25%.
pub(super) fn canary() -> WireRollout {
    let errors = WireJudgement {
        objective: "errors".into(),
        verdict: "inconclusive".into(),
        n: 1_204,
        bad: 3,
        lower: 0.0004,
        upper: 0.0081,
        pass_at: None,
        fail_at: None,
        stable: Some(WireStable { n: 36_120, bad: 61, lower: 0.0012, upper: 0.0023, before: false }),
        synthetic: false,
        cohort: None,
        sentence: "3 of 1,204 requests failed (0.25%); about 900 more are needed".into(),
    };
    let latency = WireJudgement {
        objective: "latency".into(),
        verdict: "pass".into(),
        n: 1_204,
        bad: 0,
        lower: 0.0,
        upper: 0.003,
        pass_at: None,
        fail_at: None,
        stable: None,
        synthetic: false,
        cohort: None,
        sentence: "0 of 1,204 requests took longer than 300ms (0%)".into(),
    };
    WireRollout {
        rollout: "ro-12".into(),
        kind: "release".into(),
        service: "shop".into(),
        environment: "production".into(),
        version: "1.1.0".into(),
        from: Some("1.0.0".into()),
        strategy: "canary".into(),
        state: "running".into(),
        outcome: None,
        cause: None,
        deploy_ms: 1_840,
        rollback_ms: None,
        exposed_requests: 1_490,
        exposed_users: 212,
        failed_requests: 4,
        failed_by_slipway: 0,
        steps: vec![
            step("prepare", "done", "1.0.0 keeps all of its 4 instances warm; one routing change"),
            step("5%", "done", "errors: 1 of 286 requests failed (0.35%): at most 0.41% more than stable"),
            step("25%", "waiting", errors.sentence.as_str()),
            step("50%", "pending", ""),
            step("verification", "pending", ""),
        ],
        waiting: Some(WireWaiting { on: errors.sentence.clone(), remaining_ms: Some(461_900) }),
        split: split(2_500, Some(2_478)),
        probes: None,
        judgements: vec![errors, latency],
        unsettled: false,
        worker: false,
    }
}

/// One that was taken back.
pub(super) fn rolled_back() -> WireRollout {
    let mut r = canary();
    r.state = "ended".into();
    r.outcome = Some("rolled_back".into());
    // What instances say may hold anything.
    r.cause = Some("errors: 31 of 402 requests failed (7.7%),\n\x1b stable 61 of 36,120 (0.17%)\n".into());
    r.rollback_ms = Some(14);
    r.failed_requests = 35;
    r.steps[2] = step("25%", "failed", r.cause.as_deref().unwrap_or_default());
    r.steps[3].state = "skipped".into();
    r.steps[4].state = "skipped".into();
    (r.waiting, r.judgements, r.split) = (None, Vec::new(), split(0, None));
    r
}

/// One that needs a person.
pub(super) fn held() -> WireRollout {
    let mut r = canary();
    r.state = "held".into();
    r.outcome = Some("held".into());
    r.cause = Some("25% is inconclusive after 10m: 12 requests seen".into());
    r
}

/// One that waits its turn.
pub(super) fn queued() -> WireRollout {
    let mut r = canary();
    r.state = "queued".into();
    r.from = None;
    r.waiting = Some(WireWaiting { on: "ro-11 to end".into(), remaining_ms: None });
    (r.steps, r.judgements, r.split) = (Vec::new(), Vec::new(), Vec::new());
    r
}
