//! Whose an outcome is, what counts, and what silence comes to.

use super::*;
use crate::names::Digest;
use crate::rollout::{Lane, Release, Routing};
use crate::spec::parse;
use crate::traffic::link::CountRow;
use crate::traffic::{CohortRoute, CohortRule, Epoch, Split, assign};
use crate::units::Weight;

const START: u64 = 1_000_000;

fn lane_with(objective: &str) -> Lane {
    let text = format!(
        "service: shop\nrun: {{ command: [./shop] }}\nhealth: {{ http: /healthz }}\nobjectives: [{objective}]\n\
         environments: {{ production: {{ instances: 1 }} }}"
    );
    let spec = parse(&text).expect("a declared file").spec;
    let digest = Digest::of(b"bytes");
    let mut lane = Lane::new(id());
    lane.stable = Some(Release { version: version("1"), artifact: digest.clone(), config: digest, spec });
    lane
}

fn id() -> LaneId {
    LaneId { service: "shop".parse().expect("a service"), environment: "production".parse().expect("one") }
}

fn version(text: &str) -> VersionName {
    text.parse().expect("a version")
}

fn split(lane: &mut Lane, epoch: u64, candidate_bp: u16) {
    let weight = Weight::from_bp(candidate_bp).expect("a weight");
    let split = Split::between(version("2"), weight, version("1"));
    lane.routing =
        Some(Routing { epoch: Epoch(epoch), split, fallback: None, salt: "r-1".to_string(), cohorts: Vec::new() });
}

/// A ledger that has followed the lane from before its first split: 1 serves everyone, and from `START` half.
fn begun(objective: &str) -> Ledger {
    let mut ledger = Ledger::default();
    let mut lane = lane_with(objective);
    ledger.follow(&lane, Timestamp(0));
    split(&mut lane, 1, 0);
    ledger.follow(&lane, Timestamp(START - 100_000));
    split(&mut lane, 2, 5_000);
    ledger.follow(&lane, Timestamp(START));
    ledger
}

fn event(kind: &str, number: usize, at: u64) -> Outcome {
    Outcome {
        lane: id(),
        kind: kind.parse().expect("a kind"),
        key: None,
        version: None,
        subject: None,
        at: Timestamp(at),
        id: format!("{kind}-{number}"),
    }
}

fn of_version(v: &str, kind: &str, number: usize, at: u64) -> Outcome {
    Outcome { version: Some(version(v)), subject: Some(format!("order-{number}")), ..event(kind, number, at) }
}

fn counts(ledger: &mut Ledger, v: &str, requests: u64) -> (u64, u64, u64) {
    let mut rows = vec![CountRow {
        service: id().service,
        environment: id().environment,
        epoch: Epoch(2),
        version: version(v),
        cohort: None,
        assigned: requests,
        users: 0,
        attempts: requests,
        failed: 0,
        failed_by_slipway: 0,
        injected: 0,
        mirrored: false,
        objectives: Vec::new(),
        latency_us: Vec::new(),
    }];
    ledger.complete(&mut rows);
    let count = &rows[0].objectives[0];
    (count.n, count.bad, count.bad_keys)
}

const ORDERS: &str = "{ name: orders, bad: outcome order_failed, of: order_placed, at_most: 2% }";
const PER_REQUEST: &str = "{ name: orders, bad: outcome order_failed, at_most: 2% }";
const MISSING: &str =
    "{ name: checkouts, bad: missing checkout_completed within 30s, after: checkout_started, at_most: 2% }";
const COMPLAINTS: &str = "{ name: complaints, bad: complaint, at_most: 2% }";

#[test]
fn a_key_is_of_the_version_that_gateways_assign_it_to() {
    let mut ledger = begun(ORDERS);
    let half = Split::between(version("2"), Weight::from_bp(5_000).expect("half"), version("1"));
    let mut expected = [0, 0];
    for number in 0..500 {
        let key = format!("user-{number}");
        let (assigned, _) = assign(&half, "r-1", &key);
        expected[usize::from(*assigned == version("2"))] += 1;
        let outcome = Outcome { key: Some(key), ..event("order_placed", number, START + 5_000) };
        assert_eq!(ledger.take(&outcome, Timestamp(START + 5_000)), Ok(Taken::New));
    }
    assert_eq!((counts(&mut ledger, "1", 0).0, counts(&mut ledger, "2", 0).0), (expected[0], expected[1]));
    assert!(expected[0] > 200 && expected[1] > 200);
}

#[test]
fn an_outcome_belongs_to_the_split_of_its_own_time() {
    let mut ledger = begun(ORDERS);
    let half = Split::between(version("2"), Weight::from_bp(5_000).expect("half"), version("1"));
    let moved = (0..).map(|n| format!("user-{n}")).find(|k| *assign(&half, "r-1", k).0 == version("2"));
    let of_key = |number, at| Outcome { key: moved.clone(), ..event("order_placed", number, at) };
    let now = Timestamp(START + 10_000);
    assert_eq!(ledger.take(&of_key(1, START - 1), now), Ok(Taken::New), "it was stable's then");
    assert_eq!(ledger.take(&of_key(2, START + 500), now), Err(Refused::Between));
    assert_eq!(ledger.take(&of_key(3, START + 2_000), now), Ok(Taken::New));
    assert_eq!(counts(&mut ledger, "2", 0), (1, 0, 0));
    assert_eq!(
        ledger.take(&of_version("2", "order_placed", 4, START - 1), now),
        Err(Refused::NotServing(version("2")))
    );
}

#[test]
fn what_cannot_count_is_refused_with_its_reason() {
    let mut ledger = begun(ORDERS);
    let now = Timestamp(START + 10_000);
    let refused = |ledger: &mut Ledger, outcome| ledger.take(&outcome, now).expect_err("refused").code();
    assert_eq!(refused(&mut ledger, of_version("9", "order_placed", 1, now.0)), "unknown_version");
    assert_eq!(refused(&mut ledger, event("order_placed", 1, now.0)), "nobody");
    assert_eq!(refused(&mut ledger, of_version("2", "order_placed", 1, now.0 - 300_001)), "too_old");
    assert_eq!(refused(&mut ledger, of_version("1", "order_placed", 1, START - 100_001)), "too_old");
    assert_eq!(refused(&mut ledger, of_version("2", "order_placed", 1, now.0 + 2_001)), "in_the_future");
    let elsewhere = LaneId { environment: "staging".parse().expect("one"), ..id() };
    let outcome = Outcome { lane: elsewhere, ..of_version("2", "order_placed", 1, now.0) };
    assert_eq!(refused(&mut ledger, outcome), "unknown_lane");
    assert_eq!(counts(&mut ledger, "2", 0), (0, 0, 0));
}

#[test]
fn an_id_counts_once_and_a_user_until_the_third_bad_event() {
    let mut ledger = begun(ORDERS);
    let now = Timestamp(START + 5_000);
    for number in 0..10 {
        let one = Outcome { key: Some("ann".into()), ..of_version("2", "order_failed", number, now.0) };
        assert_eq!(ledger.take(&one, now), Ok(Taken::New));
        assert_eq!(ledger.take(&one, now), Ok(Taken::Again));
        ledger.take(&of_version("2", "order_placed", number, now.0), now).expect("taken");
    }
    assert_eq!(counts(&mut ledger, "2", 0), (10, 3, 1));
}

#[test]
fn requests_count_up_to_the_last_report_and_silence_adds_none() {
    let mut ledger = begun(PER_REQUEST);
    let now = Timestamp(START + 5_000);
    assert_eq!(counts(&mut ledger, "2", 400), (0, 0, 0), "nobody has been heard");
    ledger.take(&of_version("2", "order_failed", 1, now.0), now).expect("taken");
    assert_eq!(counts(&mut ledger, "2", 500), (500, 1, 1));
    assert_eq!(counts(&mut ledger, "2", 9_000), (500, 1, 1), "silence is not health");
    ledger.take(&event("alive", 1, now.0), now).expect("taken");
    assert_eq!(counts(&mut ledger, "2", 9_000), (9_000, 1, 1));
}

#[test]
fn of_a_split_from_before_the_start_no_request_counts_that_came_before() {
    let mut ledger = Ledger::default();
    let mut lane = lane_with(PER_REQUEST);
    split(&mut lane, 2, 5_000);
    ledger.follow(&lane, Timestamp(START));
    assert_eq!(counts(&mut ledger, "2", 7_000), (0, 0, 0));
    ledger.take(&event("alive", 1, START + 100), Timestamp(START + 100)).expect("taken");
    assert_eq!(counts(&mut ledger, "2", 7_100), (100, 0, 0), "what was reported about the others is lost");
}

#[test]
fn an_end_is_missing_when_its_time_is_over_and_somebody_was_heard_since() {
    let mut ledger = begun(MISSING);
    let began = START + 5_000;
    let now = |at| Timestamp(at);
    for number in 0..10 {
        ledger.take(&of_version("2", "checkout_started", number, began), now(began)).expect("taken");
    }
    for number in 0..6 {
        ledger.take(&of_version("2", "checkout_completed", number, began + 1_000), now(began + 1_000)).expect("taken");
    }
    // Too late, and before its beginning was heard of.
    ledger.take(&of_version("2", "checkout_completed", 6, began + 30_001), now(began + 30_001)).expect("taken");
    ledger.take(&of_version("2", "checkout_completed", 20, began + 30_001), now(began + 30_001)).expect("taken");
    assert_eq!(counts(&mut ledger, "2", 0), (0, 0, 0), "the good ones do not count before the bad ones can");
    ledger.take(&of_version("2", "checkout_started", 20, began + 30_000), now(began + 30_002)).expect("taken");
    assert_eq!(counts(&mut ledger, "2", 0).0, 0, "whoever reports may only be late");
    ledger.take(&event("alive", 1, began + 32_000), now(began + 32_000)).expect("taken");
    assert_eq!(counts(&mut ledger, "2", 0), (10, 4, 4));
    ledger.take(&event("alive", 2, began + 90_000), now(began + 90_000)).expect("taken");
    assert_eq!(counts(&mut ledger, "2", 0), (11, 4, 4), "an end may be heard of before its beginning");
}

#[test]
fn complaints_are_heard_by_themselves() {
    let mut ledger = begun(COMPLAINTS);
    let now = Timestamp(START + 5_000);
    ledger.take(&of_version("2", "order_placed", 1, now.0), now).expect("taken");
    assert_eq!(counts(&mut ledger, "2", 100), (0, 0, 0), "that the shop reports says nothing of the help desk");
    ledger.take(&of_version("1", "complaint", 1, now.0), now).expect("taken");
    assert_eq!(counts(&mut ledger, "2", 100), (100, 0, 0), "a complaint about the other one does");
}

#[test]
fn a_million_in_a_minute_is_not_taken() {
    let mut ledger = begun(ORDERS);
    let mut taken = 0;
    for batch in 0..1_000_u64 {
        let now = Timestamp(START + batch * 60);
        match ledger.admit(1_000, now) {
            Ok(()) => taken += 1_000,
            Err(wait) => assert!(wait > Millis(0) && wait <= Millis(1_000), "{wait}"),
        }
    }
    assert!((300_000..=321_000).contains(&taken), "{taken}");
}

#[test]
fn a_cohort_has_its_own_version_and_its_requests_are_among_all() {
    let mut ledger = Ledger::default();
    let mut lane = lane_with(PER_REQUEST);
    ledger.follow(&lane, Timestamp(0));
    split(&mut lane, 2, 0);
    let rule = CohortRule::Header { name: "x-staff".to_string(), value: "1".to_string() };
    let staff = CohortRoute { name: "staff".to_string(), rule, to: version("2") };
    lane.routing.as_mut().expect("a split").cohorts = vec![staff];
    ledger.follow(&lane, Timestamp(START));
    let now = Timestamp(START + 5_000);
    assert_eq!(ledger.take(&of_version("2", "order_failed", 1, now.0), now), Ok(Taken::New), "no share, and users");
    let row = |cohort: Option<&str>, attempts| CountRow {
        cohort: cohort.map(str::to_string),
        attempts,
        ..super::ledger::no_requests(&id(), Epoch(2), &version("2"))
    };
    let mut rows = vec![row(Some("staff"), 200), row(None, 100)];
    ledger.complete(&mut rows);
    assert!(rows[0].objectives.is_empty(), "whoever reports does not say of whom");
    let count = &rows[1].objectives[0];
    assert_eq!((count.n, count.bad), (300, 1));
}
