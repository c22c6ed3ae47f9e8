//! What can happen in a state, and what it makes of it.

use slipway_core::names::InstanceId;
use slipway_core::rollout::{self, Effect, EffectResult, Turn};
use slipway_core::smoke::{SmokeReport, SmokeResult};
use slipway_core::traffic::Route;
use slipway_core::units::Millis;

use super::state::{Said, State};
use crate::checks::{self, Broken};

/// Looks after which there is nothing more to decide.
const SETTLES: usize = 12;

/// Something that happens. The control plane looks at it at once, as often as it finds something to do, unless it is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The control plane looks; if it was down, it is back.
    Look,
    /// It dies. Nobody looks and nothing is carried out.
    Dies,
    /// Somebody aborts: the route goes out, and it dies before that is kept.
    AbortUnkept,
    /// The candidate fails: the route goes out, and it dies before that is kept.
    BadUnkept,
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
    /// Somebody asks for a drill of the way back.
    Drill {
        /// What stands by is stopped first.
        cold: bool,
    },
    /// Somebody restarts what serves.
    Restart,
    /// Somebody scales what serves: to one instance more than its file declares, or to what it declares.
    Scale,
    /// The first effect is carried out.
    Effect,
    /// The first effect is carried out, nobody knows, and it will be again.
    EffectUnheard,
    /// The first effect is a smoke test and fails; where effects are carried out at once, the first that follows is.
    SmokeFails,
    /// The first starting instance becomes healthy; where effects are carried out at once, all of them do.
    Healthy,
    /// An instance is gone: that at this place.
    Gone(usize),
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

impl Act {
    /// Whether it is something that people ask for.
    fn is_asked_for(self) -> bool {
        use Act::{Abort, Drill, Pause, Promote, Release, Restart, Resume, Rollback, Scale};
        matches!(self, Release { .. } | Pause | Resume | Promote | Abort | Rollback | Drill { .. } | Restart | Scale)
    }
}

impl State {
    /// What can happen here. What would change nothing is found out by trying.
    pub fn acts(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        if !self.is_crowded() {
            acts.push(Act::Silence);
        }
        if self.instances.values().any(|healthy| !healthy) {
            acts.push(Act::Healthy);
            if self.fixed.prompt && self.left > 0 {
                acts.push(Act::SmokeFails);
            }
        }
        let met = self
            .lane
            .candidate_version()
            .is_some_and(|candidate| self.gateway.as_ref().is_some_and(|route| route.split.weight(candidate).bp() > 0));
        if met {
            acts.push(Act::Bad);
            if self.heard() == Said::Nothing {
                acts.push(Act::Good);
            }
        }
        if self.left > 0 && (self.lane.open.is_some() || self.lane.restarting.is_some()) {
            acts.extend((0..self.instances.len()).map(Act::Gone));
        }
        if self.down {
            acts.push(Act::Look);
            return acts;
        }
        if !self.is_crowded() {
            acts.push(Act::Time);
        }
        if self.gateway != self.published || self.deaf {
            acts.push(Act::Hears);
        }
        self.asked_here(&mut acts);
        if let Some(first) = self.outbox.first() {
            acts.push(Act::Effect);
            if self.left > 0 {
                acts.push(Act::EffectUnheard);
                if matches!(first, Effect::Smoke { .. }) {
                    acts.push(Act::SmokeFails);
                }
            }
        }
        if self.left > 0 && self.lane.open.is_some() {
            acts.extend([Act::Dies, Act::AbortUnkept]);
            if met {
                acts.push(Act::BadUnkept);
            }
        }
        acts
    }

    /// Where all states are visited, time stands still while there are more instances than this: whoever never becomes healthy
    /// is replaced by somebody who does not either, and while a gateway hears nothing none of them is stopped.
    fn is_crowded(&self) -> bool {
        let wanted = self.lane.stable.as_ref().map_or(0, |stable| stable.instances(&self.lane.id));
        self.fixed.prompt && self.lane.slots.len() > 2 * wanted.max(self.fixed.instances()) as usize + 1
    }

    /// The state after an act; `None` where it is refused.
    pub fn after(&self, act: Act) -> Result<Option<State>, Broken> {
        let next = match act {
            Act::AbortUnkept => return self.unkept(|state, turn| state.wish(act, turn)),
            Act::BadUnkept => {
                let mut worse = self.clone();
                worse.happens(Act::Bad);
                return worse.unkept(|_, _| true);
            }
            _ if act.is_asked_for() => self.kept(|state, turn| state.wish(act, turn))?,
            other => {
                let mut next = self.clone();
                next.happens(other);
                Some(next)
            }
        };
        let Some(mut next) = next else { return Ok(None) };
        checks::journal_before_act(&next, next.instances.keys())?;
        if !next.down {
            next.settle()?;
        }
        Ok(Some(next))
    }

    /// Looks until there is nothing more to decide.
    pub fn settle(&mut self) -> Result<(), Broken> {
        for _ in 0..SETTLES {
            let Some(next) = self.kept(|_, _| true)? else { return Ok(()) };
            let quiet = next.lane == self.lane && next.outbox.len() == self.outbox.len() && next.replies.is_empty();
            *self = next;
            if quiet {
                break;
            }
        }
        self.smoke_fails = false;
        Ok(())
    }

    fn happens(&mut self, act: Act) {
        match act {
            Act::Look => self.down = false,
            Act::Dies => {
                self.left -= 1;
                self.down = true;
            }
            Act::Effect => {
                let effect = self.outbox.remove(0);
                self.carry_out(effect, true);
            }
            Act::EffectUnheard => {
                self.left -= 1;
                let effect = self.outbox[0].clone();
                self.carry_out(effect, true);
                self.replies.pop();
            }
            Act::SmokeFails if self.fixed.prompt => {
                self.left -= 1;
                self.smoke_fails = true;
                self.instances.values_mut().for_each(|healthy| *healthy = true);
            }
            Act::Healthy if self.fixed.prompt => self.instances.values_mut().for_each(|healthy| *healthy = true),
            Act::SmokeFails => {
                self.left -= 1;
                let effect = self.outbox.remove(0);
                self.carry_out(effect, false);
            }
            Act::Healthy => {
                let starting = self.instances.values_mut().find(|healthy| !**healthy);
                starting.into_iter().for_each(|healthy| *healthy = true);
            }
            Act::Gone(place) => {
                self.left -= 1;
                let id = self.instances.keys().nth(place).cloned();
                id.map(|id| self.instances.remove(&id));
            }
            Act::Hears => self.hears(),
            Act::Good | Act::Bad => {
                let epoch = self.gateway.as_ref().map(|route| route.epoch).unwrap_or_default();
                self.said = (epoch, if act == Act::Good { Said::Good } else { Said::Bad });
            }
            Act::Time => {
                self.hears();
                self.now = self.now.plus(self.stride());
            }
            Act::Silence => {
                self.now = self.now.plus(self.stride());
                self.deaf = true;
                self.lapse();
            }
            _ => {}
        }
    }

    fn kept(&self, wish: impl FnOnce(&mut State, &mut Turn) -> bool) -> Result<Option<State>, Broken> {
        Ok(self.turn(wish)?.map(|(mut next, turn)| {
            next.keep(&turn);
            next
        }))
    }

    /// A way back whose route goes out, and then the control plane dies before anything is kept.
    fn unkept(&self, wish: impl FnOnce(&mut State, &mut Turn) -> bool) -> Result<Option<State>, Broken> {
        let Some((mut next, turn)) = self.turn(wish)? else { return Ok(None) };
        if !turn.traffic_first {
            return Ok(None);
        }
        next.left -= 1;
        next.down = true;
        next.gateway = rollout::route_of(&turn.lane);
        Ok(Some(next))
    }

    /// The gateway is in contact, and takes the newest table unless it has lapsed from that very one.
    pub fn hears(&mut self) {
        if self.deaf {
            self.deaf = false;
            self.watched_since = self.now;
        }
        let again = |route: &Route| route.fallback.is_some() && Some(route.epoch) == self.lapsed;
        if !self.published.as_ref().is_some_and(again) {
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
                let well = well && !std::mem::take(&mut self.smoke_fails);
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
        next.down = false;
        let idle = next.outbox.is_empty() && next.replies.is_empty();
        next.hears();
        for effect in std::mem::take(&mut next.outbox) {
            next.carry_out(effect, true);
        }
        let starting: Vec<InstanceId> =
            next.instances.iter().filter(|(_, up)| !**up).map(|(id, _)| id.clone()).collect();
        let idle = idle && starting.is_empty() && next.gateway == self.gateway;
        next.instances.extend(starting.into_iter().map(|id| (id, true)));
        let epoch = next.gateway.as_ref().map(|route| route.epoch).unwrap_or_default();
        if next.heard() != Said::Bad {
            next.said = (epoch, said);
        }
        if idle {
            next.now = next.now.plus(next.stride());
        }
        checks::journal_before_act(&next, next.instances.keys())?;
        next.settle()?;
        Ok(next)
    }
}
