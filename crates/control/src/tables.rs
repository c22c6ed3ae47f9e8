//! The routing tables of this control plane: one route for each lane, numbered, handed out, and kept until every
//! gateway has a later one. Lives in memory: what it holds follows from the lanes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_core::names::{InstanceId, LaneId};
use slipway_core::rollout::Confirmed;
use slipway_core::traffic::{Generation, Match, Route, RoutingTable};
use slipway_core::units::Millis;

use crate::places::Places;
use crate::ports::{GatewayView, Router};

/// Numbers of what a start makes stand in so many bits below the number of the start.
pub(crate) const START_BITS: u32 = 40;
/// Changes that are remembered for gateways that have not acknowledged a later table.
const REMEMBERED: usize = 4096;

/// Composes and publishes routing tables.
pub struct Tables {
    router: Arc<dyn Router>,
    state: Mutex<State>,
}

struct State {
    /// The upper bits of every generation: the number of this control plane's start.
    start: u64,
    count: u64,
    /// Nothing is published before every lane is known, so that none is dropped by a restart.
    open: bool,
    routes: BTreeMap<LaneId, Arc<Route>>,
    /// What the routes claim.
    places: Places,
    /// What each of the last tables changed, oldest first; the newest is numbered `count`.
    changes: VecDeque<Change>,
}

/// What a table has that the one before it had not.
struct Change {
    /// Whose route; `None` in the first table, which has everybody's.
    lane: Option<LaneId>,
    /// The route that it had before.
    before: Option<Arc<Route>>,
}

impl Tables {
    /// Tables numbered after the `start`th start of a control plane.
    pub fn new(router: Arc<dyn Router>, start: u64) -> Tables {
        let (routes, places, changes) = (BTreeMap::new(), Places::default(), VecDeque::new());
        Tables { router, state: Mutex::new(State { start, count: 0, open: false, routes, places, changes }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a lane's route and publishes a table if that changes anything.
    pub fn put(&self, lane: &LaneId, route: Option<Route>) {
        let mut state = self.lock();
        if state.routes.get(lane).map(|known| &**known) == route.as_ref() {
            return;
        }
        state.places.put(lane, route.as_ref().map(|route| route.matches.as_slice()));
        let before = match route {
            Some(route) => state.routes.insert(lane.clone(), Arc::new(route)),
            None => state.routes.remove(lane),
        };
        if state.open {
            state.publish(&*self.router, Change { lane: Some(lane.clone()), before });
        }
    }

    /// Begins to publish: every lane's route has been put.
    pub fn open(&self) {
        let mut state = self.lock();
        state.open = true;
        state.publish(&*self.router, Change { lane: None, before: None });
    }

    /// Renews the leases of the newest table.
    pub fn renew(&self, term: Millis) {
        let state = self.lock();
        if state.open {
            self.router.renew(state.newest(), term);
        }
    }

    /// What gateways have acknowledged of a lane; `None` while one of them cannot be asked or serves a table that
    /// this control plane did not make.
    pub fn confirmed(&self, lane: &LaneId, gateways: &[GatewayView]) -> Option<Confirmed> {
        let mut counted = gateways.iter().filter(|g| g.counts()).peekable();
        counted.peek()?;
        let state = self.lock();
        let wanted = state.routes.get(lane);
        let mut confirmed = Confirmed { routes: Vec::new(), newest: true };
        for gateway in counted {
            if !gateway.connected {
                return None;
            }
            let later = state.after(gateway.acked)?;
            let changed = later.into_iter().find(|change| change.lane.as_ref() == Some(lane));
            let route = changed.map_or(wanted, |change| change.before.as_ref());
            confirmed.newest &= route == wanted;
            match route {
                Some(route) if !confirmed.routes.contains(route) => confirmed.routes.push(Route::clone(route)),
                _ => {}
            }
        }
        Some(confirmed)
    }

    /// Whether a lane's route falls back where nobody renews its lease.
    pub fn is_leased(&self, lane: &LaneId) -> bool {
        self.lock().routes.get(lane).is_some_and(|route| route.lease.is_some())
    }

    /// Whether a table is the newest.
    pub fn is_newest(&self, table: Generation) -> bool {
        self.lock().newest() == table
    }

    /// Every instance in the tables from one to another; `None` where one of them is not remembered, or not this control
    /// plane's.
    pub fn instances(&self, first: Generation, last: Generation) -> Option<BTreeSet<InstanceId>> {
        let state = self.lock();
        let later = state.after(first)?;
        let (between, after) = later.split_at(later.len().checked_sub(state.after(last)?.len())?);
        let mut of_last: BTreeMap<&LaneId, Option<&Arc<Route>>> =
            state.routes.iter().map(|(lane, route)| (lane, Some(route))).collect();
        for change in after.iter().rev() {
            of_last.extend(change.lane.iter().map(|lane| (lane, change.before.as_ref())));
        }
        let before = between.iter().filter_map(|change| change.before.as_ref());
        let routes = of_last.into_values().flatten().chain(before);
        let endpoints = routes.flat_map(|route| &route.versions).flat_map(|version| &version.endpoints);
        Some(endpoints.map(|endpoint| endpoint.instance.clone()).collect())
    }

    /// Lanes whose routes differ between two tables; `None` where one of them is not remembered, or not this control
    /// plane's.
    pub fn changed(&self, one: Generation, other: Generation) -> Option<Vec<LaneId>> {
        if one == other {
            return Some(Vec::new());
        }
        let state = self.lock();
        let between = state.after(one.min(other))?.len() - state.after(one.max(other))?.len();
        let changes = state.after(one.min(other))?.into_iter().take(between);
        Some(changes.filter_map(|change| change.lane.clone()).collect())
    }

    /// A lane of another service than `lane`'s whose route claims one of `matches`, and the match.
    pub fn claimed(&self, lane: &LaneId, matches: &[Match]) -> Option<(LaneId, String)> {
        self.lock().places.claimed(&lane.service, matches)
    }
}

impl State {
    fn newest(&self) -> Generation {
        Generation((self.start << START_BITS) | self.count)
    }

    /// What changed in the tables after one, oldest first; `None` where that is not remembered, or not this control plane's.
    fn after(&self, table: Generation) -> Option<Vec<&Change>> {
        let first = self.count - self.changes.len() as u64;
        let place = table.0.checked_sub((self.start << START_BITS) | first)?;
        let known = place > 0 || first > 0;
        (known && table <= self.newest()).then(|| self.changes.range(place as usize..).collect())
    }

    fn publish(&mut self, router: &dyn Router, change: Change) {
        self.count += 1;
        self.changes.push_back(change);
        if self.changes.len() > REMEMBERED {
            self.changes.pop_front();
        }
        let routes = self.routes.values().cloned().collect();
        router.publish(RoutingTable { generation: self.newest(), routes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::FakeRouter;
    use slipway_core::traffic::{Endpoint, Epoch, Limits, Match, Role, Split, Sticky, VersionRoute};
    use slipway_core::units::Timestamp;

    fn route(service: &str, epoch: u64) -> Route {
        let version: slipway_core::names::VersionName = "1".parse().expect("a version");
        Route {
            service: service.parse().expect("a service"),
            environment: "production".parse().expect("an environment"),
            matches: vec![Match { host: Some(format!("{service}.local")), path: "/".into(), rank: 0 }],
            epoch: Epoch(epoch),
            split: Split::all(version),
            fallback: None,
            lease: None,
            salt: String::new(),
            sticky: Sticky::default(),
            versions: Vec::new(),
            cohorts: Vec::new(),
            maintenance: None,
            faults: Vec::new(),
            mirror: None,
            objectives: Vec::new(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn nothing_goes_out_before_every_lane_is_known() {
        let router = Arc::new(FakeRouter::default());
        let tables = Tables::new(router.clone(), 3);
        let (a, b) = (route("a", 1), route("b", 1));
        tables.put(&a.lane(), Some(a.clone()));
        tables.put(&b.lane(), Some(b));
        assert_eq!(router.published().len(), 0);
        tables.open();
        let published = router.published();
        assert_eq!(published.len(), 1);
        assert_eq!(published[0].routes.len(), 2);
        assert_eq!(published[0].generation, Generation((3 << 40) | 1));
        tables.put(&a.lane(), Some(a.clone()));
        assert_eq!(router.published().len(), 1, "an unchanged route is not published again");
    }

    #[test]
    fn a_lane_is_confirmed_only_by_gateways_that_can_be_asked() {
        let router = Arc::new(FakeRouter::default());
        let tables = Tables::new(router.clone(), 1);
        tables.open();
        let a = route("a", 7);
        tables.put(&a.lane(), Some(a.clone()));
        let newest = router.published().last().map(|t| t.generation).unwrap_or_default();
        let mut gateway = GatewayView { name: "g".into(), connected: true, acked: newest, ..GatewayView::default() };
        let confirmed = tables.confirmed(&a.lane(), std::slice::from_ref(&gateway));
        assert!(confirmed.is_some_and(|c| c.newest && c.serves(Epoch(7)) && !c.serves(Epoch(8))));
        gateway.connected = false;
        assert_eq!(tables.confirmed(&a.lane(), &[gateway.clone()]), None);
        let other = GatewayView { name: "h".into(), connected: true, ..gateway.clone() };
        assert_eq!(tables.confirmed(&a.lane(), &[gateway.clone(), other.clone()]), None, "it may still serve");
        for gone in [
            GatewayView { lost: Some(Timestamp(1)), ..gateway.clone() },
            GatewayView { ended: true, ..gateway.clone() },
        ] {
            assert!(tables.confirmed(&a.lane(), &[gone.clone(), other.clone()]).is_some_and(|c| c.newest), "{gone:?}");
            assert_eq!(tables.confirmed(&a.lane(), &[gone]), None, "nobody is left");
        }
        gateway.connected = true;
        gateway.acked = Generation(99);
        assert_eq!(tables.confirmed(&a.lane(), &[gateway]), None);
        assert_eq!(tables.confirmed(&a.lane(), &[]), None);
    }

    #[test]
    fn the_instances_of_a_stretch_of_tables_are_known() {
        let tables = Tables::new(Arc::new(FakeRouter::default()), 1);
        let id = |n: u64| -> InstanceId { format!("a-production-{n}").parse().expect("an id") };
        let with = |instances: &[u64]| {
            let endpoint = |n: &u64| Endpoint { instance: id(*n), incarnation: 1, address: ([127, 0, 0, 1], 1).into() };
            let endpoints = instances.iter().map(endpoint).collect();
            let version: slipway_core::names::VersionName = "1".parse().expect("a version");
            let versions = vec![VersionRoute {
                version,
                role: Role::Stable,
                endpoints,
                protocol: Default::default(),
                health: None,
            }];
            Some(Route { versions, ..route("a", 1) })
        };
        let lane = route("a", 1).lane();
        tables.put(&lane, with(&[1, 2]));
        tables.open();
        tables.put(&lane, with(&[2, 3]));
        tables.put(&route("b", 1).lane(), Some(route("b", 1)));
        tables.put(&lane, with(&[4]));
        let of = |first: u64, last: u64| -> Option<Vec<InstanceId>> {
            let number = |n| Generation((1 << 40) | n);
            tables.instances(number(first), number(last)).map(|ids| ids.into_iter().collect())
        };
        assert_eq!(of(1, 1), Some(vec![id(1), id(2)]));
        assert_eq!(of(1, 2), Some(vec![id(1), id(2), id(3)]));
        assert_eq!(of(2, 3), Some(vec![id(2), id(3)]));
        assert_eq!(of(4, 4), Some(vec![id(4)]));
        assert_eq!(of(3, 4), Some(vec![id(2), id(3), id(4)]));
        assert_eq!(of(0, 4), None, "there is none before the first");
        assert_eq!(of(4, 3), None);
    }

    #[test]
    fn what_a_gateway_serves_of_a_lane_is_known_while_it_lags_behind() {
        let router = Arc::new(FakeRouter::default());
        let tables = Tables::new(router.clone(), 2);
        let (a, b) = (|epoch| route("a", epoch), |epoch| route("b", epoch));
        let lane = a(1).lane();
        tables.put(&lane, Some(a(1)));
        tables.open();
        tables.put(&b(1).lane(), Some(b(1)));
        tables.put(&lane, Some(a(2)));
        tables.put(&b(1).lane(), None);
        let tables_of: Vec<RoutingTable> = router.published().clone();
        assert_eq!(tables_of.len(), 4);
        for table in &tables_of {
            let acked = table.generation;
            let gateway = GatewayView { name: "g".into(), connected: true, acked, ..GatewayView::default() };
            for lane in [a(1).lane(), b(1).lane()] {
                let confirmed = tables.confirmed(&lane, std::slice::from_ref(&gateway)).expect("its own table");
                let expected: Vec<Route> =
                    table.routes.iter().filter(|r| r.lane() == lane).map(|r| Route::clone(r)).collect();
                assert_eq!(confirmed.routes, expected, "{lane} in {acked:?}");
                let last = tables_of[3]
                    .routes
                    .iter()
                    .filter(|r| r.lane() == lane)
                    .map(|r| Route::clone(r))
                    .collect::<Vec<_>>();
                assert_eq!(confirmed.newest, expected == last, "{lane} in {acked:?}");
            }
        }
        let of = |one: usize, other: usize| tables.changed(tables_of[one].generation, tables_of[other].generation);
        assert_eq!(of(0, 0), Some(vec![]));
        assert_eq!(of(1, 2), Some(vec![lane.clone()]));
        assert_eq!(of(3, 0), Some(vec![b(1).lane(), lane, b(1).lane()]));
        assert_eq!(tables.changed(Generation(7), tables_of[0].generation), None, "another's table");
        assert_eq!(
            tables.changed(Generation(2 << 40), tables_of[0].generation),
            None,
            "there is none before the first"
        );
    }
}
