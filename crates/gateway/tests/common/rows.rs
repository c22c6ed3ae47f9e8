//! What a gateway says that it counted.

use slipway_core::traffic::Epoch;
use slipway_core::traffic::link::CountRow;

/// So many requests of one version, all of them answered.
pub fn row(attempts: u64) -> CountRow {
    CountRow {
        service: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        epoch: Epoch(1),
        version: "s".parse().unwrap(),
        cohort: None,
        assigned: attempts,
        users: attempts,
        attempts,
        failed: 0,
        failed_by_slipway: 0,
        injected: 0,
        mirrored: false,
        objectives: vec![],
        latency_us: vec![],
    }
}
