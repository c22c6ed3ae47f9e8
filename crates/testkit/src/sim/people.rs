//! What people ask for, at random.

use slipway_core::names::{Digest, RolloutId, VersionName};
use slipway_core::rollout::{self, Asked, Observed, Refusal, Release, RolloutKind, Turn, commands, schema};
use slipway_core::spec;

use super::world::{WHO, World};
use super::{Sabotage, version};

impl World {
    /// People ask at random; what is refused changes nothing.
    pub(super) fn people(&mut self, turn: &mut Turn, seen: &Observed) {
        if self.calm {
            return;
        }
        let idle = turn.lane.open.is_none() && turn.lane.queue.is_empty();
        let what = self.random.below(if idle { 16 } else { 400 });
        let before = (what <= 50).then(|| turn.lane.clone());
        if let (Err(_), Some(before)) = (self.asks(what, turn, seen), before) {
            *turn = Turn::new(&before);
        }
    }

    /// A contract is asked for as soon as it is due, and waits for somebody's word.
    pub(super) fn contracts(&mut self, turn: &mut Turn) {
        let Some(owed) = schema::contract_due(&turn.lane).map(|owed| owed.release.clone()) else { return };
        if !self.happens(0.2) {
            return;
        }
        let asked = Asked { release: owed.clone(), ..self.asked(RolloutKind::Contract, owed.version) };
        // What may not be asked for changes nothing.
        let _ = commands::contract(turn, asked);
    }

    /// Who asks.
    fn who(&self) -> &'static str {
        if self.sabotage == Some(Sabotage::Nameless) { "" } else { WHO }
    }

    fn approves(&mut self, turn: &mut Turn, seen: &Observed) -> Result<(), Refusal> {
        let waits = turn.lane.queue.iter().find(|asked| asked.kind == RolloutKind::Contract).cloned();
        let Some(asked) = waits else { return Ok(()) };
        let shown = rollout::gates::seal(&turn.lane, &asked);
        commands::approve(turn, &asked.id, "user:second", &shown, seen, self.clock())?;
        self.approved.insert(asked.id);
        Ok(())
    }

    fn asks(&mut self, what: u64, turn: &mut Turn, seen: &Observed) -> Result<(), Refusal> {
        let (now, who) = (self.clock(), self.who());
        match what {
            0 | 1 => {
                let supersede = self.random.chance(0.5);
                self.versions += 1;
                if self.random.chance(0.3) {
                    self.bad.insert(version(self.versions));
                }
                let asked = self.asked(RolloutKind::Release, version(self.versions));
                commands::release(turn, asked, supersede, now)
            }
            2 => {
                let asked = match commands::way_back(&turn.lane, None)? {
                    commands::Back::TakeBack => None,
                    commands::Back::To(to) => Some(self.asked(RolloutKind::Rollback, to)),
                };
                commands::rollback(turn, asked, who, now)
            }
            3 | 4 => commands::pause(turn, who, now),
            5 => {
                let to = rollout::drillable(&turn.lane, seen)?.version.clone();
                let cold = self.random.chance(0.3);
                let asked = self.asked(RolloutKind::Drill { cold }, to);
                commands::drill(turn, asked, seen)
            }
            6 => commands::restart(turn, who, now),
            7 => commands::scale(turn, 2 + self.random.below(4) as u32, who),
            8..=30 => commands::resume(turn, who, now),
            31 => commands::abort(turn, who, now),
            32 => {
                commands::promote(turn, None, who, now)?;
                self.promoted.extend(turn.lane.open.iter().map(|open| (open.id.clone(), open.step)));
                Ok(())
            }
            33..=40 => schema::settle(turn, self.random.chance(0.5), who, now),
            41..=50 => self.approves(turn, seen),
            _ => Ok(()),
        }
    }

    fn asked(&mut self, kind: RolloutKind, version: VersionName) -> Asked {
        self.asked += 1;
        let artifact = Digest::of(version.as_str().as_bytes());
        let next = super::version(self.versions + 1);
        self.artifacts.insert(Digest::of(next.as_str().as_bytes()));
        let mut spec = self.spec.clone();
        if spec.needs_schema.is_some() {
            // Every second version brings a schema.
            let number = version.as_str().split('.').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(1);
            spec.needs_schema = Some(number / 2 + 1);
        }
        let release = Release { version, artifact, config: spec::config_digest(&spec), spec };
        let environment = release.environment(&self.kept.id).expect("a declared environment");
        Asked {
            id: RolloutId::numbered(self.asked),
            kind,
            strategy: environment.strategy.clone(),
            release,
            key: None,
            actor: self.who().to_string(),
            at: self.clock(),
            overriding: None,
            approvals: Vec::new(),
        }
    }
}
