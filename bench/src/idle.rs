//! Being there: how soon after a start, and at what cost of memory.

use std::time::Instant;

use anyhow::Context;
use slipway_e2e::{Options, Slipway, build};

use crate::figures::{Row, megabytes};

const STARTS: usize = 20;
/// What all of it may need with ten instances.
const MEGABYTES: f64 = 60.0;

/// The rows of the table.
pub async fn measure() -> anyhow::Result<Vec<Row>> {
    let mut slipway = Slipway::start(Options::default()).await?;
    slipway.declare("production:\n  instances: 10\n  strategy: { blue-green: { verify: 1s, standby: 1m } }")?;
    let folder = build(slipway.scratch(), "ten", &[])?;
    slipway.release("1.0.0", &folder, "production", &[]).await?.expect(0)?;
    println!("memory of a Slipway with ten instances, then {STARTS} starts on its data");
    let memory = memory(&slipway)?;
    let mut again = Vec::new();
    for _ in 0..STARTS {
        slipway.kill_control_plane().await?;
        let began = Instant::now();
        slipway.restart().await?;
        again.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    slipway.down().await?;
    let mut rows = memory;
    let what = "up ready on existing data, gateway and ten instances running".to_string();
    rows.insert(0, Row { what, samples: again, unit: "ms", limit: Some(300.0) });
    Ok(rows)
}

/// Proportional share of memory of Slipway's own processes; what the service itself uses is left out.
fn memory(slipway: &Slipway) -> anyhow::Result<Vec<Row>> {
    let up = slipway.control_plane().context("it does not run")?;
    let gateway = slipway.gateway().context("there is no gateway")?;
    let shims: Vec<u32> = slipway.shims().into_iter().map(|shim| shim.pid).collect();
    let each: Vec<f64> = shims.iter().map(|pid| megabytes(*pid)).collect::<Result<_, _>>()?;
    let (control, gateway) = (megabytes(up)?, megabytes(gateway)?);
    let all = control + gateway + each.iter().sum::<f64>();
    let row = |what: String, samples, limit| Row { what, samples, unit: "MB", limit };
    Ok(vec![
        row("memory, control plane (PSS)".into(), vec![control], None),
        row("memory, gateway (PSS)".into(), vec![gateway], None),
        row("memory, one shim (PSS)".into(), each, None),
        row(format!("memory, all of it with {} shims (PSS)", shims.len()), vec![all], Some(MEGABYTES)),
    ])
}
