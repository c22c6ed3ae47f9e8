//! What is noted of lanes, artifacts and hooks for whoever looks at all of them.

use slipway_core::instance::InstanceStatus;
use slipway_core::names::{Digest, LaneId, ServiceName};
use slipway_core::rollout::{Lane, Serving};
use slipway_core::spec::Hook;
use slipway_core::traffic::Match;
use slipway_core::units::{Millis, Timestamp};

use crate::engine::Engine;
use crate::engine::lanes::coming;

impl Engine {
    /// Notes what others need to know of a lane: what it serves, whether it is in trouble, whose an outcome is.
    pub fn note_serving(&self, lane: &Lane) {
        self.ledger().follow(lane, self.clock.now());
        self.note_claims(&lane.id, Some(lane));
        let mut seen = self.seen();
        seen.house(&lane.id, lane.slots.iter().map(|slot| slot.id.clone()).collect());
        let serving = lane.stable_version().map(|v| Serving { version: v.clone(), since: lane.deployed_at });
        if seen.serving.get(&lane.id) != serving.as_ref() {
            match serving {
                Some(serving) => seen.serving.insert(lane.id.clone(), serving),
                None => seen.serving.remove(&lane.id),
            }
        }
        match lane.watching.incident {
            Some(_) => seen.incidents.insert(lane.id.clone()),
            None => seen.incidents.remove(&lane.id),
        };
        match lane.schema.owed.is_empty() {
            false => seen.owing.insert(lane.id.clone()),
            true => seen.owing.remove(&lane.id),
        };
        match lane.open.is_some() {
            true => seen.rolling.insert(lane.id.clone()),
            false => seen.rolling.remove(&lane.id),
        };
        match lane.drill_policy().is_some() {
            true => seen.drilled.insert(lane.id.clone()),
            false => seen.drilled.remove(&lane.id),
        };
    }

    /// Notes what a lane claims once what is open or waits in it serves, so that whoever asks for it waits for no turn of it.
    pub fn note_claims(&self, id: &LaneId, lane: Option<&Lane>) {
        let claims = lane.map(coming).unwrap_or_default();
        let mut seen = self.seen();
        seen.claims.put(id, Some(&claims));
        seen.unknown.remove(id);
    }

    /// Only a look at a lane tells what it claims: it is new, or what was decided last may be kept or not.
    pub fn doubt_claims(&self, id: &LaneId) {
        let mut seen = self.seen();
        seen.claims.put(id, None);
        seen.unknown.insert(id.clone());
    }

    /// A lane of another service that was noted to claim one of `wanted`, and which; and the lanes that have to be looked at.
    pub(in crate::engine) fn noted_claim(
        &self,
        service: &ServiceName,
        wanted: &[Match],
    ) -> (Option<(LaneId, String)>, Vec<LaneId>) {
        let seen = self.seen();
        let unknown = seen.unknown.iter().filter(|id| id.service != *service);
        (seen.claims.claimed(service, wanted), unknown.cloned().collect())
    }

    /// Lanes that owe a contract.
    pub fn owing(&self) -> Vec<LaneId> {
        self.seen().owing.iter().cloned().collect()
    }

    /// Lanes whose drills come by themselves.
    pub fn drilled(&self) -> Vec<LaneId> {
        self.seen().drilled.iter().cloned().collect()
    }

    /// Lanes in which an incident is open.
    pub fn incidents(&self) -> Vec<LaneId> {
        self.seen().incidents.iter().cloned().collect()
    }

    /// Instances as the target last showed them.
    pub fn instances(&self) -> Vec<InstanceStatus> {
        self.seen().instances.values().cloned().collect()
    }

    /// Notes whether an artifact is here.
    pub async fn look_for_artifact(&self, digest: &Digest) -> bool {
        let here = self.artifacts.path(digest).await.is_some();
        let mut seen = self.seen();
        match here {
            true if !seen.artifacts.contains(digest) => seen.artifacts.insert(digest.clone(), ()),
            true => {}
            false => seen.artifacts.remove(digest),
        }
        here
    }

    /// Notes whether a hook could be told the last time, and why not.
    pub fn note_hook(&self, lane: &LaneId, name: &str, came_of: Result<(), &str>) {
        let mut seen = self.seen();
        let hooks = seen.silent_hooks.entry(lane.clone()).or_default();
        match came_of {
            Ok(()) => drop(hooks.remove(name)),
            Err(why) => drop(hooks.insert(name.to_string(), why.to_string())),
        }
    }

    /// Whether a hook is to be pinged at `now`, which is noted: not where that was done within `age`.
    pub fn begin_ping(&self, lane: &LaneId, hook: &Hook, age: Millis, now: Timestamp) -> bool {
        let mut seen = self.seen();
        let pinged = seen.pinged.entry(lane.clone()).or_default();
        if pinged.iter().any(|(before, at)| before == hook && now.since(*at) < age) {
            return false;
        }
        pinged.retain(|(before, _)| before.name != hook.name);
        pinged.push((hook.clone(), now));
        true
    }
}
