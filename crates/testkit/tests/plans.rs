//! What a plan says beforehand, from what the lane has seen.

use slipway_core::units::Millis;
use slipway_testkit::{SimulatedService, Users, World};

/// A world of so many users in which 1.0.0 serves, and has for a minute.
fn serving(users: u64) -> World {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/shop.yaml")).unwrap();
    let users = Users { count: users, rate: 50.0, ..Users::default() };
    let mut world = World::new(SimulatedService { users, ..SimulatedService::new(file) });
    world.release("1.0.0").unwrap();
    assert!(world.settle(Millis::from_secs(120)));
    world.run_until(Millis::from_secs(60), |_| false);
    world
}

/// The remarks of the plan of the release that is open.
fn remarks(world: &World) -> String {
    world.lane.open.as_ref().expect("a rollout").plan.remarks.join("\n")
}

#[test]
fn a_step_that_too_few_users_meet_is_named() {
    let warned = |users| {
        let mut world = serving(users);
        world.release("1.1.0").unwrap();
        remarks(&world).lines().find(|r| r.contains("can be told apart")).map(str::to_string)
    };
    let warning = warned(40).expect("one in a hundred of forty is nobody");
    assert!(warning.contains("only about 40 users") && warning.contains("meet step 1%"), "{warning}");
    assert_eq!(warned(600), None, "six are enough");
    assert_eq!(warned(0), None, "nobody can be told apart, so every request is a user");
}

#[test]
fn a_plan_goes_by_how_long_it_took_the_last_time() {
    let mut world = serving(600);
    world.release("1.1.0").unwrap();
    let open = world.lane.open.clone().expect("a rollout");
    assert!(open.plan.rollback.contains("well under a second"), "{}", open.plan.rollback);
    let first = open.plan.steps.iter().find(|s| s.kind.instances() > 0).expect("a step that starts instances");
    assert!(first.best < Millis(2_000), "instances of this world are there in half a second: {}", first.best);
    world.run_until(Millis::from_secs(30), |_| false);
    world.command(|turn, now| slipway_core::rollout::commands::abort(turn, "user:test", now)).unwrap();
    assert!(world.settle(Millis::from_secs(60)));
    world.release("1.2.0").unwrap();
    let plan = &world.lane.open.as_ref().expect("a rollout").plan;
    assert!(plan.rollback.contains("100ms the last time"), "{}", plan.rollback);
}
