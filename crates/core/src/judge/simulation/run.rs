//! A simulated rollout under way: requests, looks, and the judge's own rules about what follows from a verdict.

use super::screen::Screen;
use super::tally::Tally;
use super::traffic::{Request, assigned};
use super::world::{Comparable, End, Step, Story, World};
use super::{BEGIN, LONGEST_STEP, Random};
use crate::judge::beside::Beside;
use crate::judge::sequence::Sequence;
use crate::judge::{
    Comparison, Evidence, Judgement, MAX_RESTARTS, Pause, Rule, Stability, Verdict, Watch, judge, stability, watch,
};
use crate::units::{Timestamp, Weight};

pub(super) struct Run<'a> {
    world: &'a World<'a>,
    random: Random,
    salt: u64,
    now: f64,
    tallies: Vec<Tally>,
    sequences: Vec<Sequence>,
    candidate_requests: u64,
    harmed: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(world: &'a World<'a>, seed: u64) -> Run<'a> {
        let mut random = Random::new(seed);
        let salt = random.bits();
        let tallies = world.objectives.iter().map(|_| Tally::new()).collect();
        let sequences = world.objectives.iter().map(|o| Sequence::new(o.at_most)).collect();
        Run { world, random, salt, now: BEGIN as f64, tallies, sequences, candidate_requests: 0, harmed: 0 }
    }

    pub(super) fn tell(mut self) -> Story {
        self.warm_up();
        let began = self.now();
        let end = (0..self.world.steps.len()).find_map(|index| self.step(index)).unwrap_or(End::Succeeded);
        let took = self.now().since(began);
        Story { end, candidate_requests: self.candidate_requests, harmed: self.harmed, took }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.now as u64)
    }

    /// Traffic on stable alone.
    fn warm_up(&mut self) {
        let end = self.now().plus(self.world.warm_up);
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
        let pace = self.world.pace.at(self.now(), self.salt);
        self.now += -(1.0 - self.random.unit()).ln() * 1000.0 / pace;
        let (at, salt) = (self.now(), self.salt);
        let user = (self.world.user)(&mut self.random);
        let user = if self.world.sticky { user } else { self.random.bits() };
        let to_candidate = assigned(user, salt, weight);
        let mut any = false;
        for (objective, tally) in self.tallies.iter_mut().enumerate() {
            let request = Request { at, user, to_candidate, objective, salt };
            let bad = (self.world.bad)(&mut self.random, &request);
            tally.count(&request, bad);
            any |= bad && to_candidate;
        }
        self.candidate_requests += u64::from(to_candidate);
        self.harmed += u64::from(any);
        any
    }

    fn step(&mut self, index: usize) -> Option<End> {
        let step = self.world.steps[index];
        let (mut began, mut restarts, mut pause) = (self.now(), 0, None::<Pause>);
        let limit = began.plus(LONGEST_STEP);
        let (mut next_look, mut earliest) = (began, began);
        self.tallies.iter_mut().for_each(Tally::restart);
        let besides: Vec<Beside> =
            self.world.objectives.iter().map(|o| Beside::new(o.at_most, step.weight.share())).collect();
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
            let over = now.since(began) >= step.length;
            if !over && !self.may_show(&step, &besides) {
                self.tallies.iter_mut().for_each(|tally| tally.waiting_since = None);
                continue;
            }
            let judgements = self.judge(&step, began);
            if let Some(failed) = judgements.iter().find(|j| j.verdict == Verdict::Fail) {
                let sentence = failed.sentence.clone();
                return Some(End::Failed {
                    step: index,
                    candidate_requests: self.candidate_requests,
                    at: now,
                    sentence,
                });
            }
            let passed = judgements.iter().all(|j| j.verdict == Verdict::Pass) && step.rule == Rule::PassOrFail;
            if self.world.advance && passed {
                return None;
            }
            if over {
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

    /// Whether a look can come to anything: most show nothing, and telling so is cheaper than all bounds and sentences.
    fn may_show(&self, step: &Step, besides: &[Beside]) -> bool {
        if self.world.compared != Comparable::Concurrent {
            return true;
        }
        let budget = self.world.budget();
        let screens: Vec<Screen> = (self.tallies.iter().zip(&self.world.objectives))
            .zip(self.sequences.iter().zip(besides))
            .map(|((tally, objective), tests)| {
                Screen::of(tests, objective, &budget, (tally.candidate, tally.stable), step.next)
            })
            .collect();
        let passing = step.rule == Rule::PassOrFail && screens.iter().all(|screen| screen.may_pass);
        passing || screens.iter().any(|screen| screen.may_fail)
    }

    fn judge(&mut self, step: &Step, began: Timestamp) -> Vec<Judgement> {
        let now = self.now();
        let budget = self.world.budget();
        let mut judgements = Vec::new();
        for (tally, objective) in self.tallies.iter_mut().zip(&self.world.objectives) {
            let evidence = Evidence {
                candidate: tally.candidate,
                stable: match self.world.compared {
                    Comparable::Concurrent => Comparison::Concurrent(tally.stable),
                    Comparable::Before => Comparison::Before { before: tally.before, meanwhile: tally.stable },
                    Comparable::Nobody => Comparison::None,
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
