//! `tolerate` as a multiple of stable's rate: healthy candidates, and such as are exactly as much worse as is tolerated,
//! are not taken back more often than declared, whatever happens to both; worse ones are found, good ones go on.

use super::super::{Forecast, requests_needed};
use super::*;

/// At most 5% failed, twice stable's rate tolerated.
fn twice() -> Objective {
    Objective { at_most: 0.05, tolerate: Tolerate::Times(2.0), ..errors() }
}

fn world<'a>(
    alpha: f64,
    advance: bool,
    user: &'a dyn Fn(&mut Random) -> u64,
    bad: &'a dyn Fn(&mut Random, &Request) -> bool,
) -> World<'a> {
    World {
        pace: Pace::Steady(300.0),
        objectives: vec![twice()],
        steps: canary(&[5, 25, 50], if advance { Millis::from_secs(600) } else { Millis::from_secs(15) }),
        alpha,
        user,
        sticky: true,
        bad,
        advance,
        compared: Comparable::Concurrent,
        warm_up: WARM_UP,
        look: Millis(1000),
        gap: Millis(250),
    }
}

fn many_users(rng: &mut Random) -> u64 {
    rng.below(5_000)
}

/// No more rollbacks at a level of 20% than chance explains.
fn assert_kept(user: &dyn Fn(&mut Random) -> u64, bad: &dyn Fn(&mut Random, &Request) -> bool) {
    let world = world(0.2, false, user, bad);
    let failed: Vec<End> = (0..40).map(|seed| world.rollout(seed)).filter(End::is_failed).collect();
    assert!(failed.len() <= 8, "{} of 40 at 20%: {failed:?}", failed.len());
}

/// What is exactly tolerated, times this rate.
fn at_the_bound(rng: &mut Random, request: &Request, rate: f64) -> bool {
    rng.chance(if request.to_candidate { 2.0 * rate } else { rate })
}

#[test]
fn what_is_just_tolerated_is_not_taken_back_with_steady_errors() {
    assert_kept(&many_users, &|rng, request| at_the_bound(rng, request, 0.01));
}

#[test]
fn bursts_that_hit_both_cancel() {
    assert_kept(&many_users, &|rng, request| {
        let burst = mix(request.at.0 / 2_000).is_multiple_of(20);
        at_the_bound(rng, request, if burst { 0.1 } else { 0.004 })
    });
}

#[test]
fn a_rate_that_drifts_for_both_cancels() {
    assert_kept(&many_users, &|rng, request| {
        let minutes = (request.at.0 - BEGIN) as f64 / 60_000.0;
        at_the_bound(rng, request, 0.001 + 0.006 * minutes)
    });
}

#[test]
fn sticky_unequal_users_who_retry_are_no_false_alarm() {
    let user = |rng: &mut Random| if rng.chance(1.0 / 3.0) { 0 } else { 1 + rng.below(3_000) };
    assert_kept(&user, &|rng, request| {
        rng.chance(match mix(request.user) % 10 {
            _ if request.user == 0 => 0.5,
            0 => 0.02,
            _ => 0.002,
        })
    });
}

#[test]
fn six_times_stables_rate_is_found_though_it_is_within_what_is_acceptable() {
    let world = world(0.01, true, &many_users, &|rng: &mut Random, request: &Request| {
        rng.chance(if request.to_candidate { 0.03 } else { 0.005 })
    });
    let ends: Vec<End> = (0..20).map(|seed| world.rollout(seed)).collect();
    assert!(ends.iter().filter(|end| end.is_failed()).count() >= 19, "{ends:?}");
    let told = ends.iter().any(|end| matches!(end, End::Failed { sentence, .. } if sentence.contains("times stable's rate, where 2 times is tolerated")));
    assert!(told, "{ends:?}");
}

#[test]
fn a_service_that_never_errs_and_one_that_is_like_stable_pass() {
    let never = world(0.01, true, &many_users, &|_: &mut Random, _: &Request| false);
    assert!(matches!(never.rollout(1), End::Succeeded), "{:?}", never.rollout(1));
    let alike = world(0.01, true, &many_users, &|rng: &mut Random, _: &Request| rng.chance(0.01));
    let ends: Vec<End> = (0..5).map(|seed| alike.rollout(seed)).collect();
    assert!(ends.iter().filter(|end| matches!(end, End::Succeeded)).count() >= 4, "{ends:?}");
}

#[test]
fn it_says_beforehand_how_many_requests_it_takes() {
    let budget = Budget::divided(0.01, 0.05, 4, 1);
    let forecast = |rate: f64| Forecast {
        weight: percent(50),
        next_weight: Weight::ALL,
        stable_rate: rate,
        candidate_rate: rate,
        min_requests: 50,
    };
    let silent = requests_needed(&twice(), &budget, &forecast(0.0)).unwrap();
    assert!((50..1_000).contains(&silent), "by being within half of at_most: {silent}");
    let noisy = requests_needed(&twice(), &budget, &forecast(0.03)).unwrap();
    assert!((500..20_000).contains(&noisy), "by the ratio: {noisy}");
}

#[test]
fn before_a_switch_the_rates_bounds_are_divided_and_without_stable_at_most_stands_alone() {
    let counts = |n, bad| Counts { n, bad, bad_keys: bad };
    let evidence = |stable| Evidence {
        candidate: counts(5_000, 150),
        stable,
        stable_ten_minutes: counts(50_000, 250),
        stable_ten_seconds: Counts::default(),
        candidate_weight: Weight::ALL,
        next_weight: Weight::ALL,
        rule: Rule::FailOnly,
        since: Timestamp(0),
        waiting_since: None,
        min_requests: 50,
        keys_known: true,
    };
    let budget = Budget { alpha: 0.001, beta: 0.05 };
    let before = Comparison::Before { before: counts(50_000, 250), meanwhile: Counts::default() };
    let worse = judge(&twice(), &budget, &evidence(before), Timestamp(60_000));
    assert_eq!(worse.verdict, Verdict::Fail, "{}", worse.sentence);
    let first = judge(&twice(), &budget, &evidence(Comparison::None), Timestamp(60_000));
    assert!(first.verdict != Verdict::Fail && first.times.is_none(), "3% is within 5%: {}", first.sentence);
}
