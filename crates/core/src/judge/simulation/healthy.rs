//! Healthy candidates are not rolled back more often than declared, over whole rollouts: four canary steps and
//! verification, two objectives, looks after every bad event, no step ended early.

use super::*;

fn world<'a>(
    alpha: f64,
    user: &'a dyn Fn(&mut Random) -> u64,
    bad: &'a dyn Fn(&mut Random, &Request) -> bool,
) -> World<'a> {
    World {
        pace: Pace::Steady(150.0),
        objectives: vec![errors(), latency()],
        steps: canary(&[1, 5, 25, 50], Millis::from_secs(15)),
        alpha,
        user,
        sticky: true,
        bad,
        advance: false,
        compared: Comparable::Concurrent,
        warm_up: WARM_UP,
        look: Millis(1000),
        gap: Millis(250),
    }
}

/// Rollouts that end in a rollback, of `runs`.
fn rollbacks(world: &World, runs: u64) -> Vec<End> {
    (0..runs).map(|seed| world.rollout(seed)).filter(End::is_failed).collect()
}

fn many_users(rng: &mut Random) -> u64 {
    rng.below(5_000)
}

/// Both the declared default and a level at which a broken promise would show at once.
fn assert_kept(user: &dyn Fn(&mut Random) -> u64, bad: &dyn Fn(&mut Random, &Request) -> bool) {
    let at_default = rollbacks(&world(0.01, user, bad), 30);
    assert!(at_default.len() <= 2, "{} of 30 at 1%: {at_default:?}", at_default.len());
    let at_fifth = rollbacks(&world(0.2, user, bad), 40);
    assert!(at_fifth.len() <= 8, "{} of 40 at 20%: {at_fifth:?}", at_fifth.len());
}

/// A rate for errors, and five times that for slow requests.
fn scaled(rng: &mut Random, request: &Request, rate: f64) -> bool {
    rng.chance(if request.objective == 0 { rate } else { rate * 5.0 })
}

#[test]
fn with_steady_errors_at_the_very_bound() {
    assert_kept(&many_users, &|rng, request| scaled(rng, request, 0.0099));
}

#[test]
fn with_bursts_that_hit_everyone() {
    assert_kept(&many_users, &|rng, request| {
        let burst = mix(request.at.0 / 2_000).is_multiple_of(20);
        scaled(rng, request, if burst { 0.1 } else { 0.002 })
    });
}

#[test]
fn with_a_rate_that_drifts_from_good_to_unacceptable() {
    assert_kept(&many_users, &|rng, request| {
        let minutes = (request.at.0 - BEGIN) as f64 / 60_000.0;
        scaled(rng, request, 0.001 + 0.006 * minutes)
    });
}

#[test]
fn with_sticky_unequal_users_one_of_whom_retries() {
    // User 0 makes a third of the requests; every tenth user has ten times the trouble of the others.
    let user = |rng: &mut Random| if rng.chance(1.0 / 3.0) { 0 } else { 1 + rng.below(3_000) };
    assert_kept(&user, &|rng, request| {
        let rate = match mix(request.user) % 10 {
            _ if request.user == 0 => 0.5,
            0 => 0.02,
            _ => 0.002,
        };
        scaled(rng, request, rate)
    });
}
