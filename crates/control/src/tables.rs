//! The routing tables of this control plane: one route for each lane, numbered, handed out, and kept until every
//! gateway has a later one. Lives in memory: what it holds follows from the lanes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_core::names::LaneId;
use slipway_core::rollout::Confirmed;
use slipway_core::traffic::{Generation, Route, RoutingTable};
use slipway_core::units::Millis;

use crate::ports::{GatewayView, Router};

/// Tables that are remembered for gateways that have not acknowledged a later one.
const REMEMBERED: usize = 256;

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
    routes: BTreeMap<LaneId, Route>,
    recent: VecDeque<Arc<RoutingTable>>,
}

impl Tables {
    /// Tables numbered after the `start`th start of a control plane.
    pub fn new(router: Arc<dyn Router>, start: u64) -> Tables {
        let state = State { start, count: 0, open: false, routes: BTreeMap::new(), recent: VecDeque::new() };
        Tables { router, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a lane's route and publishes a table if that changes anything.
    pub fn put(&self, lane: &LaneId, route: Option<Route>) {
        let mut state = self.lock();
        let same = state.routes.get(lane) == route.as_ref();
        match route {
            Some(route) => drop(state.routes.insert(lane.clone(), route)),
            None => drop(state.routes.remove(lane)),
        }
        if !same && state.open {
            state.publish(&*self.router);
        }
    }

    /// Begins to publish: every lane's route has been put.
    pub fn open(&self) {
        let mut state = self.lock();
        state.open = true;
        state.publish(&*self.router);
    }

    /// Renews the leases of the newest table.
    pub fn renew(&self, term: Millis) {
        let newest = self.lock().recent.back().map(|t| t.generation);
        if let Some(generation) = newest {
            self.router.renew(generation, term);
        }
    }

    /// What gateways have acknowledged of a lane; `None` while one of them cannot be asked or serves a table that
    /// this control plane did not make.
    pub fn confirmed(&self, lane: &LaneId, gateways: &[GatewayView]) -> Option<Confirmed> {
        if gateways.is_empty() || gateways.iter().any(|g| !g.connected) {
            return None;
        }
        let state = self.lock();
        let wanted = state.routes.get(lane);
        let mut confirmed = Confirmed { routes: Vec::new(), newest: true };
        for gateway in gateways {
            let table = state.recent.iter().rev().find(|t| t.generation == gateway.acked)?;
            let is_its = |r: &&Route| r.service == lane.service && r.environment == lane.environment;
            let route = table.routes.iter().find(is_its);
            confirmed.newest &= route == wanted;
            match route {
                Some(route) if !confirmed.routes.contains(route) => confirmed.routes.push(route.clone()),
                _ => {}
            }
        }
        Some(confirmed)
    }

    /// A lane other than `lane` whose route claims one of `matches`, and the match.
    pub fn claimed(&self, lane: &LaneId, matches: &[slipway_core::traffic::Match]) -> Option<(LaneId, String)> {
        let state = self.lock();
        let others = state.routes.iter().filter(|(id, _)| id.service != lane.service);
        for (id, route) in others {
            for theirs in &route.matches {
                if let Some(ours) = matches.iter().find(|m| m.host == theirs.host && m.path == theirs.path) {
                    let host = ours.host.as_deref().unwrap_or("any host");
                    return Some((id.clone(), format!("{host}{}", ours.path)));
                }
            }
        }
        None
    }
}

impl State {
    fn publish(&mut self, router: &dyn Router) {
        self.count += 1;
        let generation = Generation((self.start << 40) | self.count);
        let table = RoutingTable { generation, routes: self.routes.values().cloned().collect() };
        self.recent.push_back(Arc::new(table.clone()));
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        router.publish(table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::FakeRouter;
    use slipway_core::traffic::{Epoch, Limits, Match, Split, Sticky};

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
        let mut gateway =
            GatewayView { name: "g".into(), connected: true, acked: newest, lapsed: Vec::new(), in_flight: None };
        let confirmed = tables.confirmed(&a.lane(), std::slice::from_ref(&gateway));
        assert!(confirmed.is_some_and(|c| c.newest && c.serves(Epoch(7)) && !c.serves(Epoch(8))));
        gateway.connected = false;
        assert_eq!(tables.confirmed(&a.lane(), &[gateway.clone()]), None);
        gateway.connected = true;
        gateway.acked = Generation(99);
        assert_eq!(tables.confirmed(&a.lane(), &[gateway]), None);
        assert_eq!(tables.confirmed(&a.lane(), &[]), None);
    }
}
