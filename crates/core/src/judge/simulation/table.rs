//! The e-process against the numbers that were computed before it was built.

use super::super::Counts;
use super::super::sequence::Sequence;
use super::Random;

const AT_MOST: f64 = 0.01;
const ALPHA: f64 = 0.001;

/// The number of requests after which a look after each of them first shows the rate above 1%.
fn caught(rng: &mut Random, rate: f64, most: u64) -> Option<u64> {
    let sequence = Sequence::new(AT_MOST);
    let mut counts = Counts::default();
    for n in 1..=most {
        counts.n = n;
        if rng.chance(rate) {
            counts.bad += 1;
            // The evidence falls with every good event, so only bad ones can be the first to show it.
            if sequence.shown_above(counts, AT_MOST, ALPHA) {
                return Some(n);
            }
        }
    }
    None
}

#[test]
fn a_bad_rate_is_caught_about_as_fast_as_can_be() {
    for (rate, median, mean) in [(1.0, 2, 2.0), (0.5, 5, 5.8), (0.1, 54, 59.5), (0.05, 189, 212.0), (0.03, 602, 658.0)]
    {
        let mut rng = Random::new(11);
        let mut taken: Vec<u64> = (0..600).filter_map(|_| caught(&mut rng, rate, 100_000)).collect();
        assert_eq!(taken.len(), 600, "every one is caught at {rate}");
        taken.sort_unstable();
        let found = (taken[300], taken.iter().sum::<u64>() as f64 / 600.0);
        assert!((found.0 as f64 - median as f64).abs() <= 0.12 * median as f64 + 0.1, "{rate}: median {}", found.0);
        assert!((found.1 - mean).abs() <= 0.12 * mean, "{rate}: mean {}", found.1);
    }
}

#[test]
fn the_worst_healthy_case_is_caught_no_more_often_than_declared() {
    let mut rng = Random::new(12);
    let runs = 6_000;
    let alarms = (0..runs).filter(|_| caught(&mut rng, AT_MOST, 5_000).is_some()).count();
    assert!(alarms <= 12, "{alarms} of {runs}, where alpha allows for 6 on average");
}

#[test]
fn a_rate_that_drifts_or_bursts_about_the_bound_is_no_worse_than_a_constant_one() {
    let sequence = Sequence::new(AT_MOST);
    let level = 0.05;
    let drifting: fn(u64) -> f64 = |n| if n < 2_000 { 0.005 } else { 0.012 };
    let bursting: fn(u64) -> f64 = |n| if n % 1_000 >= 950 { 0.2 } else { 0.0 };
    for (name, rate) in [("drift", drifting), ("bursts", bursting)] {
        let mut rng = Random::new(13);
        let mut alarms = 0;
        for _ in 0..1_000 {
            let (mut counts, mut mean_sum) = (Counts::default(), 0.0);
            for n in 0..4_000 {
                mean_sum += rate(n);
                counts.n += 1;
                counts.bad += u64::from(rng.chance(rate(n)));
                let running_mean_is_within = mean_sum <= AT_MOST * counts.n as f64;
                if n % 50 == 0 && running_mean_is_within && sequence.shown_above(counts, AT_MOST, level) {
                    alarms += 1;
                    break;
                }
            }
        }
        assert!(alarms <= 50, "{name}: {alarms} of 1,000 at a level of 5%");
    }
}
