//! Faults injected on purpose: begun for a while, ended early.

use serde_json::json;

use super::{Refusal, refuse};
use crate::names::VersionName;
use crate::rollout::faults::{self, Begun};
use crate::rollout::{RolloutKind, Turn, cohorts};
use crate::traffic::{FaultCohort, FaultKind, InjectedFault, LONGEST_FAULT, LONGEST_LATENCY, MOST_FAULTS};
use crate::units::{Millis, Timestamp, Weight};

/// The shortest: less is over before every gateway has heard of it.
const SHORTEST: Millis = Millis::from_secs(1);
/// The largest share of everybody's requests to the version that serves.
const MOST_OF_STABLE: Weight = match Weight::from_bp(5_000) {
    Some(weight) => weight,
    None => Weight::ZERO,
};
/// The fastest body that is called slow, in bytes a second.
const FASTEST: u64 = 1_000_000_000;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFault {
    /// What is done.
    pub what: FaultKind,
    /// Whose requests; the version that serves where absent.
    pub version: Option<VersionName>,
    /// Of these only a declared cohort's.
    pub cohort: Option<String>,
    /// How many of them.
    pub share: Weight,
    /// How long.
    pub length: Millis,
    /// Why.
    pub reason: Option<String>,
}

/// Begins one.
pub fn begin_fault(turn: &mut Turn, new: NewFault, actor: &str, now: Timestamp) -> Result<(), Refusal> {
    let lane = &turn.lane;
    if lane.is_worker() {
        return refuse("no_traffic", format!("{} is a worker: there are no requests to inject a fault into", lane.id));
    }
    let Some(stable) = lane.stable_version().or(faults::candidate(lane)).filter(|_| lane.routing.is_some()) else {
        return refuse("nothing_serves", format!("nothing serves {}", lane.id));
    };
    let version = new.version.clone().unwrap_or_else(|| stable.clone());
    let coming = faults::candidate(lane).filter(|candidate| **candidate == version);
    let release = match (coming, &lane.open, &lane.stable) {
        (Some(_), Some(open), _) => &open.release,
        (None, _, Some(serves)) if serves.version == version => serves,
        _ => {
            let there = faults::candidate(lane).map(|c| format!(", {c} is coming")).unwrap_or_default();
            let reason = format!("{version} neither serves {} nor is coming: {stable} serves{there}", lane.id);
            return refuse("not_met", reason);
        }
    };
    fits(&new, release.spec.traffic.timeout)?;
    let cohort = match &new.cohort {
        None => None,
        Some(name) => {
            let declared = cohorts::declared(release, &lane.id);
            let Some(cohort) = declared.iter().find(|cohort| cohort.name == *name) else {
                let names = declared.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
                let there = if names.is_empty() { "it declares none".into() } else { format!("there are {names}") };
                return refuse("no_cohort", format!("{version} declares no cohort {name} in {}: {there}", lane.id));
            };
            Some(FaultCohort { name: cohort.name.clone(), rule: cohort.rule.clone() })
        }
    };
    // Nobody judges what comes back.
    let judged = coming.is_some() && lane.open.as_ref().is_some_and(|open| open.kind == RolloutKind::Release);
    let everybodys =
        lane.faults.iter().map(|begun| &begun.fault).filter(|f| f.cohort.is_none() && f.version == version);
    let all = everybodys.map(|fault| fault.share.bp()).sum::<u16>().saturating_add(new.share.bp());
    if !judged && cohort.is_none() && all > MOST_OF_STABLE.bp() {
        let reason = format!(
            "{version} serves everybody, or is about to: faults for {}% of its requests are an outage, and {MOST_OF_STABLE} is \
             the most, all of them together; name a cohort, or put the service into maintenance",
            f64::from(all) / 100.0
        );
        return refuse("too_many", reason);
    }
    if lane.faults.len() >= MOST_FAULTS {
        return refuse(
            "too_many",
            format!("{} has {MOST_FAULTS} faults already, and more are not told apart", lane.id),
        );
    }
    turn.lane.counters.fault += 1;
    let number = turn.lane.counters.fault;
    let (share, length, until) = (new.share, new.length, now.plus(new.length));
    let fault = InjectedFault { number, what: new.what, version, cohort, share, length, until, judged };
    let why = new.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    turn.record("fault.begun", actor, format!("{actor} injects {fault} for {length}{why}"), json!({ "fault": fault }));
    let by = actor.to_string();
    turn.lane.faults.push(Begun { fault, of_candidate: judged, by, reason: new.reason, at: now });
    turn.wake(until);
    Ok(())
}

/// Ends all of them at once.
pub fn end_faults(turn: &mut Turn, reason: Option<&str>, actor: &str) -> Result<(), Refusal> {
    let all = std::mem::take(&mut turn.lane.faults);
    if all.is_empty() {
        return refuse("already_so", format!("no fault is injected into {}", turn.lane.id));
    }
    // Users have what they have for as long as this waits for anything.
    turn.traffic_first = true;
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    for begun in &all {
        faults::ended(turn, begun, actor, &format!("{actor} ended it{why}"));
    }
    Ok(())
}

/// Whether the numbers make sense, beside a time limit for answers.
fn fits(new: &NewFault, timeout: Millis) -> Result<(), Refusal> {
    let wrong = |reason: String| refuse("bad_fault", reason);
    if new.share == Weight::ZERO {
        return wrong("a share of 0% is no fault".into());
    }
    if new.length < SHORTEST || new.length > LONGEST_FAULT {
        return wrong(format!("a fault lasts {SHORTEST} to {LONGEST_FAULT}, not {}", new.length));
    }
    match new.what {
        FaultKind::Latency(delay) if delay == Millis(0) || delay > LONGEST_LATENCY => {
            wrong(format!("requests are held back for 1ms to {LONGEST_LATENCY}, not {delay}"))
        }
        FaultKind::Latency(delay) if delay >= timeout => {
            wrong(format!("{delay} of latency is beyond the service's timeout of {timeout}: ask for an abort with 504"))
        }
        FaultKind::Abort(status) if !(400..=599).contains(&status) => {
            wrong(format!("an abort has a status from 400 to 599, not {status}"))
        }
        FaultKind::SlowBody(rate) if rate == 0 || rate > FASTEST => {
            wrong(format!("a slow body has 1 to {FASTEST} bytes a second, not {rate}"))
        }
        _ => Ok(()),
    }
}
