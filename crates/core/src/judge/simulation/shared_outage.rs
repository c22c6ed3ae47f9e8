//! A bad minute for everyone is not blamed on the candidate.

use super::*;

fn anyone(rng: &mut Random) -> u64 {
    rng.bits()
}

fn few(rng: &mut Random) -> u64 {
    rng.below(2_000)
}

/// An outage that begins `after` the first step did, lasts `length` and hits this share of all requests.
fn outage(after: u64, length: u64, share: f64) -> impl Fn(&mut Random, &Request) -> bool {
    let begin = STEP_BEGINS + after;
    move |rng, request| {
        let hit = (begin..begin + length).contains(&request.at.0);
        request.objective == 0 && rng.chance(if hit { share } else { 0.001 })
    }
}

fn world<'a>(rps: f64, weight: u16, bad: &'a dyn Fn(&mut Random, &Request) -> bool) -> World<'a> {
    let rule = if weight < 99 { Rule::PassOrFail } else { Rule::FailOnly };
    World {
        pace: Pace::Steady(rps),
        objectives: vec![errors()],
        steps: vec![Step { weight: percent(weight), next: Weight::ALL, rule, length: Millis::from_secs(45) }],
        alpha: 0.002,
        user: &anyone,
        sticky: false,
        bad,
        advance: false,
        compared: Comparable::Concurrent,
        warm_up: WARM_UP,
        look: Millis(500),
        gap: Millis(25),
    }
}

fn failures(world: &World, runs: u64) -> Vec<End> {
    (0..runs).map(|seed| world.rollout(seed)).filter(End::is_failed).collect()
}

#[test]
fn a_healthy_candidate_survives_one_in_the_middle_of_any_step() {
    for weight in [1, 5, 25, 50, 75, 99] {
        for share in [1.0, 0.2] {
            let bad = outage(20_000, 10_000, share);
            let failed = failures(&world(300.0, weight, &bad), 10);
            assert!(failed.is_empty(), "{weight}%, {share}: {failed:?}");
        }
    }
}

#[test]
fn and_one_that_begins_right_after_the_step_did() {
    for weight in [1, 25, 50, 75, 99] {
        for after in [0, 300, 1_000] {
            let bad = outage(after, 10_000, 1.0);
            let failed = failures(&world(300.0, weight, &bad), 10);
            assert!(failed.is_empty(), "{weight}%, after {after}ms: {failed:?}");
        }
    }
}

#[test]
fn also_where_users_are_sticky_and_keep_trying() {
    for weight in [5, 50, 99] {
        let bad = outage(10_000, 10_000, 1.0);
        let failed = failures(&World { user: &few, sticky: true, ..world(300.0, weight, &bad) }, 10);
        assert!(failed.is_empty(), "{weight}%: {failed:?}");
    }
}

#[test]
fn in_rolling_too_while_stable_still_serves() {
    for weight in [25, 50, 75] {
        let bad = outage(5_000, 10_000, 1.0);
        let failed = failures(&World { compared: Comparable::Before, ..world(300.0, weight, &bad) }, 10);
        assert!(failed.is_empty(), "{weight}%: {failed:?}");
    }
}

#[test]
fn a_candidate_that_breaks_in_verification_is_failed_once_stable_had_its_say() {
    const BREAKS: u64 = STEP_BEGINS + 10_000;
    let broken =
        |rng: &mut Random, request: &Request| request.to_candidate && request.at.0 >= BREAKS || rng.chance(0.001);
    for (rps, limit) in [(300.0, 10), (30.0, 15), (1.0, 40)] {
        for seed in 0..10 {
            let end = world(rps, 99, &broken).rollout(seed);
            let End::Failed { at, .. } = end else { panic!("{rps} per second: {end:?}") };
            let took = at.since(Timestamp(BREAKS));
            assert!(took < Millis::from_secs(limit), "{rps} per second: {took}");
        }
    }
}

#[test]
fn in_rolling_a_broken_candidate_is_failed_also_beside_a_stable_that_is_never_within() {
    let broken = |rng: &mut Random, request: &Request| request.to_candidate || rng.chance(0.013);
    for weight in [25, 50, 75, 100] {
        let end = World { compared: Comparable::Before, ..world(300.0, weight, &broken) }.rollout(1);
        assert!(end.is_failed(), "{weight}%: {end:?}");
    }
}
