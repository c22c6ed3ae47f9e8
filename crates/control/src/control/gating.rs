//! Gates as people ask for them: how they stand, whose word is missing, and giving it.

use slipway_core::names::{Digest, LaneId, RolloutId};
use slipway_core::rollout::gates::{self, Gate};
use slipway_core::rollout::{Asked, Lane, RolloutKind, Today, commands, plan};
use slipway_core::units::Millis;

use super::Control;
use crate::by::By;
use crate::compare::Compared;
use crate::error::Error;
use crate::pinging::LATELY;
use crate::views::GatesNow;

impl Control {
    /// How the gates of a lane stand: for the release that waits at them, or for the next one if it declares what stable
    /// does.
    pub async fn gates(&self, lane: &LaneId) -> Result<GatesNow, Error> {
        let kept = self.existing(lane).await?;
        let waiting =
            kept.queue.iter().find(|asked| matches!(asked.kind, RolloutKind::Release | RolloutKind::Contract));
        let asked = match (waiting, &kept.stable, &kept.open) {
            (Some(asked), _, _) => asked.clone(),
            (None, Some(stable), _) => self.hypothetical(&kept, stable.clone()),
            (None, None, Some(open)) => self.hypothetical(&kept, open.release.clone()),
            (None, None, None) => return Err(Error::NotFound(format!("nothing was ever released to {lane}"))),
        };
        let waiting = waiting.is_some();
        self.reach_hooks(&kept, &asked.release, LATELY).await;
        Ok(self.gates_of(kept, asked, waiting))
    }

    /// The same for one release that waits.
    pub async fn gates_of_rollout(&self, id: &RolloutId) -> Result<GatesNow, Error> {
        let (lane, asked) = self.waiting(id).await?;
        self.reach_hooks(&lane, &asked.release, LATELY).await;
        Ok(self.gates_of(lane, asked, true))
    }

    /// Gives a person's word for a release that waits. `shown` is the seal of what they were shown.
    pub async fn approve(&self, id: &RolloutId, shown: &Digest, by: &By) -> Result<(), Error> {
        let (lane, asked) = self.waiting(id).await?;
        self.reach_hooks(&lane, &asked.release, Millis(0)).await;
        let (engine, id, by, shown) = (self.engine.clone(), id.clone(), by.actor.clone(), shown.clone());
        self.wish(&lane.id, move |turn, now| {
            let (seen, _) = engine.observe(&turn.lane, now);
            commands::approve(turn, &id, &by, &shown, &seen, now)
        })
        .await
    }

    async fn waiting(&self, id: &RolloutId) -> Result<(std::sync::Arc<Lane>, Asked), Error> {
        for lane in self.engine.lanes() {
            let Some(lane) = self.engine.lane(&lane).await? else { continue };
            if let Some(asked) = lane.queue.iter().find(|asked| asked.id == *id).cloned() {
                return Ok((lane, asked));
            }
        }
        match self.rollout(id).await? {
            Some(_) => Err(Error::Refused(slipway_core::rollout::Refusal {
                code: "not_waiting",
                reason: format!("{id} does not wait for anybody's word"),
            })),
            None => Err(Error::NotFound(format!("there is no rollout {id}"))),
        }
    }

    fn gates_of(&self, lane: std::sync::Arc<Lane>, asked: Asked, waiting: bool) -> GatesNow {
        let now = self.now();
        let (seen, _) = self.engine.observe(&lane, now);
        let mut gates: Vec<Gate> = gates::of(&lane, &asked, &seen, now);
        if !waiting {
            // Nobody has asked yet: there is no id to approve.
            let word = gates.iter_mut().filter(|gate| gate.name == "approvals");
            word.for_each(|gate| gate.remedy = Some("every release waits for it".to_string()));
        }
        let today = Today::of(&lane, &seen.evidence);
        let watchers = gates::watchers(&lane, &asked);
        let word = gates::word(&lane, &asked);
        let counting = word.iter().flat_map(|word| gates::counting(&lane, &asked, word, now));
        let counting = counting.map(|approval| approval.by.clone()).collect();
        // A contract changes nothing of the version: its plan says what it does.
        let stable = lane.stable.clone().filter(|_| asked.kind != RolloutKind::Contract);
        GatesNow {
            seal: gates::seal(&lane, &asked),
            plan: plan(&lane, asked.kind, &asked.release, &asked.strategy, &today),
            lane: lane.id.clone(),
            gates,
            changes: stable.map(|stable| Compared::of(stable, asked.release.clone())),
            watchers,
            word,
            counting,
            asked,
            waiting,
        }
    }

    pub(crate) fn hypothetical(&self, lane: &Lane, release: slipway_core::rollout::Release) -> Asked {
        let strategy = release.environment(&lane.id).map(|e| e.strategy.clone()).unwrap_or_default();
        Asked {
            id: RolloutId::numbered(0),
            kind: RolloutKind::Release,
            release,
            strategy,
            actor: "nobody".to_string(),
            key: None,
            at: self.now(),
            overriding: None,
            approvals: Vec::new(),
        }
    }
}
