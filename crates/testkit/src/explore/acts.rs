//! What can happen in a state, and what it makes of it.

use slipway_core::names::InstanceId;
use slipway_core::rollout::{self, Effect, EffectResult, RolloutKind, Turn, commands};
use slipway_core::smoke::{SmokeReport, SmokeResult};
use slipway_core::units::Millis;

use super::state::{STRIDE, Said, State, WHO};
use crate::checks::{self, Broken};

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The control plane takes a turn.
    Look,
    /// It takes one with a way back that it cannot keep: the route goes out, and it dies.
    DiesUnkept,
    /// Somebody releases the next version.
    Release {
        /// In place of everything before it.
        supersede: bool,
    },
    /// Somebody pauses.
    Pause,
    /// Somebody resumes.
    Resume,
    /// Somebody answers for the step.
    Promote,
    /// Somebody aborts.
    Abort,
    /// Somebody rolls back.
    Rollback,
    /// The first effect is carried out.
    Effect,
    /// The first effect is carried out, nobody knows, and it will be again.
    EffectUnheard,
    /// The first effect is a smoke test and fails.
    SmokeFails,
    /// The first starting instance becomes healthy.
    Healthy,
    /// An instance dies: that at this place.
    Dies(usize),
    /// The gateway takes the newest table.
    Hears,
    /// The candidate answers well.
    Good,
    /// The candidate fails.
    Bad,
    /// Every limit but the way back's runs out, and the gateway hears the control plane meanwhile.
    Time,
    /// The same, and the gateway hears nothing: its lease runs out.
    Silence,
}

impl State {
    /// What can happen here. What would change nothing is found out by trying.
    pub fn acts(&self) -> Vec<Act> {
        let mut acts = vec![Act::Look, Act::Time, Act::Silence];
        match &self.lane.open {
            Some(_) => {
                acts.extend([Act::Pause, Act::Resume, Act::Promote, Act::Abort, Act::Rollback]);
                if self.left.crashes > 0 {
                    acts.push(Act::DiesUnkept);
                }
            }
            None => acts.push(Act::Rollback),
        }
        if self.lane.queue.is_empty() {
            acts.push(Act::Release { supersede: false });
            if self.lane.open.is_some() {
                acts.push(Act::Release { supersede: true });
            }
        }
        if let Some(first) = self.outbox.first() {
            acts.push(Act::Effect);
            if self.left.twice > 0 {
                acts.push(Act::EffectUnheard);
            }
            if self.left.smoke > 0 && matches!(first, Effect::Smoke { .. }) {
                acts.push(Act::SmokeFails);
            }
        }
        if self.instances.values().any(|healthy| !healthy) {
            acts.push(Act::Healthy);
        }
        if self.left.deaths > 0 && self.lane.open.is_some() {
            acts.extend((0..self.instances.len()).map(Act::Dies));
        }
        if self.gateway != self.published || self.deaf {
            acts.push(Act::Hears);
        }
        let met = self.lane.candidate_version().is_some_and(|candidate| {
            self.gateway.as_ref().is_some_and(|route| route.split.weight(candidate).bp() > 0)
        });
        if met {
            acts.push(Act::Bad);
            if self.heard() == Said::Nothing {
                acts.push(Act::Good);
            }
        }
        acts
    }

    /// The state after an act; `None` where it is refused.
    pub fn after(&self, act: Act) -> Result<Option<State>, Broken> {
        let mut next = self.clone();
        match act {
            Act::Look => return self.kept(|_, _| true),
            Act::DiesUnkept => {
                let Some((mut unkept, turn)) = self.turn(|_, _| true)? else { return Ok(None) };
                if !turn.traffic_first {
                    return Ok(None);
                }
                unkept.left.crashes -= 1;
                unkept.gateway = rollout::route_of(&turn.lane);
                unkept.published = rollout::route_of(&self.lane);
                return Ok(Some(unkept));
            }
            Act::Release { supersede } => {
                return self.kept(|state, turn| {
                    let version = state.next_version();
                    let asked = state.asked_for(RolloutKind::Release, version);
                    commands::release(turn, asked, supersede, state.now).is_ok()
                });
            }
            Act::Pause => return self.kept(|state, turn| commands::pause(turn, WHO, state.now).is_ok()),
            Act::Resume => return self.kept(|state, turn| commands::resume(turn, WHO, state.now).is_ok()),
            Act::Promote => {
                return self.kept(|state, turn| {
                    state.promoted = true;
                    commands::promote(turn, None, WHO, state.now).is_ok()
                });
            }
            Act::Abort => return self.kept(|state, turn| commands::abort(turn, WHO, state.now).is_ok()),
            Act::Rollback => return self.kept(rollback),
            Act::Effect => {
                let effect = next.outbox.remove(0);
                next.carry_out(effect, true);
            }
            Act::EffectUnheard => {
                next.left.twice -= 1;
                let effect = next.outbox[0].clone();
                next.carry_out(effect, true);
                next.replies.pop();
            }
            Act::SmokeFails => {
                next.left.smoke -= 1;
                let effect = next.outbox.remove(0);
                next.carry_out(effect, false);
            }
            Act::Healthy => {
                let starting = next.instances.values_mut().find(|healthy| !**healthy);
                starting.into_iter().for_each(|healthy| *healthy = true);
            }
            Act::Dies(place) => {
                next.left.deaths -= 1;
                let id = next.instances.keys().nth(place).cloned();
                id.map(|id| next.instances.remove(&id));
            }
            Act::Hears => next.hears(),
            Act::Good | Act::Bad => {
                let epoch = next.gateway.as_ref().map(|route| route.epoch).unwrap_or_default();
                next.said = (epoch, if act == Act::Good { Said::Good } else { Said::Bad });
            }
            Act::Time => {
                next.hears();
                next.now = next.now.plus(STRIDE);
            }
            Act::Silence => {
                next.now = next.now.plus(STRIDE);
                next.deaf = true;
                next.lapse();
            }
        }
        checks::journal_before_act(&next, next.instances.keys())?;
        Ok(Some(next))
    }

    fn kept(&self, wish: impl FnOnce(&mut State, &mut Turn) -> bool) -> Result<Option<State>, Broken> {
        Ok(self.turn(wish)?.map(|(mut next, turn)| {
            next.keep(&turn);
            next
        }))
    }

    /// The gateway is in contact, and takes the newest table unless it has lapsed from that very one.
    pub fn hears(&mut self) {
        if self.deaf {
            self.deaf = false;
            self.watched_since = self.now;
        }
        let again = self.lapsed.is_some() && self.published.as_ref().map(|r| r.epoch) == self.lapsed;
        if !again {
            self.gateway = self.published.clone();
            self.lapsed = None;
        }
    }

    fn lapse(&mut self) {
        let Some(route) = &mut self.gateway else { return };
        if let (Some(_), Some(fallback)) = (route.lease, &route.fallback) {
            route.split = fallback.clone();
            self.lapsed = Some(route.epoch);
        }
    }

    /// Carries an effect out and keeps its reply for the next turn.
    pub fn carry_out(&mut self, effect: Effect, well: bool) {
        let result = match effect {
            Effect::Start { spec } => {
                if self.born.insert(spec.id.clone()) {
                    self.instances.insert(spec.id.clone(), false);
                }
                EffectResult::Started { instance: spec.id }
            }
            Effect::Stop { instance } => {
                self.instances.remove(&instance);
                EffectResult::Stopped { instance, killed: false }
            }
            Effect::Smoke { instance, incarnation, round, .. } => {
                let passes = well && self.instances.get(&instance).is_some_and(|healthy| *healthy);
                if passes {
                    self.tested.insert(instance.clone());
                }
                let failure = (!passes).then(|| "no".to_string());
                let tests = vec![SmokeResult { name: "up".to_string(), took: Millis(5), failure }];
                EffectResult::Smoked { report: SmokeReport { instance, incarnation, at: self.now, tests }, round }
            }
            Effect::Run { .. } | Effect::Ask { .. } => unreachable!("the small world has no migrations and no hooks"),
        };
        self.replies.push(result);
    }

    /// What happens when nothing goes wrong, up to the next turn; time passes where nothing else happens.
    pub fn calm(&self, said: Said) -> Result<State, Broken> {
        let mut next = self.clone();
        let idle = next.outbox.is_empty() && next.replies.is_empty();
        next.hears();
        for effect in std::mem::take(&mut next.outbox) {
            next.carry_out(effect, true);
        }
        let starting: Vec<InstanceId> = next.instances.iter().filter(|(_, up)| !**up).map(|(id, _)| id.clone()).collect();
        let idle = idle && starting.is_empty() && next.gateway == self.gateway;
        next.instances.extend(starting.into_iter().map(|id| (id, true)));
        let epoch = next.gateway.as_ref().map(|route| route.epoch).unwrap_or_default();
        if next.heard() != Said::Bad {
            next.said = (epoch, said);
        }
        if idle {
            next.now = next.now.plus(STRIDE);
        }
        Ok(next.after(Act::Look)?.unwrap_or(next))
    }
}

fn rollback(state: &mut State, turn: &mut Turn) -> bool {
    let Ok(back) = commands::way_back(&turn.lane, None) else { return false };
    let asked = match back {
        commands::Back::TakeBack => None,
        commands::Back::To(to) => Some(state.asked_for(RolloutKind::Rollback, to)),
    };
    commands::rollback(turn, asked, WHO, state.now).is_ok()
}
