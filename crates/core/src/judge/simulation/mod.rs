//! Simulated traffic and rollouts for the judge's tests: requests one by one, users, a split, windows, and a planner
//! that is no more than the judge's own rules. Seeded, so every run is the same. Not the planner, and not its tests.

mod broken;
mod healthy;
mod multiple;
mod properties;
mod shared_outage;
mod table;

use std::collections::VecDeque;

use super::{
    Budget, Comparison, Counts, Evidence, Judgement, MAX_RESTARTS, Pause, Rule, Stability, UserCap, Verdict, Watch,
    judge, stability, watch,
};
use crate::spec::{Bad, Objective, Tolerate};
use crate::units::{Millis, Timestamp, Weight};

/// At most 1% failed, 0.5% more than stable tolerated.
pub(super) fn errors() -> Objective {
    Objective { name: "errors".to_string(), bad: Bad::Failed, at_most: 0.01, tolerate: Tolerate::Share(0.005) }
}

/// At most 5% slower than 300ms, 2.5% more than stable tolerated.
pub(super) fn latency() -> Objective {
    let bad = Bad::SlowerThan(Millis(300));
    Objective { name: "latency".to_string(), bad, at_most: 0.05, tolerate: Tolerate::Share(0.025) }
}

/// Milliseconds at which a simulation begins.
const BEGIN: u64 = 1_000_000_000;
/// The first step begins after a minute of traffic on stable alone.
const WARM_UP: Millis = Millis::from_secs(60);
/// No simulated step takes longer, pauses included.
const LONGEST_STEP: Millis = Millis::from_secs(1800);
/// Milliseconds at which the first step begins.
const STEP_BEGINS: u64 = BEGIN + WARM_UP.0;

/// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One request as the error model sees it.
struct Request {
    at: Timestamp,
    user: u64,
    to_candidate: bool,
    /// Which objective is asked about.
    objective: usize,
}

/// One step: a share of the traffic for a while.
#[derive(Clone, Copy)]
struct Step {
    weight: Weight,
    next: Weight,
    rule: Rule,
    length: Millis,
}

fn percent(p: u16) -> Weight {
    Weight::from_bp(p * 100).unwrap()
}

/// Canary steps, each as long as given, and a minute of verification.
fn canary(weights: &[u16], length: Millis) -> Vec<Step> {
    let nexts = weights.iter().skip(1).chain([&100]);
    let mut steps: Vec<Step> = weights
        .iter()
        .zip(nexts)
        .map(|(w, next)| Step { weight: percent(*w), next: percent(*next), rule: Rule::PassOrFail, length })
        .collect();
    steps.push(Step { weight: percent(99), next: Weight::ALL, rule: Rule::FailOnly, length: Millis::from_secs(60) });
    steps
}

/// A service, its users, and a rollout.
struct World<'a> {
    /// Requests per second.
    rps: f64,
    objectives: Vec<Objective>,
    steps: Vec<Step>,
    alpha: f64,
    /// The user behind the next request.
    user: &'a dyn Fn(&mut Rng) -> u64,
    /// Whether a user stays on a version.
    sticky: bool,
    /// Whether the request goes wrong.
    bad: &'a dyn Fn(&mut Rng, &Request) -> bool,
    /// Steps end at the first pass of all objectives, not at their length.
    advance: bool,
    /// Compared with stable before the rollout, as in blue-green and rolling.
    before: bool,
    /// From one look to the next; a bad event of the candidate brings the next look forward.
    look: Millis,
    /// Looks are at least this far apart.
    gap: Millis,
}

/// How a simulated rollout ended.
#[derive(Debug)]
enum End {
    /// The candidate was failed.
    Failed { step: usize, candidate_requests: u64, at: Timestamp, sentence: String },
    /// A step did not pass within its length.
    Held { step: usize, sentence: String },
    /// All steps are over.
    Succeeded,
}

impl End {
    fn is_failed(&self) -> bool {
        matches!(self, End::Failed { .. })
    }
}

/// Sums over a sliding stretch of time.
struct Window {
    bucket: u64,
    buckets: usize,
    parts: VecDeque<(u64, Counts)>,
    total: Counts,
}

impl Window {
    fn new(bucket: Millis, buckets: usize) -> Window {
        Window { bucket: bucket.0, buckets, parts: VecDeque::new(), total: Counts::default() }
    }

    fn add(&mut self, at: Timestamp, bad: bool) {
        let slot = at.0 / self.bucket;
        if self.parts.back().is_none_or(|(last, _)| *last != slot) {
            self.parts.push_back((slot, Counts::default()));
        }
        let event = Counts { n: 1, bad: u64::from(bad), bad_keys: 0 };
        self.total += event;
        if let Some((_, counts)) = self.parts.back_mut() {
            *counts += event;
        }
    }

    fn sum(&mut self, now: Timestamp) -> Counts {
        let slot = now.0 / self.bucket;
        while self.parts.front().is_some_and(|(first, _)| first + self.buckets as u64 <= slot) {
            if let Some((_, gone)) = self.parts.pop_front() {
                self.total.n -= gone.n;
                self.total.bad -= gone.bad;
            }
        }
        self.total
    }
}

/// What is counted for one objective.
struct Tally {
    candidate: Counts,
    stable: Counts,
    candidate_cap: UserCap,
    stable_cap: UserCap,
    before: Counts,
    ten_seconds: Window,
    ten_minutes: Window,
    waiting_since: Option<Timestamp>,
}

impl Tally {
    fn new() -> Tally {
        Tally {
            candidate: Counts::default(),
            stable: Counts::default(),
            candidate_cap: UserCap::default(),
            stable_cap: UserCap::default(),
            before: Counts::default(),
            ten_seconds: Window::new(Millis(100), 100),
            ten_minutes: Window::new(Millis(1000), 600),
            waiting_since: None,
        }
    }

    fn restart(&mut self) {
        self.candidate = Counts::default();
        self.stable = Counts::default();
        self.candidate_cap = UserCap::default();
        self.stable_cap = UserCap::default();
        self.waiting_since = None;
    }

    fn count(&mut self, request: &Request, bad: bool) {
        let (counts, cap) = match request.to_candidate {
            true => (&mut self.candidate, &mut self.candidate_cap),
            false => (&mut self.stable, &mut self.stable_cap),
        };
        if !cap.record(request.user, bad) {
            return;
        }
        counts.n += 1;
        counts.bad += u64::from(bad);
        counts.bad_keys = cap.bad_keys();
        if !request.to_candidate {
            self.ten_seconds.add(request.at, bad);
            self.ten_minutes.add(request.at, bad);
        }
    }
}

/// A rollout under way.
struct Run<'a> {
    world: &'a World<'a>,
    rng: Rng,
    salt: u64,
    now: f64,
    tallies: Vec<Tally>,
    total: u64,
}

impl World<'_> {
    fn rollout(&self, seed: u64) -> End {
        let mut rng = Rng(seed);
        let salt = rng.next();
        let tallies = self.objectives.iter().map(|_| Tally::new()).collect();
        let mut run = Run { world: self, rng, salt, now: BEGIN as f64, tallies, total: 0 };
        run.warm_up();
        for index in 0..self.steps.len() {
            if let Some(end) = run.step(index) {
                return end;
            }
        }
        End::Succeeded
    }
}

impl Run<'_> {
    fn now(&self) -> Timestamp {
        Timestamp(self.now as u64)
    }

    /// Traffic on stable alone.
    fn warm_up(&mut self) {
        let end = self.now().plus(WARM_UP);
        while self.now() < end {
            self.request(Weight::ZERO);
        }
        for tally in &mut self.tallies {
            tally.before = tally.stable;
            tally.restart();
        }
    }

    /// One request; whether it was a bad one of the candidate.
    fn request(&mut self, weight: Weight) -> bool {
        self.now += -(1.0 - self.rng.unit()).ln() * 1000.0 / self.world.rps;
        let user = (self.world.user)(&mut self.rng);
        let key = if self.world.sticky { user } else { self.rng.next() };
        let to_candidate = mix(key ^ self.salt) % 10_000 < u64::from(weight.bp());
        let mut any = false;
        for (objective, tally) in self.tallies.iter_mut().enumerate() {
            let request = Request { at: Timestamp(self.now as u64), user: key, to_candidate, objective };
            let bad = (self.world.bad)(&mut self.rng, &request);
            tally.count(&request, bad);
            any |= bad && to_candidate;
        }
        self.total += u64::from(to_candidate);
        any
    }

    fn step(&mut self, index: usize) -> Option<End> {
        let step = self.world.steps[index];
        let (mut began, mut restarts, mut pause) = (self.now(), 0, None::<Pause>);
        let limit = began.plus(LONGEST_STEP);
        let (mut next_look, mut earliest) = (began, began);
        self.tallies.iter_mut().for_each(Tally::restart);
        loop {
            let bad = self.request(step.weight);
            let now = self.now();
            if now < if bad { earliest } else { next_look } {
                continue;
            }
            (next_look, earliest) = (now.plus(self.world.look), now.plus(self.world.gap));
            match watch(pause, self.stability(now), now) {
                Watch::Steady => {}
                Watch::Paused(since) => {
                    assert!(now < limit, "stable never comes back");
                    pause = Some(since);
                    continue;
                }
                Watch::Restart => {
                    pause = None;
                    restarts += 1;
                    if restarts > MAX_RESTARTS {
                        // The step runs into its limit.
                        return self.world.advance.then(|| End::Held { step: index, sentence: "outages".to_string() });
                    }
                    began = now;
                    self.tallies.iter_mut().for_each(Tally::restart);
                }
            }
            let judgements = self.judge(&step, began);
            if let Some(failed) = judgements.iter().find(|j| j.verdict == Verdict::Fail) {
                let sentence = failed.sentence.clone();
                return Some(End::Failed { step: index, candidate_requests: self.total, at: now, sentence });
            }
            let passed = judgements.iter().all(|j| j.verdict == Verdict::Pass) && step.rule == Rule::PassOrFail;
            if self.world.advance && passed {
                return None;
            }
            if now.since(began) >= step.length {
                let open = judgements.into_iter().find(|j| j.verdict == Verdict::Inconclusive);
                let held = self.world.advance && step.rule == Rule::PassOrFail;
                return open.filter(|_| held).map(|j| End::Held { step: index, sentence: j.sentence });
            }
        }
    }

    fn stability(&mut self, now: Timestamp) -> Stability {
        let above = self
            .tallies
            .iter_mut()
            .zip(&self.world.objectives)
            .any(|(tally, objective)| stability(objective, tally.ten_seconds.sum(now)) == Stability::Above);
        if above { Stability::Above } else { Stability::NotAbove }
    }

    fn judge(&mut self, step: &Step, began: Timestamp) -> Vec<Judgement> {
        let now = self.now();
        let budget = Budget::divided(self.world.alpha, 0.05, self.world.steps.len(), self.world.objectives.len());
        let mut judgements = Vec::new();
        for (tally, objective) in self.tallies.iter_mut().zip(&self.world.objectives) {
            let evidence = Evidence {
                candidate: tally.candidate,
                stable: match self.world.before {
                    true => Comparison::Before { before: tally.before, meanwhile: tally.stable },
                    false => Comparison::Concurrent(tally.stable),
                },
                stable_ten_minutes: tally.ten_minutes.sum(now),
                stable_ten_seconds: tally.ten_seconds.sum(now),
                candidate_weight: step.weight,
                next_weight: step.next,
                rule: step.rule,
                since: began,
                waiting_since: tally.waiting_since,
                min_requests: 50,
                keys_known: true,
            };
            let judgement = judge(objective, &budget, &evidence, now);
            tally.waiting_since = judgement.waiting_for_stable.then(|| tally.waiting_since.unwrap_or(now));
            judgements.push(judgement);
        }
        judgements
    }
}
