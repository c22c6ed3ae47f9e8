//! The simulated world: seeds in which nothing breaks, and every invariant broken on purpose.

use slipway_testkit::sim::{Sabotage, Story, sabotaged, simulate};

/// Seeds in which something was found once.
const FOUND: [u64; 8] = [2149, 2204, 3391, 3784, 4616, 4713, 5098, 6010];

#[test]
fn no_invariant_breaks_in_the_first_seeds_nor_where_one_did() {
    let stories: Vec<Story> = (0..400).chain(FOUND).map(simulate).collect();
    let told = |story: &Story| {
        let broken = story.broken.as_ref()?;
        Some(format!("seed {} tick {}: {}: {}", story.seed, story.ticks, broken.invariant, broken.sentence))
    };
    let broken: Vec<String> = stories.iter().filter_map(told).collect();
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), stories.len(), broken.join("\n"));
    assert!(stories.iter().map(Story::rollouts).sum::<u64>() >= 3_000, "a few thousand rollouts");
    for (outcome, least) in [("succeeded", 100), ("rolled_back", 100), ("superseded", 10), ("failed", 1)] {
        let ended: u64 = stories.iter().filter_map(|story| story.outcomes.get(outcome)).sum();
        assert!(ended >= least, "only {ended} {outcome}");
    }
}

#[test]
fn a_seed_replays_to_the_same_tick() {
    for seed in 0..5 {
        assert_eq!(simulate(seed), simulate(seed));
    }
    assert_eq!(sabotaged(7, Some(Sabotage::StopsInUse)), sabotaged(7, Some(Sabotage::StopsInUse)));
}

#[test]
fn what_is_broken_on_purpose_is_named() {
    for (sabotage, name) in [
        (Sabotage::Unasked, "undo_comes_first"),
        (Sabotage::BlindWayBack, "undo_comes_first"),
        (Sabotage::ColdTraffic, "no_cold_traffic"),
        (Sabotage::StableCold, "stable_stays_warm"),
        (Sabotage::ScalesDownEarly, "stable_stays_warm"),
        (Sabotage::SilencePasses, "silence_is_not_health"),
        (Sabotage::TrafficLast, "traffic_first"),
        (Sabotage::StoreFirst, "traffic_first"),
        (Sabotage::AssumesConfirmed, "confirmed_not_assumed"),
        (Sabotage::StopsInUse, "confirmed_not_assumed"),
        (Sabotage::NumberTwice, "fenced"),
        (Sabotage::Unfenced, "fenced"),
        (Sabotage::ActsFirst, "journal_before_act"),
        (Sabotage::Stuck, "everything_ends"),
        (Sabotage::Nameless, "nothing_without_a_name"),
        (Sabotage::Unrecorded, "nothing_without_a_name"),
    ] {
        let found = (0..12)
            .map(|seed| sabotaged(seed, Some(sabotage)))
            .find_map(|story| story.broken.filter(|broken| broken.invariant == name));
        assert!(found.is_some(), "{sabotage:?} was not noticed as {name}");
    }
}
