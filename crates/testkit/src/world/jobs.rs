//! A worker's jobs: taken by whatever instance runs, reported with its version, and told to the real ledger.

use slipway_core::outcome::{Kind, Outcome};
use slipway_core::rollout::SlotState;
use slipway_core::spec::Bad;

use super::{STARTS_IN, TICK, World};

impl World {
    /// The jobs of one tick. Each is taken by one of the instances that are up and were not asked to end.
    pub(super) fn jobs(&mut self) {
        self.owed += self.service.users.rate * TICK.0 as f64 / 1000.0;
        let up = |id: &_| self.instances.get(id).is_some_and(|since| self.now.since(*since) >= STARTS_IN);
        let free = self.lane.slots.iter().filter(|slot| slot.state == SlotState::Wanted && up(&slot.id));
        let free: Vec<_> = free.map(|slot| slot.version.clone()).collect();
        let kinds = self.spec.objectives.iter().find_map(|objective| match &objective.bad {
            Bad::Outcome { kind, of: Some(of) } => Some((of.clone(), kind.clone())),
            _ => None,
        });
        let (Some((taken, lost)), false) = (kinds, free.is_empty()) else { return };
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            let version = free[self.random.below(free.len() as u64) as usize].clone();
            *self.served.entry(version.clone()).or_default() += 1;
            let bad = self.service.behaviour.fails(&version, "job", self.age(), &mut self.random);
            self.jobs += 1;
            for (kind, happened) in [(&taken, true), (&lost, bad)] {
                if happened {
                    self.report(kind, &version);
                }
            }
        }
    }

    fn report(&mut self, kind: &Kind, version: &slipway_core::names::VersionName) {
        let outcome = Outcome {
            lane: self.lane.id.clone(),
            kind: kind.clone(),
            key: None,
            version: Some(version.clone()),
            subject: None,
            at: self.now,
            id: format!("{}-{kind}", self.jobs),
        };
        // What is refused counts for nothing, here as there.
        let _ = self.ledger.take(&outcome, self.now);
    }
}
