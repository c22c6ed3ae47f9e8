//! Everything near: each state that a small rollout comes to, breadth first. `make sim` goes further.

use slipway_testkit::explore::{Bounds, Explored, explore};
use slipway_testkit::sim::Sabotage;

/// Looks at so many states without a fault, and at some with one in each rollout.
fn fine(bounds: &Bounds, states: usize) -> Explored {
    let look = |faults, states| {
        let bounds = Bounds { faults, states, ..bounds.clone() };
        let explored = explore(&bounds);
        let Explored { states, steps, depth, whole, standing, broken } = &explored;
        let strategy = bounds.strategy;
        println!("explored {strategy} faults={faults} states={states} steps={steps} depth={depth} {standing:?}");
        assert_eq!(*broken, None);
        assert!(*whole || *states >= bounds.states, "it stopped early");
        explored
    };
    look(1, states / 4);
    look(0, states)
}

#[test]
fn no_state_of_a_canary_breaks_anything_or_has_no_end() {
    let explored = fine(&Bounds::canary(), 8_000);
    for state in ["idle", "running", "paused", "held", "undoing"] {
        assert!(explored.standing.contains_key(state), "none is {state}");
    }
}

#[test]
fn no_state_of_a_blue_green_breaks_anything_or_has_no_end() {
    fine(&Bounds::blue_green(), 6_000);
}

#[test]
fn no_state_of_a_rolling_breaks_anything_or_has_no_end() {
    fine(&Bounds::rolling(), 6_000);
}

#[test]
fn no_state_of_a_first_release_breaks_anything_or_has_no_end() {
    fine(&Bounds { first: true, ..Bounds::canary() }, 4_000);
}

/// Visits every state there is, and no fewer than there were: a state less is something that cannot happen any more, or that is
/// taken for another.
fn whole(bounds: Bounds, golden: usize) {
    let explored = explore(&Bounds { prompt: true, faults: 0, ..bounds });
    assert_eq!(explored.broken, None);
    assert!(explored.whole, "it does not come to an end");
    assert_eq!(explored.states, golden, "states, at most {} steps away: {:?}", explored.depth, explored.standing);
}

#[test]
fn a_canary_is_visited_whole() {
    whole(Bounds::canary(), 4_300);
}

#[test]
fn a_blue_green_is_visited_whole() {
    whole(Bounds::blue_green(), 3_745);
}

#[test]
fn a_rolling_is_visited_whole() {
    whole(Bounds { instances: 1, ..Bounds::rolling() }, 5_681);
}

#[test]
fn a_first_release_and_what_follows_is_visited_whole() {
    whole(Bounds { first: true, ..Bounds::canary() }, 5_909);
}

#[test]
fn what_is_broken_on_purpose_is_found_with_the_way_to_it() {
    for (sabotage, name) in [
        (Sabotage::SilencePasses, "silence_is_not_health"),
        (Sabotage::StableCold, "stable_stays_warm"),
        (Sabotage::StopsInUse, "confirmed_not_assumed"),
        (Sabotage::NumberTwice, "fenced"),
        (Sabotage::Stuck, "everything_ends"),
    ] {
        let bounds = Bounds { instances: 2, states: 8_000, faults: 0, ..Bounds::canary() };
        let explored = explore(&Bounds { sabotage: Some(sabotage), ..bounds });
        let (broken, way) = explored.broken.unwrap_or_else(|| panic!("{sabotage:?} was not noticed"));
        assert_eq!(broken.invariant, name, "{sabotage:?}: {} after {way:?}", broken.sentence);
    }
}
