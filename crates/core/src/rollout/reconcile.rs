//! From how many instances of which version are wanted to which are started, drained and stopped.

use serde_json::json;

use super::effect::Effect;
use super::lane::{Lane, Release, Slot, SlotState};
use super::model::State;
use super::observed::Observed;
use super::plan::share_of;
use super::restarting;
use super::rolling;
use super::turn::{ENGINE, Turn};
use super::unstarted;
use super::workers;
use crate::instance::InstanceSpec;
use crate::names::{InstanceId, VersionName};
use crate::units::{Millis, Timestamp, Weight};

/// Starts what is missing, drains what is too much, stops what has drained.
pub(super) fn reconcile(turn: &mut Turn, seen: &Observed, now: Timestamp) {
    let wanted = wanted(&turn.lane);
    for (release, count) in &wanted {
        meet(turn, release, *count, now);
    }
    let known: Vec<VersionName> = wanted.into_iter().map(|(release, _)| release.version).collect();
    turn.lane.unstarted.retain(|version, _| known.contains(version));
    for slot in turn.lane.slots.iter_mut().filter(|s| s.state == SlotState::Wanted && !known.contains(&s.version)) {
        slot.state = SlotState::Draining(now);
    }
    stop_drained(turn, seen, now);
}

/// How many instances of which version are to run now.
fn wanted(lane: &Lane) -> Vec<(Release, u32)> {
    let mut all: Vec<(Release, u32)> = Vec::new();
    let mut want = |release: &Release, count: u32| match all.iter_mut().find(|(r, _)| r.version == release.version) {
        Some((_, have)) => *have = (*have).max(count),
        None => all.push((release.clone(), count)),
    };
    let rolling = lane.open.as_ref().filter(|r| rolling::applies(r));
    if let Some(stable) = &lane.stable {
        let replacing = lane.open.as_ref().filter(|r| workers::replaces(r));
        let drilling = lane.open.as_ref().filter(|r| workers::drills(lane, r));
        let kept = match (rolling, replacing, drilling) {
            (Some(open), _, _) => rolling::stable_wanted(lane, open),
            (_, Some(open), _) => workers::stable_wanted(lane, open),
            (_, _, Some(open)) => workers::stable_in_drill(lane, open),
            (None, None, None) => stable.instances(&lane.id),
        };
        want(stable, kept);
    }
    if let Some(standby) = &lane.standby {
        want(&standby.release, standby.release.instances(&lane.id));
    }
    if let Some(open) = &lane.open {
        want(&open.release, candidate_wanted(lane, open));
    }
    all
}

fn candidate_wanted(lane: &Lane, open: &super::model::Rollout) -> u32 {
    match &open.state {
        State::Ended { .. } => 0,
        State::Undoing(_) if lane.is_worker() => 0,
        State::Undoing(_) if rolling::applies(open) => rolling::candidate_kept(lane, open),
        State::Undoing(_) if lane.candidate_weight() == Weight::ZERO => 0,
        State::Undoing(_) => {
            share_of(lane.candidate_weight(), open.release.instances(&lane.id)).min(lane.ready(&open.release.version))
        }
        _ => open.plan.steps.iter().take(open.step + 1).map(|s| s.kind.instances()).max().unwrap_or(0),
    }
}

/// Brings the number of instances of one version to `count`.
fn meet(turn: &mut Turn, release: &Release, count: u32, now: Timestamp) {
    let wanted: Vec<&Slot> = turn.lane.wanted(&release.version).collect();
    let staying = wanted.iter().filter(|s| !s.replace).count() as u32;
    let fit = wanted.iter().filter(|s| !s.replace && s.ready.is_some()).count() as u32;
    let room = workers::room(&turn.lane, release, count);
    let missing = count.saturating_sub(staying).min(room);
    if missing > 0 && !unstarted::waits(turn, &release.version, now) {
        (0..missing).for_each(|_| start(turn, release, now));
    }
    let at_once = workers::leaves_first(&turn.lane);
    // Those to be replaced go when the others carry the load, or at once where they carry nothing. A restart looks
    // at its newcomers first.
    let may_go = |s: &Slot| fit >= count && !restarting::holds(&turn.lane, &s.id);
    let mut leaving: Vec<InstanceId> =
        wanted_ids(turn, &release.version, |s| s.replace && (at_once || s.ready.is_none() || may_go(s)));
    if staying > count {
        // Fit instances are kept longest, and older ones longer than newer ones, except where the old are replaced.
        let mut spare = wanted_ids(turn, &release.version, |s| !s.replace && s.ready.is_none());
        let mut ready = wanted_ids(turn, &release.version, |s| !s.replace && s.ready.is_some());
        if turn.lane.stable_version() != Some(&release.version) {
            ready.reverse();
        }
        spare.reverse();
        spare.append(&mut ready);
        leaving.extend(spare.into_iter().take((staying - count) as usize));
    }
    for slot in turn.lane.slots.iter_mut().filter(|s| leaving.contains(&s.id)) {
        slot.state = SlotState::Draining(now);
    }
}

fn wanted_ids(turn: &Turn, version: &VersionName, which: impl Fn(&Slot) -> bool) -> Vec<InstanceId> {
    turn.lane.wanted(version).filter(|s| which(s)).map(|s| s.id.clone()).collect()
}

fn start(turn: &mut Turn, release: &Release, now: Timestamp) {
    turn.lane.counters.instance += 1;
    let lane = &turn.lane.id;
    let id = InstanceId::numbered(&lane.service, &lane.environment, turn.lane.counters.instance);
    let spec = InstanceSpec {
        id: id.clone(),
        service: lane.service.clone(),
        environment: lane.environment.clone(),
        version: release.version.clone(),
        artifact: release.artifact.clone(),
        command: release.spec.run.command.clone(),
        env: release.spec.env(&lane.environment),
        files: release.spec.files(&lane.environment),
        env_file: release.spec.env_file(&lane.environment),
        health: release.spec.health.clone(),
        stop_grace: release.spec.run.stop_grace,
        stop_signal: release.spec.run.stop_signal,
        stop_alone: release.spec.is_worker(),
    };
    // That it is tried again was said when it could not be started.
    if !turn.lane.unstarted.contains_key(&release.version) {
        turn.record(
            "instance.starting",
            ENGINE,
            format!("{id} is started for {}", release.version),
            json!({ "instance": id, "version": release.version, "artifact": release.artifact }),
        );
    }
    turn.lane.slots.push(Slot {
        id,
        version: release.version.clone(),
        state: SlotState::Wanted,
        since: now,
        started: false,
        ready: None,
        smoke: None,
        running: None,
        exits: 0,
        unhealthy_since: None,
        replace: false,
    });
    turn.effects.push(Effect::Start { spec: Box::new(spec) });
}

/// Stops instances that no gateway uses and that have nothing in flight, or whose time to drain is over.
fn stop_drained(turn: &mut Turn, seen: &Observed, now: Timestamp) {
    // Nobody sends a worker anything; what it has at hand it finishes once it is asked to stop.
    let worker = turn.lane.is_worker();
    let mut stop = Vec::new();
    for slot in &turn.lane.slots {
        let SlotState::Draining(since) = slot.state else { continue };
        let traffic = turn.lane.release(&slot.version).map(|r| r.spec.traffic.clone());
        let limit = traffic.map_or(Millis::from_secs(300), |t| t.drain_long.max(t.drain));
        let unused = worker || seen.confirmed.as_ref().is_some_and(|c| c.newest && !c.may_use(&slot.id));
        let unused = unused && (worker || !seen.kept.contains(&slot.id));
        let idle = worker || seen.in_flight.as_ref().is_some_and(|f| f.get(&slot.id).copied().unwrap_or(0) == 0);
        let over = now.since(since) >= limit;
        let never_served = slot.ready.is_none() && slot.exits == 0 && unused;
        // One that was never fit to be tested stood in no table: it need not wait for gateways that cannot be asked, or as many
        // as are started in its place would wait with it.
        let unknown = slot.ready.is_none() && slot.smoke.is_none();
        if unknown || (unused && (idle || over || never_served)) {
            stop.push(slot.id.clone());
        }
    }
    for slot in turn.lane.slots.iter_mut().filter(|s| stop.contains(&s.id)) {
        slot.state = SlotState::Stopping(now);
        turn.effects.push(Effect::Stop { instance: slot.id.clone() });
    }
    if turn.lane.slots.iter().any(|s| matches!(s.state, SlotState::Draining(_))) {
        turn.wake(now.plus(Millis::from_secs(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixture::{SHOP, at_step, slot};
    use crate::rollout::lane::SmokeRun;

    #[test]
    fn while_a_gateway_cannot_be_asked_only_what_no_table_ever_had_is_stopped() {
        let mut lane = at_step(SHOP, "verification");
        let smoke = SmokeRun { incarnation: 1, round: 1, asked: Timestamp(1), passed: Some(true) };
        let draining = |number, ready, smoke| Slot {
            state: SlotState::Draining(Timestamp(2)),
            smoke,
            ..slot(&at_step(SHOP, "verification"), number, "1", ready)
        };
        lane.slots = vec![
            draining(1, true, Some(smoke.clone())),
            // It was ready once.
            draining(2, false, Some(smoke)),
            draining(3, false, None),
        ];
        let mut turn = Turn::new(&lane);
        stop_drained(&mut turn, &Observed::default(), Timestamp(3));
        assert_eq!(turn.effects, [Effect::Stop { instance: lane.slots[2].id.clone() }]);
    }
}
