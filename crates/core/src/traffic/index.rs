//! A table's routes by their hosts, so that finding a request's costs no more for every service that there is.

use std::collections::HashMap;
use std::sync::Arc;

use super::route::best;
use super::table::Route;

/// Where in a table the routes of each host are.
#[derive(Debug, Default)]
pub struct Index {
    by_host: HashMap<String, Vec<usize>>,
    any_host: Vec<usize>,
}

impl Index {
    /// Of these routes.
    pub fn of(routes: &[Arc<Route>]) -> Index {
        let mut index = Index::default();
        for (place, route) in routes.iter().enumerate() {
            for m in &route.matches {
                let places = match &m.host {
                    Some(host) => index.by_host.entry(host.clone()).or_default(),
                    None => &mut index.any_host,
                };
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        index
    }

    /// Whether it would be the same of `after` as it was of `before`.
    pub fn holds(before: &[Arc<Route>], after: &[Arc<Route>]) -> bool {
        let same = |(a, b): (&Arc<Route>, &Arc<Route>)| Arc::ptr_eq(a, b) || a.matches == b.matches;
        before.len() == after.len() && before.iter().zip(after).all(same)
    }

    /// What [`super::find`] finds in the same routes, by its place.
    pub fn find(&self, routes: &[Arc<Route>], host: &str, path: &str) -> Option<usize> {
        let of_host = self.by_host.get(host).into_iter().flatten();
        let places = of_host.chain(&self.any_host);
        best(places.filter_map(|place| Some((*place, &**routes.get(*place)?))), host, path)
    }
}
