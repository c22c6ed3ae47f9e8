//! What people may ask for in a state, and what becomes of their wish.

use slipway_core::rollout::{self, RolloutKind, Turn, commands};

use super::acts::Act;
use super::state::{State, WHO};

impl State {
    /// What people may ask for here.
    pub(super) fn asked_here(&self, acts: &mut Vec<Act>) {
        let (is_open, over) = (self.lane.open.is_some(), !self.has_leftovers());
        if is_open || over || !self.fixed.prompt {
            acts.push(Act::Rollback);
        }
        if is_open {
            acts.extend([Act::Pause, Act::Resume, Act::Promote, Act::Abort]);
        } else if !self.fixed.prompt {
            acts.extend([Act::Drill { cold: false }, Act::Drill { cold: true }, Act::Restart, Act::Scale]);
        }
        if self.fixed.prompt && (is_open || self.lane.standby.is_some()) {
            return;
        }
        if self.lane.queue.is_empty() && over {
            acts.push(Act::Release { supersede: false });
            if is_open {
                acts.push(Act::Release { supersede: true });
            }
        }
    }

    /// Whether instances of a version that is over are still there. People wait for them with the next release, so that
    /// there are not ever more of them.
    fn has_leftovers(&self) -> bool {
        let lane = &self.lane;
        let standby = lane.standby.as_ref().map(|standby| &standby.release.version);
        let known = [lane.stable_version(), lane.candidate_version(), standby];
        lane.slots.iter().any(|slot| !known.contains(&Some(&slot.version)))
    }

    /// What `act` asks for; whether it is granted.
    pub(super) fn wish(&mut self, act: Act, turn: &mut Turn) -> bool {
        let now = self.now;
        match act {
            Act::Release { supersede } => {
                let version = self.next_version();
                let asked = self.asked_for(RolloutKind::Release, version);
                commands::release(turn, asked, supersede, now).is_ok()
            }
            Act::Pause => commands::pause(turn, WHO, now).is_ok(),
            Act::Resume => commands::resume(turn, WHO, now).is_ok(),
            Act::Promote => {
                self.promoted = true;
                commands::promote(turn, None, WHO, now).is_ok()
            }
            Act::Abort | Act::AbortUnkept => commands::abort(turn, WHO, now).is_ok(),
            Act::Rollback => self.rolls_back(turn),
            Act::Drill { cold } => self.drills(turn, cold),
            Act::Restart => commands::restart(turn, WHO, now).is_ok(),
            Act::Scale => {
                let declared = self.fixed.instances();
                let now_there = turn.lane.stable.as_ref().map(|stable| stable.instances(&turn.lane.id));
                let wanted = if now_there == Some(declared) { declared + 1 } else { declared };
                commands::scale(turn, wanted, WHO).is_ok()
            }
            _ => true,
        }
    }

    fn rolls_back(&mut self, turn: &mut Turn) -> bool {
        let Ok(back) = commands::way_back(&turn.lane, None) else { return false };
        let asked = match back {
            commands::Back::TakeBack => None,
            commands::Back::To(to) => Some(self.asked_for(RolloutKind::Rollback, to)),
        };
        commands::rollback(turn, asked, WHO, self.now).is_ok()
    }

    fn drills(&mut self, turn: &mut Turn, cold: bool) -> bool {
        let seen = self.observe(&turn.lane);
        let Ok(to) = rollout::drillable(&turn.lane, &seen) else { return false };
        let asked = self.asked_for(RolloutKind::Drill { cold }, to.version);
        commands::drill(turn, asked, &seen).is_ok()
    }
}
