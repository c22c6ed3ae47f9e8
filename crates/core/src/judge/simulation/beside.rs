//! The e-process of two versions beside each other: what it may be expected to be, exactly, and how often it cries wolf.

use proptest::prelude::*;

use super::super::beside::{Beside, one_each};
use super::super::multiple::{Multiple, Side};
use super::*;

const AT_MOST: f64 = 0.01;

/// The counts of one side after this many.
fn counts(n: usize, bad: usize) -> Counts {
    Counts { n: n as u64, bad: bad as u64, bad_keys: bad as u64 }
}

/// The most that anybody who stops at a time of their own choice can expect of the evidence, where stable's request number
/// i is bad with a chance of `chances[i]`, the candidate's with `excess` more, and each is the candidate's with a chance
/// of `share`. By backward induction over all counts, so it is exact.
fn best_stop(beside: &Beside, chances: &[f64], excess: f64, share: f64) -> f64 {
    // By the candidate's requests and bad ones and stable's bad ones; stable's requests are the rest.
    let evidence = |n: usize, c: usize, bad: usize, theirs: usize| {
        beside.evidence(counts(c, bad).into(), counts(n - c, theirs).into(), excess)
    };
    let all = chances.len();
    let index = |c: usize, bad: usize, theirs: usize| (c * (all + 1) + bad) * (all + 1) + theirs;
    let mut next = vec![0.0; (all + 1).pow(3)];
    for n in (0..=all).rev() {
        let mut this = vec![0.0; next.len()];
        for (c, bad, theirs) in (0..=n)
            .flat_map(|c| (0..=c).map(move |bad| (c, bad)))
            .flat_map(|(c, bad)| (0..=n - c).map(move |theirs| (c, bad, theirs)))
        {
            let stops = evidence(n, c, bad, theirs);
            this[index(c, bad, theirs)] = match chances.get(n) {
                None => stops,
                Some(chance) => {
                    let candidates = (chance + excess).clamp(0.0, 1.0);
                    let goes_on = share * candidates * next[index(c + 1, bad + 1, theirs)]
                        + share * (1.0 - candidates) * next[index(c + 1, bad, theirs)]
                        + (1.0 - share) * chance * next[index(c, bad, theirs + 1)]
                        + (1.0 - share) * (1.0 - chance) * next[index(c, bad, theirs)];
                    goes_on.max(stops)
                }
            };
        }
        next = this;
    }
    next[0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// For any chances, however they burst and drift, any share and any declared one: nobody gains by stopping.
    #[test]
    fn nobody_can_expect_more_than_one_of_it(
        chances in prop::collection::vec(prop_oneof![0.0f64..0.05, 0.0f64..=1.0], 14),
        share in 0.01f64..0.99, declared in 0.0f64..=1.0, more in prop_oneof![Just(0.0), 0.0f64..0.2],
        at_most in 0.001f64..0.5,
    ) {
        let chances: Vec<f64> = chances.into_iter().map(|chance: f64| chance.min(1.0 - more)).collect();
        let most = best_stop(&Beside::new(at_most, declared), &chances, more, share);
        prop_assert!(most <= 1.0 + 1e-9, "{most}");
    }

    #[test]
    fn the_bound_is_where_the_test_turns_and_below_what_was_seen(
        n in 1u64..100_000, share in 0.0f64..1.0, stable_n in 0u64..1_000_000, stable_share in 0.0f64..1.0, declared in 0.0f64..=1.0,
    ) {
        let (bad, stable_bad) = ((n as f64 * share.powi(4)) as u64, (stable_n as f64 * stable_share.powi(4)) as u64);
        let (candidate, stable) = (counts(n as usize, bad as usize), counts(stable_n as usize, stable_bad as usize));
        let beside = Beside::new(AT_MOST, declared);
        let lower = beside.lower(candidate, stable, 0.001);
        prop_assert!((-1.0..=1.0).contains(&lower) && lower <= candidate.rate() - stable.rate() + 1e-9, "{lower}");
        prop_assert!(beside.lower(candidate, stable, 0.01) >= lower);
        let ln = |excess: f64| beside.evidence(candidate.into(), stable.into(), excess).ln();
        if lower > -1.0 {
            prop_assert!(ln(lower - 1e-6) >= -0.001f64.ln() - 1e-6, "{lower}");
        }
        prop_assert!(lower > 1.0 - 1e-5 || ln(lower + 1e-5) <= -0.001f64.ln() + 1e-6, "{lower}");
    }
}

#[test]
fn the_bound_closes_in_on_the_truth() {
    for (weight, n, near) in [(0.5, 1_000_000, 0.2), (0.5, 100_000_000, 0.03), (0.01, 100_000_000, 0.04)] {
        let stable = (n as f64 * (1.0 - weight) / weight) as usize;
        let beside = Beside::new(AT_MOST, weight);
        let lower = beside.lower(counts(n, n / 100 * 3), counts(stable, stable / 100), 0.001);
        assert!(lower > 0.02 * (1.0 - near) && lower <= 0.02, "{weight}, {n}: {lower}");
    }
}

/// One step at this weight, looked at after each bad event of the candidate's: after how many of its requests it is shown
/// to be worse than stable.
fn shown(seed: u64, weight: f64, rates: impl Fn(u64) -> (f64, f64), requests: u64, level: f64) -> Option<u64> {
    let beside = Beside::new(AT_MOST, weight);
    let mut random = Random::new(seed);
    let (mut candidate, mut stable) = (Counts::default(), Counts::default());
    for n in 0..requests {
        let (ours, theirs) = rates(n);
        if random.chance(weight) {
            let bad = random.chance(ours);
            candidate += Counts { n: 1, bad: u64::from(bad), bad_keys: 0 };
            if bad && beside.shown_above(candidate, stable, 0.0, level) {
                return Some(candidate.n);
            }
        } else {
            stable += Counts { n: 1, bad: u64::from(random.chance(theirs)), bad_keys: 0 };
        }
    }
    None
}

#[test]
fn whatever_befalls_both_is_blamed_on_nobody() {
    let steady: fn(u64) -> f64 = |_| 0.02;
    let bursts: fn(u64) -> f64 = |n| if n % 1_000 < 30 { 0.8 } else { 0.001 };
    let drift: fn(u64) -> f64 = |n| 0.0001 * (n as f64 / 100.0);
    for (name, rate) in [("steady", steady), ("bursts", bursts), ("drift", drift)] {
        for weight in [0.05, 0.5, 0.95] {
            let wrong = |seed| shown(seed, weight, |n| (rate(n), rate(n)), 4_000, 0.05).is_some();
            let alarms = (0..2_000).filter(|seed| wrong(*seed)).count();
            assert!(alarms <= 100, "{name} at {weight}: {alarms} of 2,000 at a level of 5%");
        }
    }
}

/// One step in which whoever is failed tries again at once, is failed twice more and gives up, as the cap lets through, on
/// either side alike: whether the candidate is shown to be worse, by the events as they come and by users; each by the
/// difference of the rates and by their ratio.
fn shown_by_users_who_retry(seed: u64, weight: Weight) -> [bool; 4] {
    let (beside, multiple) = (Beside::new(AT_MOST, weight.share()), Multiple::new(weight));
    let mut random = Random::new(seed);
    let (mut candidate, mut stable) = (Counts::default(), Counts::default());
    let mut shown = [false; 4];
    for _ in 0..18_000 {
        let ours = random.chance(weight.share());
        let side = if ours { &mut candidate } else { &mut stable };
        if !random.chance(0.003) {
            *side += Counts { n: 1, ..Counts::default() };
            continue;
        }
        *side += Counts { n: 3, bad: 3, bad_keys: 1 };
        if ours {
            for (place, keys_known) in [false, true].into_iter().enumerate() {
                let each = one_each(candidate, stable, keys_known);
                let ratio = multiple.concurrent(each.candidate, each.stable, 0.01, 0.05);
                shown[place] |= beside.shown_above(each.candidate, each.stable, 0.0, 0.01);
                shown[2 + place] |= ratio.lower > 1.0;
            }
        }
    }
    shown
}

#[test]
fn users_who_retry_and_are_failed_again_are_no_false_alarm() {
    let weight = Weight::from_bp(500).unwrap();
    let all: Vec<[bool; 4]> = (0..2_000).map(|seed| shown_by_users_who_retry(seed, weight)).collect();
    let times = |place: usize| all.iter().filter(|shown| shown[place]).count();
    for (name, place) in [("difference", 0), ("ratio", 2)] {
        let (by_events, by_users) = (times(place), times(place + 1));
        assert!(by_users <= 20, "{name}: {by_users} of 2,000 at a level of 1%");
        assert!(by_events > 20, "{name}: {by_events} of 2,000: it would not have been needed");
    }
}

/// The most that any test's evidence grows with a request of the candidate's, and with what stable gets meanwhile.
fn growth(weight: f64, candidate: f64, stable: f64) -> f64 {
    let together = weight * candidate + (1.0 - weight) * stable;
    let of = |q: f64| q * (q / together).ln() + (1.0 - q) * ((1.0 - q) / (1.0 - together)).ln();
    of(candidate) + of(stable) * (1.0 - weight) / weight
}

#[test]
fn a_tenth_that_fails_is_told_from_a_shared_outage_about_as_fast_as_can_be() {
    for (weight, stable) in [(0.05, 0.005), (0.25, 0.001), (0.25, 0.005), (0.5, 0.001), (0.5, 0.005)] {
        let mut taken: Vec<u64> =
            (0..400).filter_map(|seed| shown(seed, weight, |_| (0.1, stable), 1_000_000, 1.0 / 3000.0)).collect();
        taken.sort_unstable();
        let least = 3000f64.ln() / growth(weight, 0.1, stable);
        let ratio = taken[taken.len() / 2] as f64 / least;
        assert!(taken.len() == 400 && ratio <= 1.3, "{weight}, {stable}: {ratio:.2} times {least:.0}");
    }
}

#[test]
fn nothing_is_shown_by_nothing() {
    let beside = Beside::new(AT_MOST, 0.5);
    assert_eq!(beside.lower(Counts::default(), Counts::default(), 0.05), -1.0);
    assert!(!beside.shown_above(counts(40, 40), Counts::default(), 0.0, 0.05), "nobody to compare with");
    assert!(!beside.shown_above(counts(0, 0), counts(1_000_000, 0), 0.0, 0.05));
    let side = |n: f64, bad: f64| Side { n, bad };
    assert!(beside.lower(side(8.5, 8.5), side(8.5, 0.0), 0.001) > 0.0);
}
