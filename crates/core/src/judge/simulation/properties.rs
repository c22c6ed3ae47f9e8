//! What must hold for any numbers.

use proptest::prelude::*;

use super::super::StableNumbers;
use super::super::beside::Beside;
use super::super::sequence::Sequence;
use super::screen::Screen;
use super::*;

fn evidence(candidate: Counts, stable: Counts, rule: Rule) -> Evidence {
    Evidence {
        candidate,
        stable: Comparison::Concurrent(stable),
        stable_ten_minutes: stable,
        stable_ten_seconds: Counts { n: stable.n / 60, bad: stable.bad / 60, bad_keys: 0 },
        candidate_weight: percent(25),
        next_weight: percent(50),
        rule,
        since: Timestamp(0),
        waiting_since: Some(Timestamp(0)),
        min_requests: 50,
        keys_known: true,
    }
}

fn counts(n: u64, bad: u64) -> Counts {
    Counts { n, bad, bad_keys: bad }
}

const BUDGET: Budget = Budget { alpha: 0.001, beta: 0.05 };

fn verdict(evidence: &Evidence) -> Verdict {
    judge(&errors(), &BUDGET, evidence, Timestamp(60_000)).verdict
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Fail => 0,
        Verdict::Inconclusive => 1,
        Verdict::Pass => 2,
    }
}

proptest! {
    #[test]
    fn more_bad_events_never_make_a_verdict_better(
        n in 0u64..100_000, share in 0.0f64..1.0, more in 1u64..50, stable_n in 0u64..1_000_000, stable_share in 0.0f64..0.05,
    ) {
        let stable = counts(stable_n, (stable_n as f64 * stable_share) as u64);
        let bad = (n as f64 * share.powi(4)) as u64;
        let of = |bad: u64| rank(verdict(&evidence(counts(n, bad.min(n)), stable, Rule::PassOrFail)));
        prop_assert!(of(bad + more) <= of(bad));
    }

    #[test]
    fn a_look_that_is_left_out_would_have_shown_nothing(
        n in 0u64..100_000, share in 0.0f64..1.0, stable_n in 0u64..1_000_000, stable_share in 0.0f64..0.05,
    ) {
        let candidate = counts(n, (n as f64 * share.powi(4)) as u64);
        let stable = counts(stable_n, (stable_n as f64 * stable_share) as u64);
        let tests = (&Sequence::new(errors().at_most), &Beside::new(errors().at_most, 0.25));
        let screen = Screen::of(tests, &errors(), &BUDGET, (candidate, stable), percent(50));
        let told = judge(&errors(), &BUDGET, &evidence(candidate, stable, Rule::PassOrFail), Timestamp(60_000));
        prop_assert!(screen.may_fail || (told.verdict != Verdict::Fail && !told.suspected), "{}", told.sentence);
        prop_assert!(screen.may_pass || told.verdict != Verdict::Pass, "{}", told.sentence);
    }

    #[test]
    fn bounds_hold_what_was_seen_and_are_in_order(n in 0u64..200_000_000, share in 0.0f64..=1.0, anchor in 0.0001f64..1.0) {
        let counts = counts(n, (n as f64 * share) as u64);
        let sequence = Sequence::new(anchor);
        let (lower, upper) = (sequence.lower(counts, 0.001), sequence.upper(counts, 0.001));
        prop_assert!((0.0..=1.0).contains(&lower) && (0.0..=1.0).contains(&upper), "{lower} {upper}");
        prop_assert!(lower <= counts.rate() && (n == 0 || counts.rate() <= upper + 1e-12), "{lower} {} {upper}", counts.rate());
        prop_assert!(sequence.lower(counts, 0.01) >= lower && sequence.upper(counts, 0.01) <= upper);
        // The bound is where the test of the same level turns.
        if lower > 0.0 {
            prop_assert!(sequence.shown_above(counts, lower * 0.9999, 0.001));
            prop_assert!(!sequence.shown_above(counts, (lower * 1.0001).min(1.0), 0.001) || lower > 0.9998);
        }
        if upper < 1.0 {
            prop_assert!(sequence.shown_within(counts, upper * 1.0001, 0.001));
            prop_assert!(!sequence.shown_within(counts, upper * 0.9999, 0.001));
        }
    }
}

#[test]
fn bounds_close_in_on_the_truth() {
    let sequence = Sequence::new(0.01);
    for (n, near) in [(1_000_000, 0.1), (100_000_000, 0.02)] {
        let seen = counts(n, n / 100 * 3);
        let (lower, upper) = (sequence.lower(seen, 0.001), sequence.upper(seen, 0.001));
        assert!(lower > 0.03 * (1.0 - near) && upper < 0.03 * (1.0 + near), "{n}: {lower} {upper}");
    }
}

#[test]
fn bounds_hold_the_truth_as_often_as_promised_at_every_look() {
    let sequence = Sequence::new(0.01);
    for rate in [0.002, 0.01, 0.05, 0.4] {
        let (mut rng, mut too_high, mut too_low) = (Random::new(21), 0, 0);
        for _ in 0..500 {
            let (mut seen, mut high, mut low) = (Counts::default(), false, false);
            for n in 0..3_000 {
                seen.n += 1;
                seen.bad += u64::from(rng.chance(rate));
                if n % 20 == 0 {
                    high |= sequence.shown_above(seen, rate, 0.05);
                    low |= sequence.shown_within(seen, rate, 0.05);
                }
            }
            too_high += u32::from(high);
            too_low += u32::from(low);
        }
        assert!(too_high <= 25 && too_low <= 25, "{rate}: {too_high} and {too_low} of 500 at 5%");
    }
}

#[test]
fn silence_is_not_health() {
    for rule in [Rule::PassOrFail, Rule::FailOnly] {
        assert_eq!(verdict(&evidence(counts(0, 0), counts(0, 0), rule)), Verdict::Inconclusive);
        assert_eq!(verdict(&evidence(counts(49, 0), counts(1_000_000, 0), rule)), Verdict::Inconclusive);
        assert_eq!(
            verdict(&evidence(counts(50, 50), counts(0, 0), rule)),
            Verdict::Inconclusive,
            "nothing to compare with"
        );
    }
}

#[test]
fn one_unhappy_user_fails_nobody() {
    let mut one = evidence(Counts { n: 300, bad: 300, bad_keys: 2 }, counts(10_000, 5), Rule::FailOnly);
    let judgement = judge(&errors(), &BUDGET, &one, Timestamp(60_000));
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert!(judgement.sentence.contains("by 2 users only"), "{}", judgement.sentence);
    one.keys_known = false;
    assert_eq!(verdict(&one), Verdict::Fail);
}

#[test]
fn a_first_release_is_held_to_at_most_alone() {
    let mut first = evidence(counts(1000, 20), Counts::default(), Rule::FailOnly);
    first.stable = Comparison::None;
    first.candidate_weight = Weight::ALL;
    assert_eq!(verdict(&first), Verdict::Inconclusive, "2% of 1,000 could still be 1%");
    first.candidate = counts(1000, 60);
    let judgement = judge(&errors(), &BUDGET, &first, Timestamp(60_000));
    assert_eq!((judgement.verdict, judgement.stable, judgement.excess), (Verdict::Fail, None, None));
}

#[test]
fn after_a_switch_a_stable_that_was_hardly_asked_excuses_nobody() {
    let switched = |candidate, before| Evidence {
        candidate,
        stable: Comparison::Before { before, meanwhile: Counts::default() },
        stable_ten_minutes: before,
        stable_ten_seconds: Counts::default(),
        candidate_weight: Weight::ALL,
        next_weight: Weight::ALL,
        waiting_since: None,
        ..evidence(candidate, before, Rule::FailOnly)
    };
    let broken = counts(2_392, 1_172);
    for before in [counts(0, 0), counts(1, 0), counts(30, 0)] {
        let judgement = judge(&errors(), &BUDGET, &switched(broken, before), Timestamp(60_000));
        assert_eq!(judgement.verdict, Verdict::Fail, "{}", judgement.sentence);
        assert_ne!(verdict(&switched(counts(2_392, 20), before)), Verdict::Fail, "within at_most");
    }
    let judgement = judge(&errors(), &BUDGET, &switched(broken, counts(0, 0)), Timestamp(60_000));
    assert!(
        judgement
            .sentence
            .starts_with("1,172 of 2,392 requests failed (49%), stable before the change has no requests")
            && judgement.sentence.ends_with("where at most 1% is acceptable"),
        "{}",
        judgement.sentence
    );
    let troubled = switched(counts(2_392, 120), counts(200, 8));
    assert_ne!(verdict(&troubled), Verdict::Fail, "a stable that was in trouble before does excuse");
}

#[test]
fn a_judgement_reads_as_documented() {
    let seen = evidence(counts(340, 22), counts(9_000, 36), Rule::PassOrFail);
    let failed = judge(&errors(), &BUDGET, &Evidence { candidate_weight: percent(4), ..seen }, Timestamp(60_000));
    assert_eq!(
        failed.sentence,
        "22 of 340 requests failed (6.5%), stable 36 of 9,000 (0.4%): at least 1.6% more than stable, where 0.5% more is tolerated"
    );
    let passed =
        judge(&errors(), &BUDGET, &evidence(counts(900, 0), counts(2_700, 0), Rule::PassOrFail), Timestamp(60_000));
    assert_eq!(passed.verdict, Verdict::Pass);
    let waiting =
        judge(&errors(), &BUDGET, &evidence(counts(100, 0), counts(300, 1), Rule::PassOrFail), Timestamp(60_000));
    assert_eq!(waiting.more_requests, Some(315));
    let json = serde_json::to_value(&waiting).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    for key in ["objective", "verdict", "n", "bad", "lower", "upper", "stable", "sentence"] {
        assert!(keys.iter().any(|k| *k == key), "{key}");
    }
    assert!(matches!(waiting.stable, Some(StableNumbers { n: 300, bad: 1, before: false, .. })));
    assert_eq!(
        passed.sentence,
        "0 of 900 requests failed (0%), stable 0 of 2,700 (0%): at most 0.46% more than stable, \
         so at 50% of the traffic at most 0.23% more overall, where 0.5% is tolerated"
    );
    assert_eq!(
        waiting.sentence,
        "0 of 100 requests failed (0%), stable 1 of 300 (0.33%); about 320 more requests are needed to go on to 50%"
    );
}

#[test]
fn a_gross_failure_waits_three_seconds_for_a_stable_that_hardly_serves_and_eight_for_one_that_says_nothing() {
    let mut late = evidence(counts(3_000, 600), counts(30, 0), Rule::FailOnly);
    late.stable_ten_minutes = counts(50_000, 100);
    late.candidate_weight = percent(99);
    let at = |evidence: &Evidence, ms: u64| judge(&errors(), &BUDGET, evidence, Timestamp(60_000 + ms));

    late.waiting_since = None;
    let first = at(&late, 0);
    assert!(first.verdict == Verdict::Inconclusive && first.waiting_for_stable, "{first:?}");
    assert!(first.sentence.contains("waiting for stable"), "{}", first.sentence);
    late.waiting_since = Some(Timestamp(60_000));
    assert!(at(&late, 2_999).waiting_for_stable);
    assert_eq!(at(&late, 3_000).verdict, Verdict::Fail);
    let says_nothing = Evidence { stable: Comparison::Concurrent(counts(2, 0)), ..late };
    assert!(at(&says_nothing, 7_999).waiting_for_stable);
    assert_eq!(at(&says_nothing, 8_000).verdict, Verdict::Fail);

    let also_above = Evidence { stable_ten_seconds: counts(20, 1), ..late };
    let judgement = at(&also_above, 3_000);
    assert!(judgement.verdict == Verdict::Inconclusive && !judgement.waiting_for_stable, "{judgement:?}");
    let slight = Evidence { candidate: counts(3_000, 80), ..late };
    assert!(at(&slight, 30_000).waiting_for_stable, "cannot be told from a bad day for everyone");
    let heard = Evidence { stable: Comparison::Concurrent(counts(300, 0)), ..late };
    assert_eq!(at(&heard, 0).verdict, Verdict::Fail);
    let mute = Evidence {
        stable: Comparison::Before { before: counts(50_000, 100), meanwhile: Counts::default() },
        stable_ten_seconds: Counts::default(),
        candidate_weight: Weight::ALL,
        waiting_since: None,
        ..late
    };
    assert_eq!(at(&mute, 0).verdict, Verdict::Fail, "nothing to wait for");
}

#[test]
fn a_cohort_that_is_failed_where_nobody_else_comes_is_not_left_to_it() {
    let cohort = |before, meanwhile| Evidence {
        stable: Comparison::Before { before, meanwhile },
        stable_ten_minutes: before,
        candidate_weight: Weight::ZERO,
        waiting_since: Some(Timestamp(60_000)),
        ..evidence(counts(40, 40), Counts::default(), Rule::PassOrFail)
    };
    let at = |evidence: &Evidence, ms: u64| judge(&errors(), &BUDGET, evidence, Timestamp(60_000 + ms)).verdict;
    let alone = cohort(Counts::default(), Counts::default());
    assert_eq!(at(&alone, 2_999), Verdict::Inconclusive, "stable has its three seconds");
    assert_eq!(at(&alone, 3_000), Verdict::Fail);
    let shared = cohort(Counts::default(), counts(2, 2));
    assert_eq!(at(&shared, 30_000), Verdict::Inconclusive, "others are failed too");
    let slight = Evidence { candidate: counts(3_000, 60), ..alone };
    assert_eq!(at(&slight, 30_000), Verdict::Inconclusive, "not without a comparison");
}
