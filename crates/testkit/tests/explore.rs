//! Everything near: each state that a small rollout comes to, breadth first. `make sim` goes further.

use slipway_testkit::explore::{Bounds, Explored, explore};
use slipway_testkit::sim::Sabotage;

/// States that are looked at of each kind; a test's time.
const STATES: usize = 4_000;

fn fine(bounds: Bounds) -> Explored {
    let explored = explore(&bounds);
    let Explored { states, steps, depth, whole, standing, broken } = &explored;
    println!("explored {} states={states} steps={steps} depth={depth} whole={whole} {standing:?}", bounds.strategy);
    assert_eq!(*broken, None);
    assert!(*whole || *states >= bounds.states, "it stopped early");
    explored
}

#[test]
fn no_state_of_a_canary_breaks_anything_or_has_no_end() {
    let explored = fine(Bounds { states: STATES, ..Bounds::canary() });
    for state in ["idle", "running", "paused", "undoing"] {
        assert!(explored.standing.contains_key(state), "none is {state}");
    }
}

#[test]
fn no_state_of_a_blue_green_breaks_anything_or_has_no_end() {
    fine(Bounds { states: STATES, ..Bounds::blue_green() });
}

#[test]
fn no_state_of_a_rolling_breaks_anything_or_has_no_end() {
    fine(Bounds { states: STATES, ..Bounds::rolling() });
}

#[test]
fn no_state_of_a_first_release_breaks_anything_or_has_no_end() {
    fine(Bounds { states: STATES, first: true, ..Bounds::canary() });
}

#[test]
fn what_is_broken_on_purpose_is_found_with_the_way_to_it() {
    for (sabotage, name) in [
        (Sabotage::TrafficLast, "traffic_first"),
        (Sabotage::StableCold, "stable_stays_warm"),
        (Sabotage::StopsInUse, "confirmed_not_assumed"),
        (Sabotage::NumberTwice, "fenced"),
        (Sabotage::Stuck, "everything_ends"),
    ] {
        let explored = explore(&Bounds { states: STATES, sabotage: Some(sabotage), ..Bounds::canary() });
        let (broken, way) = explored.broken.unwrap_or_else(|| panic!("{sabotage:?} was not noticed"));
        assert_eq!(broken.invariant, name, "{sabotage:?}: {} after {way:?}", broken.sentence);
    }
}
