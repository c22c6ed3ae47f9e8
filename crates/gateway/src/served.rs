//! What is served at an instant: the table with everything that hangs on it, swapped whole, never changed in place.
//!
//! Built from a routing table, the lapses and what was served before; instances that stand in both keep their
//! connections. Chooses an instance for a request. Decides no weight.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

use tokio_util::sync::CancellationToken;

use slipway_core::names::{LaneId, VersionName};
use slipway_core::traffic::{CohortRoute, Endpoint, Generation, Index, Role, Route, RoutingTable, Split, assign};
use slipway_core::units::Weight;

use crate::count::{Counts, VersionCounts};
use crate::lease::Leases;
use crate::upstream::Upstream;

/// What is served at an instant.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// Grows with every swap, also where the table stays and only a lease ran out.
    pub(crate) sequence: u64,
    /// The table; `None` before the first.
    pub(crate) table: Option<Arc<RoutingTable>>,
    /// One for each route of the table, in its order.
    pub(crate) routes: Vec<Arc<RouteState>>,
    index: Arc<Index>,
}

/// A route and what hangs on it.
#[derive(Debug)]
pub(crate) struct RouteState {
    /// As it stands in the table.
    pub(crate) route: Arc<Route>,
    /// Whose it is.
    pub(crate) lane: LaneId,
    /// The split in force: the route's own, or its fall-back where the lease ran out.
    pub(crate) split: Split,
    /// Whether the fall-back is in force.
    pub(crate) lapsed: bool,
    /// The versions, in the table's order.
    pub(crate) versions: Vec<VersionState>,
    /// Cohorts that go to a version of their own; none where the fall-back is in force.
    pub(crate) cohorts: Vec<CohortState>,
}

/// A cohort that goes to a version of its own.
#[derive(Debug)]
pub(crate) struct CohortState {
    /// As it stands in the table.
    pub(crate) route: CohortRoute,
    /// The place of the version that it goes to.
    to: usize,
    /// Its counts at each version, in the order of the route's.
    counts: Vec<Arc<VersionCounts>>,
}

/// A version of a route.
#[derive(Debug)]
pub(crate) struct VersionState {
    /// Its name.
    pub(crate) name: VersionName,
    /// Stable or candidate.
    pub(crate) role: Role,
    /// Its share of the split in force.
    pub(crate) weight: Weight,
    /// Whether anybody goes to it: by its share, or as one of a cohort.
    pub(crate) reached: bool,
    /// Its instances.
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// Its counts in the route's epoch.
    pub(crate) counts: Arc<VersionCounts>,
    /// Its counts over all epochs.
    pub(crate) lifetime: Arc<VersionCounts>,
    /// Set when a candidate lost its last usable instance: it gets nothing more in this epoch, since its failure is
    /// being acted on and its users should not be sent back and forth meanwhile.
    pub(crate) lost: Arc<AtomicBool>,
    turn: AtomicUsize,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) struct Pick {
    /// The route.
    pub(crate) route: Arc<RouteState>,
    /// The version that its key is assigned to.
    pub(crate) assigned: usize,
    /// The version that it goes to.
    pub(crate) version: usize,
    /// The instance.
    pub(crate) upstream: Arc<Upstream>,
    /// The cohort as one of which it goes there, by its place in the route.
    pub(crate) cohort: Option<usize>,
}

impl Pick {
    /// What an attempt counts for.
    pub(crate) fn counts(&self) -> &VersionCounts {
        self.route.counts(self.cohort, self.version)
    }

    /// The version that it goes to.
    pub(crate) fn version(&self) -> &VersionState {
        &self.route.versions[self.version]
    }
}

impl Served {
    /// What is served once `table` is in force, after `before`.
    pub(crate) fn build(
        table: Arc<RoutingTable>,
        leases: &Leases,
        before: &Served,
        counts: &Counts,
        stopped: &CancellationToken,
    ) -> Served {
        let by_lane: LazyCell<HashMap<_, _>, _> =
            LazyCell::new(|| before.routes.iter().map(|r| ((&r.lane.service, &r.lane.environment), r)).collect());
        let routes = table.routes.iter().enumerate().map(|(place, route)| {
            let unmoved = before.routes.get(place).filter(|earlier| Arc::ptr_eq(&earlier.route, route));
            let earlier = unmoved.or_else(|| by_lane.get(&(&route.service, &route.environment)).copied());
            let lapsed = route.fallback.is_some() && leases.is_lapsed(&route.lane(), route.epoch);
            match earlier {
                Some(same) if Arc::ptr_eq(&same.route, route) && same.lapsed == lapsed => same.clone(),
                _ => Arc::new(RouteState::build(route, lapsed, earlier.map(|e| &**e), counts, stopped)),
            }
        });
        let routes = routes.collect();
        let index = match &before.table {
            Some(earlier) if Index::holds(&earlier.routes, &table.routes) => before.index.clone(),
            _ => Arc::new(Index::of(&table.routes)),
        };
        Served { sequence: before.sequence + 1, table: Some(table), routes, index }
    }

    /// The table's generation; zero before the first.
    pub(crate) fn generation(&self) -> Generation {
        self.table.as_ref().map_or(Generation(0), |t| t.generation)
    }

    /// The route that a host and path belong to.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<&Arc<RouteState>> {
        let table = self.table.as_ref()?;
        self.routes.get(self.index.find(&table.routes, host, path)?)
    }

    /// The route of a lane.
    pub(crate) fn route(&self, lane: &LaneId) -> Option<&Arc<RouteState>> {
        self.routes.iter().find(|r| r.lane == *lane)
    }

    /// Every instance of the table.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.routes.iter().flat_map(|r| &r.versions).flat_map(|v| &v.upstreams)
    }
}

impl RouteState {
    /// A route that was `earlier` before, in what is served.
    fn build(
        route: &Arc<Route>,
        lapsed: bool,
        earlier: Option<&RouteState>,
        counts: &Counts,
        stopped: &CancellationToken,
    ) -> RouteState {
        let lane = route.lane();
        let split = route.fallback.as_ref().filter(|_| lapsed).unwrap_or(&route.split).clone();
        let in_force = |_: &&CohortRoute| !lapsed;
        let versions = route.versions.iter().map(|v| {
            let known = earlier.and_then(|e| e.version(&v.version));
            let upstream = |endpoint: &Endpoint| {
                let known = known.and_then(|known| known.upstreams.iter().find(|u| u.endpoint == *endpoint));
                known.cloned().unwrap_or_else(|| {
                    Arc::new(Upstream::new(lane.clone(), v.version.clone(), endpoint.clone(), v.protocol, stopped))
                })
            };
            let was = known.filter(|_| earlier.is_some_and(|e| e.route.epoch == route.epoch));
            VersionState {
                name: v.version.clone(),
                role: v.role,
                weight: split.weight(&v.version),
                reached: split.weight(&v.version) > Weight::ZERO
                    || route.cohorts.iter().filter(in_force).any(|c| c.to == v.version),
                upstreams: v.endpoints.iter().map(upstream).collect(),
                counts: counts.version(&lane, route.epoch, &v.version, &route.objectives),
                lifetime: counts.lifetime(&lane, &v.version),
                // Without instances it was not lost but never there; they may still come.
                lost: was.filter(|w| !w.upstreams.is_empty()).map(|w| w.lost.clone()).unwrap_or_default(),
                turn: AtomicUsize::new(0),
            }
        });
        let versions: Vec<VersionState> = versions.collect();
        let cohort = |cohort: &CohortRoute| {
            let to = versions.iter().position(|v| v.name == cohort.to)?;
            let count = |v: &VersionState| counts.cohort(&lane, route.epoch, &v.name, &cohort.name, &route.objectives);
            Some(CohortState { route: cohort.clone(), to, counts: versions.iter().map(count).collect() })
        };
        let cohorts = route.cohorts.iter().filter(in_force).filter_map(cohort).collect();
        RouteState { route: route.clone(), lane, split, lapsed, versions, cohorts }
    }

    /// The version named so.
    pub(crate) fn version(&self, name: &VersionName) -> Option<&VersionState> {
        self.versions.iter().find(|v| v.name == *name)
    }

    /// The place of a cohort that goes to a version of its own now.
    pub(crate) fn cohort(&self, name: &str) -> Option<usize> {
        self.cohorts.iter().position(|cohort| cohort.route.name == name)
    }

    /// What requests of a cohort, or of everybody else, count for at a version.
    pub(crate) fn counts(&self, cohort: Option<usize>, version: usize) -> &VersionCounts {
        let apart = cohort.and_then(|place| self.cohorts.get(place)).and_then(|cohort| cohort.counts.get(version));
        apart.unwrap_or(&self.versions[version].counts)
    }

    /// An instance for `key` that is not among `tried`: of the version that it is assigned to; where that has none,
    /// of stable; where stable has none, of whichever has a share. Otherwise the assigned version alone.
    pub(crate) fn choose(
        self: &Arc<Self>,
        key: &str,
        cohort: Option<usize>,
        tried: &[Arc<Upstream>],
    ) -> Result<Pick, usize> {
        let assigned = match cohort.and_then(|place| self.cohorts.get(place)) {
            Some(cohort) => cohort.to,
            None => {
                let (name, _) = assign(&self.split, &self.route.salt, key);
                self.versions.iter().position(|v| v.name == *name).unwrap_or_default()
            }
        };
        let all = 0..self.versions.len();
        let stable = all.clone().filter(|i| self.versions[*i].role == Role::Stable);
        let others = all.filter(|i| self.versions[*i].weight > Weight::ZERO);
        let lost = self.versions[assigned].lost.load(Acquire);
        // A lost candidate whose instances are back is still better than an error.
        for index in (!lost).then_some(assigned).into_iter().chain(stable).chain(others) {
            if let Some(upstream) = self.versions[index].pick(tried) {
                return Ok(Pick { route: self.clone(), assigned, version: index, upstream, cohort });
            }
        }
        Err(assigned)
    }
}

impl VersionState {
    /// The least busy usable instance, in turn where several are.
    fn pick(&self, tried: &[Arc<Upstream>]) -> Option<Arc<Upstream>> {
        let turn = self.turn.fetch_add(1, Relaxed);
        let all = self.upstreams.len();
        let ignore_ejections = self.role == Role::Stable && self.usable() < self.must_keep();
        let in_turn = (0..all).map(|i| &self.upstreams[(turn + i) % all]);
        let usable = in_turn.filter(|u| ignore_ejections || !u.is_out());
        let untried = usable.filter(|u| !tried.iter().any(|t| Arc::ptr_eq(t, u)));
        untried.min_by_key(|u| u.in_flight()).cloned()
    }

    /// Instances that are not ejected.
    pub(crate) fn usable(&self) -> usize {
        self.upstreams.iter().filter(|u| !u.is_out()).count()
    }

    /// How many instances ejection must leave: half of stable's, rounded up; none of a candidate's.
    pub(crate) fn must_keep(&self) -> usize {
        match self.role {
            Role::Stable => self.upstreams.len().div_ceil(2),
            Role::Candidate => 0,
        }
    }
}
