//! Effects carried out: in order, idempotently, with replies that come late, twice, or not before the next start.

use slipway_core::hook::{Answer, Word};
use slipway_core::instance::TargetError;
use slipway_core::job::JobEnd;
use slipway_core::rollout::{Effect, EffectResult};
use slipway_core::smoke::{SmokeReport, SmokeResult};
use slipway_core::units::{Millis, Timestamp};

use super::world::{Running, World};

impl World {
    /// Effects in order; the control plane may die between any two, and a reply may be late, lost or come twice.
    pub fn carry_out(&mut self) {
        let mut left = Vec::new();
        let mut waiting = std::mem::take(&mut self.outbox).into_iter();
        for effect in waiting.by_ref() {
            if self.unheard.contains(&effect.key()) {
                left.push(effect);
                continue;
            }
            if self.happens(0.01) {
                self.dies();
                left.push(effect);
                break;
            }
            let Some(reply) = self.act(effect.clone()) else { continue };
            if self.happens(0.01) {
                // Carried out, and nobody knows: it stays in the outbox and is carried out again.
                self.dies();
                left.push(effect);
                break;
            }
            if self.happens(0.01) {
                self.unheard.insert(effect.key());
                left.push(effect);
                continue;
            }
            let late = if self.happens(0.2) { self.random.below(10) } else { 0 };
            self.replies.push((self.now.plus(Millis::from_secs(late)), reply.clone()));
            if self.happens(0.1) {
                self.replies.push((self.now.plus(Millis::from_secs(self.random.below(20))), reply));
            }
        }
        left.extend(waiting);
        self.outbox = left;
    }

    /// One effect. Nothing where nobody answers.
    pub fn act(&mut self, effect: Effect) -> Option<EffectResult> {
        Some(match effect {
            Effect::Start { spec } => {
                if self.gone.contains(&spec.id) || self.instances.contains_key(&spec.id) {
                    return Some(EffectResult::Started { instance: spec.id });
                }
                if !self.is_here(&spec.artifact) {
                    let error = TargetError::Hopeless("its artifact is not here".to_string());
                    return Some(EffectResult::NotStarted { instance: spec.id, error });
                }
                let slow = if self.happens(0.1) { 20 } else { 1 };
                let running = Running {
                    version: spec.version.clone(),
                    healthy_from: self.now.plus(Millis::from_secs(slow)),
                    incarnation: 1,
                    sick_until: Timestamp(0),
                };
                // What died is not started again under its name.
                self.gone.insert(spec.id.clone());
                self.instances.insert(spec.id.clone(), running);
                EffectResult::Started { instance: spec.id }
            }
            Effect::Stop { instance } => {
                self.gone.insert(instance.clone());
                self.instances.remove(&instance);
                EffectResult::Stopped { instance, killed: false }
            }
            Effect::Smoke { instance, incarnation, round, .. } => {
                let now = self.now;
                let up = |r: &Running| r.incarnation == incarnation && now >= r.healthy_from && now >= r.sick_until;
                let running = self.instances.get(&instance).filter(|r| up(r)).map(|r| r.version.clone());
                let fails = running.is_none_or(|version| self.bad.contains(&version) && self.happens(0.2));
                if !fails {
                    self.tested.insert((instance.clone(), incarnation));
                }
                let failure = fails.then(|| "no answer".to_string());
                let tests = vec![SmokeResult { name: "up".to_string(), took: Millis(5), failure }];
                let at = self.clock();
                EffectResult::Smoked { report: SmokeReport { instance, incarnation, at, tests }, round }
            }
            Effect::Run { job } => {
                let end = match if self.calm { 0 } else { self.random.below(20) } {
                    17 => JobEnd::Failed { why: "it ended with exit status: 1".to_string() },
                    18 => JobEnd::NotRun { why: "there was no room".to_string() },
                    19 => JobEnd::Unclear { why: "it was cut off".to_string() },
                    _ => JobEnd::Done { tail: String::new() },
                };
                EffectResult::Ran { job: job.id, end }
            }
            Effect::Ask { key, .. } => {
                let word = match if self.calm { 0 } else { self.random.below(20) } {
                    17 => return None,
                    18 => Word::Hold,
                    19 => Word::Stop,
                    _ => Word::Go,
                };
                EffectResult::Answered { key, answer: Ok(Answer { word, reason: None }) }
            }
        })
    }
}
