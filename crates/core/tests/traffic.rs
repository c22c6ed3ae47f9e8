//! What holds for every split, salt and key.

use proptest::prelude::*;
use slipway_core::names::VersionName;
use slipway_core::traffic::{Assignment, Split, assign};
use slipway_core::units::Weight;

fn candidate() -> VersionName {
    "candidate".parse().unwrap()
}

fn at(weight_bp: u16) -> Split {
    Split::between(candidate(), Weight::from_bp(weight_bp).unwrap(), "stable".parse().unwrap())
}

fn is_candidates(split: &Split, salt: &str, key: &str) -> bool {
    *assign(split, salt, key).0 == candidate()
}

proptest! {
    #[test]
    fn raising_the_weight_moves_nobody_back(
        key in ".{0,40}",
        salt in ".{0,20}",
        weights in prop::collection::vec(0u16..=10_000, 2..8),
    ) {
        let mut rising = weights;
        rising.sort_unstable();
        let on: Vec<bool> = rising.iter().map(|w| is_candidates(&at(*w), &salt, &key)).collect();
        prop_assert!(on.is_sorted(), "{rising:?} {on:?}");
    }

    #[test]
    fn zero_and_all_leave_no_choice(key in ".{0,40}", salt in ".{0,20}") {
        prop_assert!(!is_candidates(&at(0), &salt, &key));
        prop_assert!(is_candidates(&at(10_000), &salt, &key));
        prop_assert!(matches!(assign(&at(0), &salt, &key).1, Assignment::Only));
    }

    #[test]
    fn the_place_of_a_key_decides_and_is_in_range(key in ".{0,40}", salt in ".{0,20}", weight in 1u16..10_000) {
        let Assignment::Hashed(place) = assign(&at(weight), &salt, &key).1 else {
            return Err(TestCaseError::fail("a divided split was not hashed"));
        };
        prop_assert!(place < 10_000);
        prop_assert_eq!(is_candidates(&at(weight), &salt, &key), place < weight);
    }
}

/// 20,000 keys at each weight: the share is within five standard deviations.
#[test]
fn the_shares_are_what_the_weights_say() {
    const KEYS: u32 = 20_000;
    for salt in ["a", "b", "c", "d"] {
        for weight in [1u16, 100, 500, 2_500, 5_000, 9_900] {
            let split = at(weight);
            let got = (0..KEYS).filter(|key| is_candidates(&split, salt, &key.to_string())).count() as f64;
            let share = f64::from(weight) / 10_000.0;
            let (mean, deviation) = (f64::from(KEYS) * share, (f64::from(KEYS) * share * (1.0 - share)).sqrt());
            assert!((got - mean).abs() <= 5.0 * deviation, "{weight} bp with salt {salt}: {got} of {KEYS}");
        }
    }
}

/// Another salt chooses other users: of those that go first under one, as many go first under the next as chance says.
#[test]
fn salts_choose_independently_of_each_other() {
    const KEYS: u32 = 40_000;
    let split = at(1_000);
    let both = (0..KEYS)
        .map(|key| key.to_string())
        .filter(|key| is_candidates(&split, "rollout-1", key) && is_candidates(&split, "rollout-2", key))
        .count() as f64;
    let (mean, deviation) = (f64::from(KEYS) * 0.01, (f64::from(KEYS) * 0.01 * 0.99).sqrt());
    assert!((both - mean).abs() <= 5.0 * deviation, "{both} keys go first twice, expected about {mean}");
}

/// The separator keeps salt and key apart: moving a letter from one to the other is another assignment.
#[test]
fn salt_and_key_do_not_run_into_each_other() {
    let split = at(5_000);
    let differs = (0..200).filter(|n| {
        let n = n.to_string();
        is_candidates(&split, "ab", &format!("c{n}")) != is_candidates(&split, "abc", &n)
    });
    assert!(differs.count() > 50);
}
