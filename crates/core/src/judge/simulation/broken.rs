//! Broken candidates are failed, soon; where traffic is light they are never passed, and healthy ones never failed.

use super::*;

fn anyone(rng: &mut Random) -> u64 {
    rng.bits()
}

fn world<'a>(rps: f64, steps: Vec<Step>, bad: &'a dyn Fn(&mut Random, &Request) -> bool) -> World<'a> {
    World {
        pace: Pace::Steady(rps),
        objectives: vec![errors(), latency()],
        steps,
        alpha: 0.01,
        user: &anyone,
        sticky: false,
        bad,
        advance: true,
        compared: Comparable::Concurrent,
        warm_up: WARM_UP,
        look: Millis(25),
        gap: Millis(0),
    }
}

fn default_steps() -> Vec<Step> {
    canary(&[1, 5, 25, 50], Millis::from_secs(600))
}

/// Stable fails one request in 500; the candidate as told. Nobody is slow.
fn candidate_fails(rate: f64) -> impl Fn(&mut Random, &Request) -> bool {
    move |rng, request| request.objective == 0 && rng.chance(if request.to_candidate { rate } else { 0.002 })
}

#[test]
fn one_that_fails_every_request_is_gone_after_a_handful() {
    let bad = candidate_fails(1.0);
    for seed in 0..20 {
        let end = world(300.0, default_steps(), &bad).rollout(seed);
        let End::Failed { step: 0, candidate_requests: 3..=8, .. } = end else { panic!("{end:?}") };
    }
}

#[test]
fn one_that_breaks_in_the_middle_of_a_step_is_failed_within_a_fraction_of_a_second() {
    const BREAKS: u64 = STEP_BEGINS + 3_000;
    let bad = |rng: &mut Random, request: &Request| {
        let broken = request.to_candidate && request.at.0 >= BREAKS;
        request.objective == 0 && (broken || rng.chance(0.0002))
    };
    for weight in [5, 25, 50] {
        let steps = canary(&[weight], Millis::from_secs(600));
        let end = World { advance: false, ..world(2_000.0, steps, &bad) }.rollout(5);
        let End::Failed { step: 0, at, .. } = end else { panic!("{weight}%: {end:?}") };
        let took = at.since(Timestamp(BREAKS));
        assert!(took < Millis(300), "{weight}%: {took}");
    }
}

#[test]
fn one_that_fails_a_tenth_is_failed_before_half_of_the_users_see_it() {
    let bad = candidate_fails(0.1);
    for seed in 0..10 {
        let end = world(300.0, default_steps(), &bad).rollout(seed);
        let End::Failed { step: 0..=2, .. } = end else { panic!("{end:?}") };
    }
}

#[test]
fn after_a_switch_stable_before_it_is_what_counts() {
    let switch =
        vec![Step { weight: Weight::ALL, next: Weight::ALL, rule: Rule::FailOnly, length: Millis::from_secs(30) }];
    let broken = candidate_fails(1.0);
    let end = World { compared: Comparable::Before, ..world(300.0, switch.clone(), &broken) }.rollout(1);
    let End::Failed { candidate_requests: 3..=6, sentence, .. } = end else { panic!("{end:?}") };
    assert!(sentence.contains("stable before the change"), "{sentence}");
    let healthy = candidate_fails(0.002);
    let end = World { compared: Comparable::Before, ..world(300.0, switch, &healthy) }.rollout(1);
    assert!(matches!(end, End::Succeeded), "{end:?}");
}

#[test]
fn with_one_request_a_second_a_broken_one_is_failed_or_held_and_a_healthy_one_held() {
    let (broken, healthy) = (candidate_fails(1.0), candidate_fails(0.002));
    for steps in [vec![1, 5, 25, 50], vec![10, 50]] {
        let first = steps[0];
        let steps = canary(&steps, Millis::from_secs(600));
        for seed in 0..10 {
            let end = world(1.0, steps.clone(), &broken).rollout(seed);
            match end {
                End::Failed { step: 0, candidate_requests: 3..=10, .. } => {}
                End::Held { step: 0, .. } if first == 1 => {}
                other => panic!("{first}%, seed {seed}: {other:?}"),
            }
            let end = world(1.0, steps.clone(), &healthy).rollout(seed);
            match end {
                End::Held { ref sentence, .. } => assert!(sentence.contains("needed"), "{sentence}"),
                other => panic!("{first}%, seed {seed}: {other:?}"),
            }
        }
    }
}

#[test]
fn one_that_never_errs_passes_in_about_the_computed_time() {
    let never = |_: &mut Random, _: &Request| false;
    let end = world(300.0, canary(&[1, 5, 25, 50], Millis::from_secs(60)), &never).rollout(3);
    assert!(matches!(end, End::Succeeded), "{end:?}");
}

#[test]
fn a_regression_of_the_slowest_tenth_alone_is_failed() {
    // Errors are fine; a tenth of the candidate's requests takes too long, where it was one in a hundred.
    let bad = |rng: &mut Random, request: &Request| {
        request.objective == 1 && rng.chance(if request.to_candidate { 0.1 } else { 0.01 })
    };
    let end = world(300.0, default_steps(), &bad).rollout(1);
    let End::Failed { sentence, .. } = end else { panic!("{end:?}") };
    assert!(sentence.contains("took longer than 300ms"), "{sentence}");
}
