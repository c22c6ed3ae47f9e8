//! What people ask for, at random.

use slipway_core::names::{Digest, RolloutId, VersionName};
use slipway_core::rollout::{Asked, Release, RolloutKind, Turn, commands};
use slipway_core::spec;

use super::version;
use super::world::{WHO, World};

impl World {
    /// People ask at random; what is refused changes nothing.
    pub(super) fn people(&mut self, turn: &mut Turn) {
        let now = self.now;
        if self.calm {
            return;
        }
        let before = turn.lane.clone();
        let idle = before.open.is_none() && before.queue.is_empty();
        let said = match self.random.below(if idle { 12 } else { 400 }) {
            0 | 1 => {
                let supersede = self.random.chance(0.5);
                self.versions += 1;
                if self.random.chance(0.3) {
                    self.bad.insert(version(self.versions));
                }
                let asked = self.asked(RolloutKind::Release, version(self.versions));
                commands::release(turn, asked, supersede, now)
            }
            2 => commands::way_back(&before, None).and_then(|back| {
                let asked = match back {
                    commands::Back::TakeBack => None,
                    commands::Back::To(to) => Some(self.asked(RolloutKind::Rollback, to)),
                };
                commands::rollback(turn, asked, WHO, now)
            }),
            3 | 4 => commands::pause(turn, WHO, now),
            5..=30 => commands::resume(turn, WHO, now),
            31 => commands::abort(turn, WHO, now),
            32 => commands::promote(turn, None, WHO, now),
            _ => Ok(()),
        };
        if said.is_err() {
            *turn = Turn::new(&before);
        }
    }

    fn asked(&mut self, kind: RolloutKind, version: VersionName) -> Asked {
        self.asked += 1;
        let artifact = Digest::of(version.as_str().as_bytes());
        self.artifacts.insert(artifact.clone());
        let release = Release { version, artifact, config: spec::config_digest(&self.spec), spec: self.spec.clone() };
        let environment = release.environment(&self.kept.id).expect("a declared environment");
        Asked {
            id: RolloutId::numbered(self.asked),
            kind,
            strategy: environment.strategy.clone(),
            release,
            key: None,
            actor: WHO.to_string(),
            at: self.now,
            overriding: None,
            approvals: Vec::new(),
        }
    }
}
