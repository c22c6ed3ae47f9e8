//! From a lane to its route: what every gateway should serve of it.

use super::bounds;
use super::faults;
use super::lane::{Lane, Release};
use super::mirroring;
use crate::instance::{InstanceState, InstanceStatus};
use crate::names::VersionName;
use crate::spec::{Bad, HealthCheck, HealthProbe, Objective, ServiceSpec};
use crate::traffic::{Check, Counted, CountedBad, Endpoint, Limits, Match, Role, Route, Sticky, VersionRoute};
use crate::units::Millis;

/// How long gateways serve a split that is at stake without hearing from a control plane.
pub const LEASE: Millis = Millis::from_secs(15);

/// The route that a lane asks for; `None` before its first version serves, and for workers.
pub fn route_of(lane: &Lane) -> Option<Route> {
    if lane.is_worker() {
        return None;
    }
    let routing = lane.routing.as_ref()?;
    let stable = lane.stable_version();
    let release = lane.stable.as_ref().or(lane.open.as_ref().map(|r| &r.release))?;
    let mut versions: Vec<&VersionName> = routing.split.shares().iter().map(|s| &s.version).collect();
    versions.extend(routing.fallback.iter().flat_map(|f| f.shares()).map(|s| &s.version));
    // Stable stays in the route, so that it can take over where a candidate has nobody left.
    versions.extend(routing.cohorts.iter().map(|cohort| &cohort.to));
    let mirror = mirroring::in_force(lane);
    versions.extend(mirror.as_ref().map(|mirror| &mirror.to));
    versions.extend(stable);
    versions.sort();
    versions.dedup();
    let sole = stable.is_none();
    Some(Route {
        service: lane.id.service.clone(),
        environment: lane.id.environment.clone(),
        matches: claims(lane, release),
        epoch: routing.epoch,
        split: routing.split.clone(),
        fallback: routing.fallback.clone(),
        lease: routing.fallback.as_ref().map(|_| LEASE),
        salt: routing.salt.clone(),
        cohorts: routing.cohorts.clone(),
        sticky: Sticky {
            cookie: release.spec.traffic.sticky_cookie.clone(),
            header: release.spec.traffic.sticky_header.clone(),
        },
        versions: versions.iter().copied().map(|v| endpoints(lane, v, sole || Some(v) == stable)).collect(),
        objectives: counted(lane, objectives(lane, release)),
        limits: limits(&release.spec),
        maintenance: lane.maintenance.clone(),
        faults: faults::in_force(lane, &versions),
        mirror: mirror.clone(),
    })
}

/// The same with those endpoints only that the target still shows: as kept, they may be of another boot of the machine.
pub fn route_now(lane: &Lane, instances: &[InstanceStatus]) -> Option<Route> {
    let mut lane = lane.clone();
    for slot in &mut lane.slots {
        let is_there = |e: &Endpoint| {
            let same = |i: &&InstanceStatus| i.id == e.instance && i.incarnation == e.incarnation;
            instances
                .iter()
                .find(same)
                .is_some_and(|i| i.state == InstanceState::Running && i.address.as_ref() == Some(&e.address))
        };
        slot.ready = slot.ready.take().filter(is_there);
    }
    route_of(&lane)
}

fn objectives<'a>(lane: &'a Lane, release: &'a Release) -> &'a ServiceSpec {
    lane.counts_by().map_or(&release.spec, |open| &open.release.spec)
}

fn endpoints(lane: &Lane, version: &VersionName, stable: bool) -> VersionRoute {
    let release = lane.release(version);
    VersionRoute {
        version: version.clone(),
        role: if stable { Role::Stable } else { Role::Candidate },
        endpoints: lane.wanted(version).filter_map(|s| s.ready.clone()).collect(),
        protocol: release.map(|release| release.spec.traffic.protocol).unwrap_or_default(),
        health: release.and_then(|release| check(&release.spec.health)),
    }
}

/// What a gateway can ask by itself; a command runs where the instances do.
fn check(declared: &HealthCheck) -> Option<Check> {
    let path = match &declared.probe {
        HealthProbe::Http(path) => Some(path.clone()),
        HealthProbe::Tcp => None,
        HealthProbe::Command(_) | HealthProbe::Running(_) => return None,
    };
    let HealthCheck { interval, timeout, healthy_after, unhealthy_after, .. } = *declared;
    Some(Check { path, interval, timeout, healthy_after, unhealthy_after })
}

pub(super) fn counted(lane: &Lane, spec: &ServiceSpec) -> Vec<Counted> {
    let bad = |o: &Objective| match &o.bad {
        Bad::Failed => Some(CountedBad::Failed),
        Bad::SlowerThan(bound) => Some(CountedBad::SlowerThan(*bound)),
        Bad::SlowerThanStable { .. } => bounds::of(lane, o)?.bound_us.map(CountedBad::SlowerThanUs),
        Bad::Outcome { .. } | Bad::Missing { .. } => None,
    };
    spec.objectives.iter().filter_map(|o| Some(Counted { name: o.name.clone(), bad: bad(o)? })).collect()
}

fn limits(spec: &ServiceSpec) -> Limits {
    let traffic = &spec.traffic;
    Limits {
        response: traffic.timeout,
        drain: traffic.drain,
        drain_long: traffic.drain_long,
        body_bytes: traffic.max_body,
    }
}

/// The hosts and paths that a release of a lane's service claims. Where environments share a host on one gateway, the
/// one that is declared last and serves has it; each environment can always be reached as `environment.host`.
pub fn claims(lane: &Lane, release: &Release) -> Vec<Match> {
    if release.spec.is_worker() {
        return Vec::new();
    }
    let (rank, environment) = match release.spec.environment(&lane.id.environment) {
        Some((place, environment)) => (place as u32, Some(environment)),
        None => (0, None),
    };
    let overlay = environment.and_then(|e| e.traffic.as_ref());
    let own_host = overlay.and_then(|o| o.host.clone());
    let host = own_host.clone().or_else(|| release.spec.traffic.host.clone());
    let path = overlay.and_then(|o| o.path.clone()).unwrap_or_else(|| release.spec.traffic.path.clone());
    let mut matches = vec![Match { host: host.clone(), path: path.clone(), rank }];
    if let (Some(host), None) = (host, own_host) {
        let qualified = format!("{}.{host}", lane.id.environment.as_str().to_ascii_lowercase());
        matches.push(Match { host: Some(qualified), path, rank });
    }
    matches
}
