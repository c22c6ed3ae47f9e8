//! The control plane: what it sees, a turn of it, what is kept of the turn and what goes out before; and an old one that
//! wakes up.

use std::collections::BTreeMap;

use slipway_core::instance::{Health, InstanceState, InstanceStatus};
use slipway_core::names::{InstanceId, RolloutId, VersionName};
use slipway_core::rollout::{self, Confirmed, Effect, EffectResult, Lane, Observed, State, Turn};
use slipway_core::units::{Millis, Timestamp};

use super::faults::decide;
use super::world::{Running, World};
use super::{Broken, Sabotage};
use crate::checks;

impl World {
    fn status(&self, id: &InstanceId, running: &Running) -> InstanceStatus {
        let health = match (self.now >= running.healthy_from, self.now >= running.sick_until) {
            (true, true) => Health::Healthy,
            (true, false) => Health::Unhealthy { why: "it is sick".to_string() },
            (false, _) => Health::Unknown { why: None },
        };
        InstanceStatus {
            id: id.clone(),
            incarnation: running.incarnation,
            state: InstanceState::Running,
            address: Some(([127, 0, 0, 1], 1).into()),
            pid: Some(1),
            health,
            last_exit: None,
        }
    }

    /// Whether an instance answers well.
    pub fn is_healthy(&self, running: &Running) -> bool {
        self.now >= running.healthy_from && self.now >= running.sick_until
    }

    pub fn observe(&self, results: Vec<EffectResult>) -> Observed {
        let reached = self.gateways.iter().all(|g| self.now >= g.deaf_until);
        let newest = self.gateways.iter().all(|g| g.route == self.published);
        let mut routes: Vec<_> = self.serving().cloned().collect();
        routes.dedup();
        let (evidence, cohorts) = self.evidence();
        Observed {
            instances: self.instances.iter().map(|(id, r)| (id.clone(), self.status(id, r))).collect(),
            confirmed: Some(Confirmed { routes, newest }),
            watched_since: reached.then_some(self.looking_since),
            looking_since: Some(self.looking_since),
            lapsed: self.gateways.iter().filter(|g| self.now >= g.deaf_until).find_map(|g| g.lapsed),
            in_flight: Some(BTreeMap::new()),
            evidence,
            cohorts,
            artifacts: self.artifacts.iter().filter(|a| self.is_here(a)).map(|a| (a.clone(), ())).collect(),
            results,
            unrecorded: self.unkept.is_some(),
            ..Observed::default()
        }
    }

    /// One turn of the control plane, which may die before or after it has kept it.
    pub fn turns(&mut self) -> Result<(), Broken> {
        let (due, later) = std::mem::take(&mut self.replies).into_iter().partition(|(at, _)| *at <= self.now);
        self.replies = later;
        let due: Vec<(Timestamp, EffectResult)> = due;
        let before = self.believed().clone();
        let mut turn = Turn::new(&before);
        let seen = self.observe(due.iter().map(|(_, result)| result.clone()).collect());
        self.people(&mut turn, &seen);
        self.contracts(&mut turn);
        decide(self.sabotage, &mut turn, &seen, self.clock());
        checks::turn(self, &before, &turn)?;
        let goes_first = turn.traffic_first || self.unkept.is_some();
        let in_a_hurry = goes_first && self.sabotage != Some(Sabotage::StoreFirst);
        if in_a_hurry {
            self.publish(&turn.lane)?;
        }
        self.leaving = leaving(&turn.lane);
        if self.sabotage == Some(Sabotage::ActsFirst) {
            turn.effects.iter().cloned().for_each(|effect| drop(self.act(effect)));
        }
        if self.happens(0.01) {
            // Nothing was kept, so what came in comes again.
            self.replies.extend(due);
            self.dies();
            let kept = self.kept.clone();
            return self.publish(&kept);
        }
        let turn = join(self.unkept.take(), turn);
        let away = self.now < self.store_away_until;
        if away {
            self.replies.extend(due);
            if in_a_hurry {
                self.unkept = Some(turn);
            }
            return Ok(());
        }
        self.keep(turn)?;
        if self.happens(0.05) {
            self.replies.extend(due);
        }
        Ok(())
    }

    fn keep(&mut self, mut turn: Turn) -> Result<(), Broken> {
        if self.sabotage == Some(Sabotage::Unrecorded) {
            turn.facts.clear();
        }
        checks::recorded(&self.kept, &turn)?;
        self.decided.extend(turn.effects.iter().map(Effect::key));
        for ended in &turn.ended {
            let outcome = ended.ended().map_or("open", |(outcome, _)| outcome.as_str());
            *self.outcomes.entry(outcome).or_default() += 1;
        }
        self.kept = turn.lane;
        self.outbox.extend(turn.effects);
        let lane = self.kept.clone();
        self.publish(&lane)
    }

    fn publish(&mut self, lane: &Lane) -> Result<(), Broken> {
        let new = rollout::route_of(lane);
        if let Some(route) = &new {
            checks::no_cold_traffic(self, lane, self.published.as_ref(), route)?;
        }
        self.published = new;
        Ok(())
    }

    pub fn dies(&mut self) {
        self.down_until = self.now.plus(Millis::from_secs(1 + self.random.below(25)));
        self.looking_since = self.clock().plus(self.down_until.since(self.now));
        self.unkept = None;
        self.leaving = None;
        self.unheard.clear();
    }

    /// One that was frozen and knows nothing of its successor: it decides from what it had, carries out what it had taken from
    /// the outbox, and must not be able to keep anything. Gateways take no table of an older start.
    pub fn old_one_wakes(&mut self) -> Result<(), Broken> {
        let Some(old) = self.old.take_if(|old| self.now >= old.wakes) else { return Ok(()) };
        let mut turn = Turn::new(&old.lane);
        let seen = self.observe(Vec::new());
        decide(self.sabotage, &mut turn, &seen, self.clock());
        for effect in old.outbox {
            let reply = self.act(effect);
            self.replies.extend(reply.map(|reply| (self.now, reply)));
        }
        if self.sabotage == Some(Sabotage::Unfenced) {
            checks::turn(self, &old.lane, &turn)?;
            self.keep(turn)?;
        }
        Ok(())
    }
}

/// A way back that gives the version which it leaves nothing any more. Jobs are nobody's to send.
fn leaving(lane: &Lane) -> Option<(RolloutId, VersionName)> {
    let open = lane.open.as_ref().filter(|open| matches!(open.state, State::Undoing(_)) && !lane.is_exposed())?;
    let users = lane.stable.is_some() && !lane.is_worker();
    users.then(|| (open.id.clone(), open.release.version.clone()))
}

/// What could not be kept yet, and what was decided since.
fn join(unkept: Option<Turn>, mut turn: Turn) -> Turn {
    let Some(mut first) = unkept else { return turn };
    first.facts.append(&mut turn.facts);
    first.effects.append(&mut turn.effects);
    first.ended.append(&mut turn.ended);
    Turn { lane: turn.lane, traffic_first: true, wake_at: turn.wake_at, ..first }
}
