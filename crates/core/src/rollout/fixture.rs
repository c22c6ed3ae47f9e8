//! Lanes for the planner's own tests, made of a declared file and not of a story.

use super::begin::open;
use super::lane::{Asked, Lane, Release, Slot, SlotState};
use super::model::RolloutKind;
use super::plan::plan;
use crate::names::{Digest, InstanceId, LaneId, RolloutId};
use crate::spec;
use crate::traffic::Endpoint;
use crate::units::Timestamp;

/// A shop with two instances, blue-green, for what does not depend on how it is released.
pub(super) const SHOP: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: / }
environments:
  production: { instances: 2, strategy: { blue-green: {} } }
";

fn release(file: &str, version: &str) -> Release {
    let spec = spec::parse(file).unwrap().spec;
    let config = spec::config_digest(&spec);
    Release { version: version.parse().unwrap(), artifact: Digest::of(b"shop"), config, spec }
}

/// 1 serves in production, and 2 is being rolled out by `file`: at the step of this name. There are no instances.
pub(super) fn at_step(file: &str, name: &str) -> Lane {
    let mut lane = serving(file);
    let release = release(file, "2");
    let strategy = release.environment(&lane.id).unwrap().strategy.clone();
    let plan = plan(&lane, RolloutKind::Release, &release, &strategy, &Default::default());
    let mut rollout = open(&lane, asked(file, 1), plan, Timestamp(0));
    let names: Vec<&str> = rollout.plan.steps.iter().map(|step| step.name.as_str()).collect();
    rollout.step = names.iter().position(|step| *step == name).unwrap_or_else(|| panic!("{name}: {names:?}"));
    rollout.steps[rollout.step].began_at = Some(Timestamp(0));
    lane.open = Some(rollout);
    lane
}

/// 1 serves in production by `file`, and nothing is being rolled out. There are no instances.
pub(super) fn serving(file: &str) -> Lane {
    let release = release(file, "1");
    let id = LaneId { service: release.spec.service.clone(), environment: "production".parse().unwrap() };
    Lane { stable: Some(release), ..Lane::new(id) }
}

/// The wish to release 2 to production by `file`.
pub(super) fn asked(file: &str, number: u64) -> Asked {
    let lane = serving(file);
    let release = release(file, "2");
    let strategy = release.environment(&lane.id).unwrap().strategy.clone();
    Asked {
        id: RolloutId::numbered(number),
        kind: RolloutKind::Release,
        release,
        strategy,
        actor: "user:test".into(),
        key: None,
        at: Timestamp(0),
        overriding: None,
        approvals: Vec::new(),
    }
}

/// An instance that is to stay.
pub(super) fn slot(lane: &Lane, number: u64, version: &str, ready: bool) -> Slot {
    let id = InstanceId::numbered(&lane.id.service, &lane.id.environment, number);
    let endpoint = Endpoint { instance: id.clone(), incarnation: 1, address: ([127, 0, 0, 1], 1).into() };
    Slot {
        id,
        version: version.parse().unwrap(),
        state: SlotState::Wanted,
        since: Timestamp(0),
        started: false,
        ready: ready.then_some(endpoint),
        smoke: None,
        running: None,
        exits: 0,
        unhealthy_since: None,
        replace: false,
    }
}
