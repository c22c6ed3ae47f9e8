//! What runs where, as text.

use slipway_core::units::Timestamp;
use slipway_server::wire::words::time;
use slipway_server::wire::{LaneStatus, VersionStatus};

use super::table::columns;
use super::{flat, share};

/// One block for each service in an environment.
pub(crate) fn status(lanes: &[LaneStatus]) -> String {
    if lanes.is_empty() {
        return "nothing was released yet; slipway release --version 1.0.0 --path ./build --env production\n"
            .to_string();
    }
    lanes.iter().map(lane).collect::<Vec<_>>().join("\n")
}

fn lane(lane: &LaneStatus) -> String {
    let rate = lane.requests_per_second.map(|r| format!("  {r:.0} requests/s")).unwrap_or_default();
    let rollout = lane.rollout.as_ref().map(|r| format!("  rolling out: {r}")).unwrap_or_default();
    let mut text = format!("{} in {}{rate}{rollout}\n", lane.service, lane.environment);
    let mut rows = Vec::new();
    for (role, version) in [("stable", &lane.stable), ("candidate", &lane.candidate), ("standby", &lane.standby)] {
        if let Some(version) = version {
            rows.extend(instances(lane, role, version));
        }
    }
    text.push_str(&columns(&rows));
    if let Some(p) = &lane.probes {
        text.push_str(&format!(
            "  synthetic probes: {} to the candidate, {} failed; {} to stable, {} failed\n",
            p.candidate, p.candidate_failed, p.stable, p.stable_failed
        ));
    }
    for drift in &lane.drift {
        text.push_str(&format!("  drift: {}\n", flat(drift)));
    }
    if let Some(unrecorded) = &lane.unrecorded {
        let (since, why) = (Timestamp(unrecorded.since), flat(&unrecorded.why));
        text.push_str(&format!(
            "  ⚠ not recorded since {since}: {why}; what serves goes on, and a way back is still taken\n"
        ));
    }
    if lane.maintenance {
        text.push_str("  in maintenance: nobody is reached\n");
    }
    for fault in &lane.faults {
        let why = fault.reason.as_deref().map(|why| format!(": {}", flat(why))).unwrap_or_default();
        text.push_str(&format!(
            "  fault {} by {}: {}, {} left{why}\n",
            fault.number,
            fault.by,
            fault.what,
            time(fault.left_ms)
        ));
    }
    if let Some(back) = &lane.went_back {
        let ago = back.ago_ms.map(|ms| format!(" {} ago", time(ms))).unwrap_or_default();
        let cause = if back.cause.is_empty() { String::new() } else { format!(": {}", flat(&back.cause)) };
        text.push_str(&format!("  {} was taken back{ago} ({}){cause}\n", back.from, back.rollout));
    }
    if let Some(restart) = &lane.restart {
        let (by, left, of) = (&restart.by, restart.left, restart.of);
        text.push_str(&format!("  being restarted by {by}: {left} of {of} instances left\n"));
    }
    if let Some(incident) = &lane.incident {
        let (number, since) = (incident.number, Timestamp(incident.since));
        text.push_str(&format!("  incident {number} since {since}: {}\n", flat(&incident.what.join("; "))));
        text.push_str(&format!("    likely: {}\n", flat(&incident.likely.join("; "))));
    }
    if let Some(times) = super::times(&lane.times) {
        text.push_str(&format!("  {times}\n"));
    }
    if !lane.queue.is_empty() {
        text.push_str(&format!("  waiting: {}\n", lane.queue.join(", ")));
    }
    text
}

fn instances(lane: &LaneStatus, role: &str, version: &VersionStatus) -> Vec<Vec<String>> {
    let split = lane.split.iter().find(|s| s.version == version.version);
    let traffic = match split {
        None if lane.worker => "no jobs".to_string(),
        Some(s) if lane.worker => format!("{} of those that take jobs", share(s.weight_bp)),
        None => "no traffic".to_string(),
        Some(s) => match s.measured_bp {
            Some(measured) => format!("{} wanted, {} measured", share(s.weight_bp), share(measured)),
            None => format!("{} wanted", share(s.weight_bp)),
        },
    };
    let mut rows = vec![vec![
        format!("  {role}"),
        version.version.clone(),
        format!("{}/{} ready", version.ready, version.desired),
        traffic,
    ]];
    for i in &version.instances {
        let pid = i.pid.map_or_else(|| "-".to_string(), |p| p.to_string());
        rows.push(vec![
            String::new(),
            format!("  {}", i.id),
            i.state.clone(),
            format!("{} pid {pid}", i.address.as_deref().unwrap_or("-")),
        ]);
    }
    rows
}
