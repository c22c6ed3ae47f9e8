//! What a rollout makes of gateways that are cut off, while others are there.

use slipway_core::rollout::{Outcome, State};
use slipway_core::units::Millis;
use slipway_testkit::{SimulatedService, Users, World};

/// A world in which a canary of 1.1.0 has begun to share the traffic.
fn sharing() -> World {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/shop.yaml")).unwrap();
    let users = Users { count: 600, rate: 50.0, ..Users::default() };
    let mut world = World::new(SimulatedService { users, ..SimulatedService::new(file) });
    world.release("1.0.0").unwrap();
    assert!(world.settle(Millis::from_secs(120)));
    world.run_until(Millis::from_secs(60), |_| false);
    world.release("1.1.0").unwrap();
    assert!(world.run_until(Millis::from_secs(120), shares));
    world
}

fn shares(world: &World) -> bool {
    world.lane.open.as_ref().is_some_and(|open| open.progress.confirmed.is_some()) && world.lane.is_exposed()
}

fn told(world: &World, kind: &str) -> usize {
    world.journal.iter().filter(|(_, fact)| fact.kind == kind).count()
}

#[test]
fn a_gateway_that_was_cut_off_restarts_the_step_twice_and_then_it_is_taken_back() {
    let mut world = sharing();
    for times in 1..=2 {
        let epoch = world.lane.routing.as_ref().unwrap().epoch;
        world.cut_off = Some(epoch);
        let afresh = |w: &World| w.lane.routing.as_ref().is_some_and(|r| r.epoch > epoch) && shares(w);
        assert!(world.run_until(Millis::from_secs(10), afresh), "only a newer epoch brings the split back to it");
        assert_eq!(told(&world, "decided.restart"), times);
        assert_eq!(world.lane.open.as_ref().unwrap().state, State::Running);
    }
    world.cut_off = world.lane.routing.as_ref().map(|r| r.epoch);
    assert!(world.settle(Millis::from_secs(60)));
    let State::Ended { outcome, cause } = &world.ended.last().unwrap().state else { panic!("it has ended") };
    assert_eq!(*outcome, Outcome::RolledBack);
    assert!(cause.contains("cut off"), "{cause}");
}

#[test]
fn what_a_gateway_may_use_that_cannot_be_asked_is_not_stopped() {
    let mut world = sharing();
    let candidate = world.lane.candidate_version().cloned().unwrap();
    world.kept = world.lane.slots.iter().filter(|s| s.version == candidate).map(|s| s.id.clone()).collect();
    assert!(!world.kept.is_empty());
    world.command(|turn, now| slipway_core::rollout::commands::abort(turn, "user:test", now)).unwrap();
    let is_there = |w: &World| w.lane.slots.iter().any(|s| s.version == candidate);
    assert!(world.settle(Millis::from_secs(60)), "the rollout does not wait for it");
    world.run_until(Millis::from_secs(3600), |_| false);
    assert!(is_there(&world));
    world.kept.clear();
    assert!(world.run_until(Millis::from_secs(10), |w| !is_there(w)));
}

#[test]
fn one_that_was_cut_off_while_the_next_step_waits_for_instances_gets_its_split_back() {
    let mut world = sharing();
    let waits = |w: &World| w.lane.open.as_ref().is_some_and(|o| o.step > 0 && o.progress.shifted.is_none());
    assert!(world.run_until(Millis::from_secs(3600), waits));
    let epoch = world.lane.routing.as_ref().unwrap().epoch;
    world.cut_off = Some(epoch);
    let again = |w: &World| told(w, "decided.restart") > 0;
    assert!(world.run_until(Millis::from_secs(10), again));
    assert!(waits(&world) && world.lane.routing.as_ref().unwrap().epoch > epoch, "the split at hand, anew");
    assert!(world.settle(Millis::from_secs(3600)));
    assert_eq!(told(&world, "decided.restart"), 1);
    let State::Ended { outcome, .. } = &world.ended.last().unwrap().state else { panic!("it has ended") };
    assert_eq!(*outcome, Outcome::Succeeded);
}
