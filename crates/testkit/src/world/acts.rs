//! What a turn decided, carried out at once.

use slipway_core::hook::Answer;
use slipway_core::instance::{Health, InstanceState, InstanceStatus};
use slipway_core::job::JobEnd;
use slipway_core::names::InstanceId;
use slipway_core::rollout::{self, Effect, EffectResult, Turn};
use slipway_core::smoke::{SmokeReport, SmokeResult};
use slipway_core::units::{Millis, Timestamp};

use super::{STARTS_IN, World};

impl World {
    pub(super) fn apply(&mut self, turn: Turn) {
        if !self.shows_nothing {
            self.journal.extend(turn.facts.into_iter().map(|f| (self.now, f)));
        }
        self.ended.extend(turn.ended);
        self.lane = turn.lane;
        let wanted = rollout::route_of(&self.lane);
        // A lapsed split does not come back with a newer table of the same epoch.
        let back = wanted.as_ref().is_some_and(|r| r.fallback.is_some() && Some(r.epoch) == self.lapsed);
        if !self.silent && !back {
            self.route = wanted;
        }
        for effect in turn.effects {
            let result = self.act(effect);
            self.results.extend(result);
        }
        self.watch_capacity();
    }

    fn act(&mut self, effect: Effect) -> Option<EffectResult> {
        Some(match effect {
            Effect::Start { spec } => {
                let hangs = self.service.hangs.contains(&spec.version);
                self.instances.insert(spec.id.clone(), if hangs { Timestamp(u64::MAX) } else { self.now });
                EffectResult::Started { instance: spec.id }
            }
            Effect::Stop { instance } => {
                self.instances.remove(&instance);
                EffectResult::Stopped { instance, killed: false }
            }
            Effect::Run { job } => {
                let fails = self.service.fails_migration.contains(&(job.version.clone(), job.command.join(" ")));
                let end = match fails {
                    true => JobEnd::Failed { why: format!("{} ended with exit status: 1", job.command.join(" ")) },
                    false => JobEnd::Done { tail: String::new() },
                };
                EffectResult::Ran { job: job.id, end }
            }
            Effect::Smoke { instance, incarnation, round, tests } => {
                let version = self.lane.slots.iter().find(|s| s.id == instance).map(|s| s.version.clone());
                let bad = version.is_some_and(|v| self.service.fails_smoke.contains(&v));
                let result = |name: String| SmokeResult {
                    name,
                    took: Millis(5),
                    failure: bad.then(|| "status 200 expected, 500 came".to_string()),
                };
                let tests = tests.into_iter().map(|t| result(t.name)).collect();
                EffectResult::Smoked { report: SmokeReport { instance, incarnation, at: self.now, tests }, round }
            }
            Effect::Ask { key, hook, .. } => {
                let word = *self.service.answers.get(&hook.name)?;
                EffectResult::Answered { key, answer: Ok(Answer { word, reason: None }) }
            }
        })
    }

    fn watch_capacity(&mut self) {
        let Some(route) = &self.route else { return };
        for version in route.versions.iter().filter(|v| route.split.weight(&v.version).bp() > 0) {
            let given = route.split.weight(&version.version).share();
            let declared = self.release_of(version.version.as_str()).instances(&self.lane.id);
            let carried = (version.endpoints.len() as f64 / f64::from(declared) / given).min(1.0);
            let least = self.carried.entry(version.version.clone()).or_insert(1.0);
            *least = least.min(carried);
        }
    }
}

pub(super) fn status(id: &InstanceId, since: Timestamp, now: Timestamp) -> InstanceStatus {
    let up = now.since(since) >= STARTS_IN;
    InstanceStatus {
        id: id.clone(),
        incarnation: 1,
        state: InstanceState::Running,
        address: Some(([127, 0, 0, 1], 1).into()),
        pid: Some(1),
        health: if up { Health::Healthy } else { Health::Unknown { why: None } },
        last_exit: None,
    }
}
