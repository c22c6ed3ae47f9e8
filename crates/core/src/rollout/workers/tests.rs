//! A worker's rollouts in a small world: instances start at once, are healthy, and end some turns after they were asked.

use std::collections::BTreeMap;

use super::*;
use crate::instance::{Exit, Health, InstanceState, InstanceStatus};
use crate::journal::Fact;
use crate::names::{Digest, InstanceId, RolloutId, VersionName};
use crate::rollout::commands::{release, restart, rollback};
use crate::rollout::{
    Asked, Effect, EffectResult, Observed, Outcome, Rollout, RolloutKind, Turn, complete, drillable, plan, report,
    route_of,
};
use crate::smoke::SmokeReport;
use crate::spec;
use crate::units::Timestamp;

const TICK: Millis = Millis(500);
/// Turns from the signal to the end.
const LINGERS: u32 = 6;

struct World {
    lane: Lane,
    now: Timestamp,
    running: BTreeMap<InstanceId, VersionName>,
    /// Asked to end, and after how many turns they have.
    ending: BTreeMap<InstanceId, u32>,
    results: Vec<EffectResult>,
    facts: Vec<Fact>,
    ended: Vec<Rollout>,
    /// Versions that exit.
    exits: Option<VersionName>,
    /// The most versions, and the most copies, that ran at once.
    most: (usize, usize),
    number: u64,
    file: String,
}

impl World {
    fn new(more: &str, environment: &str) -> World {
        let file = format!(
            "service: mailer\nkind: worker\n{more}run: {{ command: [./mailer] }}\nhealth: {{ running_for: 1s }}\n\
             objectives: [{{ name: jobs, bad: outcome lost, of: taken, at_most: 2% }}]\n\
             environments: {{ production: {environment} }}\n"
        );
        let environment = "production".parse().unwrap();
        let lane = Lane::new(crate::names::LaneId { service: "mailer".parse().unwrap(), environment });
        let (now, running, ending) = (Timestamp(1_000_000), BTreeMap::new(), BTreeMap::new());
        let (results, facts, ended) = (Vec::new(), Vec::new(), Vec::new());
        World { lane, now, running, ending, results, facts, ended, exits: None, most: (0, 0), number: 0, file }
    }

    fn asked(&mut self, kind: RolloutKind, version: &str) -> Asked {
        self.number += 1;
        let spec = spec::parse(&self.file).unwrap().spec;
        let strategy = spec.environments[0].strategy.clone();
        let config = spec::config_digest(&spec);
        let artifact = Digest::of(b"mailer");
        let release = Release { version: version.parse().unwrap(), artifact, config, spec };
        Asked {
            id: RolloutId::numbered(self.number),
            kind,
            release,
            strategy,
            actor: "user:test".into(),
            key: None,
            at: self.now,
            overriding: None,
            approvals: Vec::new(),
        }
    }

    fn wish(&mut self, wish: impl FnOnce(&mut Turn, Timestamp)) {
        let seen = self.observe();
        let mut turn = Turn::new(&self.lane);
        wish(&mut turn, self.now);
        complete(&mut turn, &seen, self.now);
        self.apply(turn);
    }

    fn release(&mut self, version: &str) {
        let asked = self.asked(RolloutKind::Release, version);
        self.wish(|turn, now| release(turn, asked, false, now).unwrap());
    }

    fn observe(&self) -> Observed {
        let status = |(id, version): (&InstanceId, &VersionName)| {
            let exit =
                |incarnation| Exit { incarnation, code: Some(3), signal: None, at: self.now, tail: "bye".into() };
            let bad = self.exits.as_ref() == Some(version);
            let incarnation = if bad { 4 } else { 1 };
            let status = InstanceStatus {
                id: id.clone(),
                incarnation,
                state: InstanceState::Running,
                address: Some(([127, 0, 0, 1], 1).into()),
                pid: Some(1),
                health: if bad { Health::Unknown { why: None } } else { Health::Healthy },
                last_exit: bad.then(|| exit(3)),
            };
            (id.clone(), status)
        };
        Observed {
            instances: self.running.iter().map(status).collect(),
            looking_since: Some(Timestamp(0)),
            artifacts: [(Digest::of(b"mailer"), ())].into_iter().collect(),
            results: self.results.clone(),
            ..Observed::default()
        }
    }

    fn apply(&mut self, turn: Turn) {
        self.results.clear();
        for slot in &turn.lane.slots {
            assert!(turn.lane.slots.iter().filter(|other| other.id == slot.id).count() == 1);
        }
        self.lane = turn.lane;
        self.facts.extend(turn.facts);
        self.ended.extend(turn.ended);
        assert_eq!(route_of(&self.lane), None, "no gateway ever hears of a worker");
        for effect in turn.effects {
            match effect {
                Effect::Start { spec } => {
                    self.running.insert(spec.id.clone(), spec.version.clone());
                    self.results.push(EffectResult::Started { instance: spec.id });
                }
                Effect::Stop { instance } => drop(self.ending.insert(instance, LINGERS)),
                Effect::Smoke { instance, incarnation, round, .. } => {
                    let report = SmokeReport { instance, incarnation, at: self.now, tests: Vec::new() };
                    self.results.push(EffectResult::Smoked { report, round });
                }
                Effect::Run { .. } | Effect::Ask { .. } => {}
            }
        }
        let mut versions: Vec<&VersionName> = self.running.values().collect();
        self.most.1 = self.most.1.max(versions.len());
        versions.sort();
        versions.dedup();
        self.most.0 = self.most.0.max(versions.len());
    }

    fn tick(&mut self) {
        self.now = self.now.plus(TICK);
        for left in self.ending.values_mut() {
            *left = left.saturating_sub(1);
        }
        let over: Vec<InstanceId> =
            self.ending.iter().filter(|(_, left)| **left == 0).map(|(id, _)| id.clone()).collect();
        for instance in over {
            self.ending.remove(&instance);
            self.running.remove(&instance);
            self.results.push(EffectResult::Stopped { instance, killed: false });
        }
        self.wish(|_, _| ());
    }

    /// Goes on until nothing is open, and some turns beyond.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            self.tick();
            if self.lane.open.is_none() && self.lane.restarting.is_none() && self.ending.is_empty() {
                return;
            }
        }
        panic!("it does not end: {:#?}", self.lane.open);
    }

    fn first(more: &str, environment: &str) -> World {
        let mut world = World::new(more, environment);
        world.release("1");
        world.settle();
        assert_eq!(world.serves(), ("1".into(), world.declared()));
        world.most = (0, 0);
        world
    }

    fn declared(&self) -> usize {
        self.lane.stable.as_ref().map_or(0, |stable| stable.instances(&self.lane.id) as usize)
    }

    fn serves(&self) -> (String, usize) {
        let stable = self.lane.stable_version().unwrap().clone();
        assert!(self.running.values().all(|version| *version == stable), "{:?}", self.running);
        (stable.to_string(), self.running.len())
    }

    fn outcome(&self) -> Outcome {
        self.ended.last().and_then(|rollout| rollout.ended()).unwrap().0
    }

    fn kinds(&self, kind: &str) -> usize {
        self.facts.iter().filter(|fact| fact.kind == kind).count()
    }
}

const EXCLUSIVE: &str = "{ instances: 2, strategy: { replace: { verify: 5s } } }";
const ROLLING: &str = "{ instances: 3, strategy: { rolling: { verify: 5s } } }";

#[test]
fn rolling_surges_by_a_batch_and_every_instance_is_replaced() {
    let mut world = World::first("", ROLLING);
    world.release("2");
    world.settle();
    assert_eq!((world.outcome(), world.serves()), (Outcome::Succeeded, ("2".into(), 3)));
    // Those that finish their jobs are beside the batch that takes their place.
    assert!(world.most.1 <= 3 + 2, "{:?}", world.most);
    assert_eq!(world.lane.standby, None);
    assert_eq!(world.lane.predecessor.as_ref().map(|p| p.version.to_string()), Some("1".into()));
    assert_eq!(world.kinds("traffic.shifting") + world.kinds("traffic.confirmed"), 0);
}

#[test]
fn exits_take_a_version_back_and_stable_is_whole_before_that_is_said() {
    for (more, environment) in [("", ROLLING), ("exclusive: true\n", EXCLUSIVE)] {
        let mut world = World::first(more, environment);
        world.exits = Some("2".parse().unwrap());
        world.release("2");
        world.settle();
        assert_eq!((world.outcome(), world.serves()), (Outcome::RolledBack, ("1".into(), world.declared())));
        let stable = world.lane.stable_version().unwrap().clone();
        assert_eq!(world.lane.ready(&stable) as usize, world.declared());
        assert!(world.ended.last().unwrap().timing.rollback.is_some());
    }
}

#[test]
fn exclusive_versions_and_copies_never_meet() {
    let mut world = World::first("exclusive: true\n", EXCLUSIVE);
    world.release("2");
    world.settle();
    assert_eq!(world.serves(), ("2".into(), 2));
    world.wish(|turn, now| restart(turn, "user:test", now).unwrap());
    world.settle();
    assert_eq!(world.kinds("restart.ended"), 1, "{:?}", world.facts.iter().map(|f| &f.kind).collect::<Vec<_>>());
    let asked = world.asked(RolloutKind::Rollback, "1");
    world.wish(|turn, now| rollback(turn, Some(asked), "user:test", now).unwrap());
    world.settle();
    assert_eq!(world.serves(), ("1".into(), 2));
    // A release that no longer asks for it still waits for the version that did.
    world.file = world.file.replace("exclusive: true\n", "").replace("replace: {", "rolling: {");
    world.release("3");
    let open = world.lane.open.as_ref().unwrap();
    assert_eq!(open.plan.strategy, "replace");
    assert!(open.plan.remarks.iter().any(|remark| remark.contains("must run alone")), "{:?}", open.plan.remarks);
    world.settle();
    assert_eq!((world.serves(), world.most), (("3".into(), 2), (1, 2)));
}

#[test]
fn an_aborted_replacement_brings_the_old_version_back_alone() {
    for after in 1..20 {
        let mut world = World::first("exclusive: true\n", EXCLUSIVE);
        world.release("2");
        (0..after).for_each(|_| world.tick());
        if world.lane.open.is_none() {
            continue;
        }
        world.wish(|turn, now| crate::rollout::commands::abort(turn, "user:test", now).unwrap());
        world.settle();
        assert_eq!((world.outcome(), world.serves()), (Outcome::RolledBack, ("1".into(), 2)), "after {after} turns");
        assert_eq!(world.most, (1, 2), "after {after} turns");
    }
}

#[test]
fn a_canary_stands_beside_stable_and_its_last_step_vouches_for_everything() {
    let environment = "{ instances: 4, strategy: { canary: { steps: [10%, 1, 3, 100%] } } }";
    let mut world = World::first("", environment);
    let asked = world.asked(RolloutKind::Release, "2");
    let plan = plan(&world.lane, RolloutKind::Release, &asked.release, &asked.strategy, &Default::default());
    let names: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["prepare", "1 of 4", "3 of 4", "verification"], "10% of 4 is 1 too");
    let shares: Vec<u16> = plan.steps.iter().map(|step| step.exposed.bp()).collect();
    assert_eq!(shares, [0, 2_000, 4_286, 5_000]);
    assert_eq!(plan.extra_instances, 4);
    world.release("2");
    for _ in 0..40 {
        world.tick();
    }
    let open = world.lane.open.as_ref().unwrap();
    assert_eq!((open.step, world.lane.ready(&"1".parse().unwrap())), (1, 4), "no outcome, no pass; stable is whole");
    assert_eq!(next_weight(&Rollout { step: 1, ..open.clone() }).bp(), 4_286);
    assert_eq!(next_weight(&Rollout { step: 2, ..open.clone() }), Weight::ALL);
    world.wish(|turn, now| crate::rollout::commands::abort(turn, "user:test", now).unwrap());
    world.settle();
    assert_eq!(world.serves(), ("1".into(), 4));
}

#[test]
fn a_worker_does_not_become_a_service_with_requests() {
    let mut world = World::first("", ROLLING);
    let mut asked = world.asked(RolloutKind::Release, "2");
    assert_eq!(same_kind(&world.lane, &asked.release), Ok(()));
    asked.release.spec.worker = None;
    let refusal = same_kind(&world.lane, &asked.release).unwrap_err();
    assert_eq!(refusal.code, "other_kind");
    assert!(refusal.reason.contains("2 is a service with requests"), "{refusal}");
}

impl World {
    fn second(environment: &str) -> World {
        let mut world = World::first("", environment);
        world.release("2");
        world.settle();
        assert_eq!(world.serves().0, "2");
        world
    }

    fn drill(&mut self) -> Result<(), Refusal> {
        let seen = self.observe();
        let to = drillable(&self.lane, &seen)?;
        let asked = self.asked(RolloutKind::Drill { cold: false }, to.version.as_str());
        self.wish(|turn, _| crate::rollout::commands::drill(turn, asked, &seen).unwrap());
        Ok(())
    }

    /// The versions that take jobs now: asked to end are those that take none.
    fn takers(&self) -> Vec<String> {
        let free = self.running.iter().filter(|(id, _)| !self.ending.contains_key(*id));
        let mut versions: Vec<String> = free.map(|(_, version)| version.to_string()).collect();
        versions.dedup();
        versions
    }
}

#[test]
fn a_drill_really_hands_the_jobs_over_and_back_and_somebody_always_takes_them() {
    let mut world = World::second(ROLLING);
    world.drill().unwrap();
    let names: Vec<String> = world.lane.open.as_ref().unwrap().plan.steps.iter().map(|s| s.name.clone()).collect();
    assert_eq!(names, ["prepare", "start", "back", "stay", "return"]);
    let (mut alone, mut turns, mut told) = (0, 0, Vec::new());
    while world.lane.open.is_some() {
        world.tick();
        let waiting = report(&world.lane, &world.observe(), world.now).and_then(|report| report.waiting);
        told.extend(waiting.map(|waiting| waiting.on));
        turns += 1;
        let takers = world.takers();
        assert!(!takers.is_empty(), "nobody takes jobs after {turns} turns");
        let only_old = world.running.values().all(|version| version.as_str() == "1");
        alone += usize::from(only_old);
        assert!(turns < 2_000, "{:#?}", world.lane.open);
    }
    world.settle();
    assert_eq!((world.outcome(), world.serves()), (Outcome::Succeeded, ("2".into(), 3)));
    assert!(alone as u64 * TICK.0 >= 5_000, "the predecessor has it alone for as long as it verifies: {alone} turns");
    for sentence in ["the last of 2 to end: 3 left", "2 to have all of its instances: 0 of 3"] {
        assert!(told.iter().any(|on| on == sentence), "{sentence}: {told:?}");
    }
    assert!(told.iter().all(|on| !on.contains("gateway")), "{told:?}");
    let drilled = world.lane.drilled.clone().unwrap();
    assert!(drilled.passed && drilled.cold && drilled.back.is_some() && drilled.forth.is_some(), "{drilled:?}");
    assert_eq!(world.lane.predecessor.as_ref().map(|p| p.version.to_string()), Some("1".into()));
}

#[test]
fn a_drill_that_finds_the_predecessor_broken_or_is_aborted_brings_stable_back_whole() {
    for after in 1..40 {
        let mut world = World::second(ROLLING);
        world.drill().unwrap();
        (0..after).for_each(|_| world.tick());
        if world.lane.open.is_none() {
            continue;
        }
        match after % 2 {
            0 => world.exits = Some("1".parse().unwrap()),
            _ => world.wish(|turn, now| drop(crate::rollout::commands::abort(turn, "user:test", now))),
        }
        world.settle();
        assert_eq!(world.serves(), ("2".into(), 3), "after {after} turns");
        let passed = world.lane.drilled.as_ref().is_some_and(|d| d.passed);
        assert!(!passed || world.outcome() == Outcome::Succeeded, "after {after} turns");
    }
}

#[test]
fn a_rollback_during_a_drill_stays_with_the_predecessor() {
    for after in 1..40 {
        let mut world = World::second(ROLLING);
        world.drill().unwrap();
        (0..after).for_each(|_| world.tick());
        if world.lane.open.is_none() {
            continue;
        }
        world.wish(|turn, now| rollback(turn, None, "user:test", now).unwrap());
        world.settle();
        assert_eq!((world.outcome(), world.serves()), (Outcome::Succeeded, ("1".into(), 3)), "after {after} turns");
    }
}

#[test]
fn what_is_replaced_as_a_whole_is_not_drilled() {
    let whole = "{ instances: 2, strategy: { replace: { verify: 5s } } }";
    for (more, environment, why) in
        [("exclusive: true\n", EXCLUSIVE, "must run alone"), ("", whole, "is replaced as a whole")]
    {
        let mut world = World::first(more, environment);
        world.release("2");
        world.settle();
        let refusal = world.drill().unwrap_err();
        assert_eq!(refusal.code, "nothing_to_drill");
        assert!(refusal.reason.contains(why) && refusal.reason.contains("to nobody"), "{refusal}");
    }
}
