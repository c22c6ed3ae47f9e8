//! What a table has that an earlier one had not, and tables in parts: so that one more route costs the link
//! that route, however many there are.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::table::{Generation, Route, RoutingTable, shared};
use crate::names::{EnvironmentName, LaneId, ServiceName};

/// Routes that one part holds at most.
const ROUTES_IN_A_PART: usize = 64;

/// Routes and lanes that all parts of one change name at most.
pub const ROUTES_LIMIT: usize = 1 << 18;

/// A table as a change of an earlier one, or a whole one as a change of nothing; or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChange {
    /// The table that it changes; absent where nothing is left of any earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Generation>,
    /// The table that comes of it.
    pub generation: Generation,
    /// Routes that are new, or other than they were.
    #[serde(with = "shared")]
    pub routes: Vec<Arc<Route>>,
    /// Lanes that have no route any more. They go before the routes come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<LaneId>,
    /// Which part of the change this is, from zero: one that was lost on the way is missed.
    #[serde(default)]
    pub part: u32,
    /// Another part of the same change follows.
    #[serde(default)]
    pub more: bool,
}

impl TableChange {
    /// What makes `after` of `before`, or of nothing. Costs next to nothing where both have the same routes in the same
    /// order, as the tables of one control plane do.
    pub fn between(before: Option<&RoutingTable>, after: &RoutingTable) -> TableChange {
        let mut change = TableChange {
            from: before.map(|table| table.generation),
            generation: after.generation,
            routes: Vec::new(),
            gone: Vec::new(),
            part: 0,
            more: false,
        };
        let mut old = before.map_or(&[][..], |table| &table.routes).iter().peekable();
        for route in &after.routes {
            while let Some(gone) = old.next_if(|old| !Arc::ptr_eq(old, route) && lane(old) < lane(route)) {
                change.gone.push(gone.lane());
            }
            match old.next_if(|old| Arc::ptr_eq(old, route) || lane(old) == lane(route)) {
                Some(old) if old == route => {}
                _ => change.routes.push(route.clone()),
            }
        }
        change.gone.extend(old.map(|route| route.lane()));
        change
    }

    /// The table that comes of `earlier`, its routes in the order of their lanes; `None` where it is no change of that.
    pub fn apply(self, earlier: Option<&RoutingTable>) -> Option<RoutingTable> {
        let before = match self.from {
            Some(from) => &earlier.filter(|table| table.generation == from)?.routes[..],
            None => &[],
        };
        let gone = self.gone.iter().map(|gone| (&gone.service, &gone.environment));
        let other: HashSet<_> = gone.chain(self.routes.iter().map(|route| lane(route))).collect();
        let same = before.iter().filter(|route| !other.contains(&lane(route))).cloned();
        let mut routes: Vec<_> = same.chain(self.routes.iter().cloned()).collect();
        routes.sort_by(|a, b| lane(a).cmp(&lane(b)));
        if let Some(before) = earlier {
            share(&mut routes, &before.routes);
        }
        Some(RoutingTable { generation: self.generation, routes })
    }

    /// The lanes that are other after it.
    pub fn lanes(&self) -> Vec<LaneId> {
        self.routes.iter().map(|route| route.lane()).chain(self.gone.iter().cloned()).collect()
    }

    /// The same in parts that are no long messages.
    pub fn parts(mut self) -> Vec<TableChange> {
        let gone = std::mem::take(&mut self.gone);
        let part =
            |routes: &[Arc<Route>]| TableChange { routes: routes.to_vec(), gone: Vec::new(), more: true, ..self };
        let mut parts: Vec<_> = self.routes.chunks(ROUTES_IN_A_PART).map(part).collect();
        if parts.is_empty() {
            parts.push(part(&[]));
        }
        parts[0].gone = gone;
        for (number, part) in (0..).zip(&mut parts) {
            part.part = number;
        }
        parts.last_mut().into_iter().for_each(|last| last.more = false);
        parts
    }

    /// Takes in the part that follows; false where it does not follow, belongs to another change, or there are too many.
    pub fn join(&mut self, part: TableChange) -> bool {
        let follows = (part.from, part.generation, part.part) == (self.from, self.generation, self.part + 1);
        if !self.more || !follows {
            return false;
        }
        self.routes.extend(part.routes);
        self.gone.extend(part.gone);
        (self.part, self.more) = (part.part, part.more);
        self.routes.len() + self.gone.len() <= ROUTES_LIMIT
    }
}

/// Puts the earlier one in the place of every route that is the same as it. Both are in the order of their lanes.
fn share(routes: &mut [Arc<Route>], earlier: &[Arc<Route>]) {
    let mut earlier = earlier.iter().peekable();
    for route in routes {
        while earlier.next_if(|old| lane(old) < lane(route)).is_some() {}
        if let Some(same) = earlier.next_if(|old| *old == route) {
            *route = same.clone();
        }
    }
}

fn lane(route: &Route) -> (&ServiceName, &EnvironmentName) {
    (&route.service, &route.environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{Epoch, Limits, Split, Sticky};

    fn route(service: usize, epoch: u64) -> Arc<Route> {
        let version: crate::names::VersionName = "1".parse().unwrap();
        Arc::new(Route {
            service: format!("service-{service:04}").parse().unwrap(),
            environment: "production".parse().unwrap(),
            matches: Vec::new(),
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
        })
    }

    fn table(generation: u64, routes: &[(usize, u64)]) -> RoutingTable {
        let routes = routes.iter().map(|(service, epoch)| route(*service, *epoch)).collect();
        RoutingTable { generation: Generation(generation), routes }
    }

    #[test]
    fn a_change_names_what_differs_and_makes_the_later_table() {
        let before = table(1, &[(1, 1), (2, 1), (4, 1), (9, 1)]);
        let mut after = table(2, &[(0, 1), (1, 1), (3, 1), (4, 2)]);
        after.routes[1] = before.routes[0].clone();
        let change = TableChange::between(Some(&before), &after);
        let named: Vec<_> = change.routes.iter().map(|r| (r.service.to_string(), r.epoch.0)).collect();
        assert_eq!(named, [("service-0000".into(), 1), ("service-0003".into(), 1), ("service-0004".into(), 2)]);
        assert_eq!(change.gone, [before.routes[1].lane(), before.routes[3].lane()]);
        assert_eq!(change.clone().apply(Some(&before)), Some(after.clone()));
        assert_eq!(change.clone().apply(Some(&after)), None, "a change of another table");
        assert_eq!(change.apply(None), None);
        let whole = TableChange::between(None, &table(2, &[(0, 1), (1, 1), (3, 1), (4, 2)])).apply(Some(&before));
        assert!(whole.as_ref().is_some_and(|whole| Arc::ptr_eq(&whole.routes[1], &before.routes[0])), "it is shared");
        assert_eq!(whole, Some(after));
    }

    #[test]
    fn tables_in_any_order_come_out_whole() {
        let before = table(1, &[(3, 1), (1, 1), (2, 1)]);
        for after in [table(2, &[(2, 1), (3, 1), (1, 2)]), table(2, &[(1, 1), (0, 1), (3, 1)]), table(2, &[])] {
            let mut wanted = after.clone();
            wanted.routes.sort_by(|a, b| a.service.cmp(&b.service));
            assert_eq!(TableChange::between(Some(&before), &after).apply(Some(&before)), Some(wanted));
        }
    }

    #[test]
    fn parts_are_small_and_make_the_whole_again() {
        let routes: Vec<(usize, u64)> = (0..1_000).map(|service| (service, 1)).collect();
        let (before, after) = (table(7, &[(2_000, 1)]), table(8, &routes));
        let change = TableChange::between(Some(&before), &after);
        let mut parts = change.clone().parts().into_iter();
        let mut joined = parts.next().unwrap();
        let other = TableChange { generation: Generation(9), ..joined.clone() };
        assert!(!joined.clone().join(other), "a part of another change");
        let missed = change.clone().parts().swap_remove(2);
        assert!(!joined.clone().join(missed), "one between them was lost");
        let mut last = 0;
        for part in parts {
            last = part.part;
            assert!(part.routes.len() <= ROUTES_IN_A_PART && joined.join(part));
        }
        assert_eq!(joined, TableChange { part: last, ..change.clone() });
        assert!(!joined.clone().join(change), "nothing follows the last part");
        assert_eq!(TableChange::between(Some(&after), &after).parts().len(), 1, "nothing differs, and that is said");
    }
}
