//! Which version a request goes to, and why.

use super::split::Split;
use super::table::{Route, RoutingTable};
use crate::names::VersionName;

/// What routing looks at of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The host asked for, lower case, without a port.
    pub host: &'a str,
    /// The path, with a leading `/`, without the query.
    pub path: &'a str,
    /// The assignment key: the user's header or cookie, the gateway's cookie, or fresh random text.
    pub key: &'a str,
}

/// Why a version was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignment {
    /// Only one version has traffic.
    Only,
    /// The key's place in the hash range fell into the version's share.
    Hashed(u16),
}

/// Which version, and why.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// The route that matched.
    pub route: &'a Route,
    /// The version that the key is assigned to.
    pub version: &'a VersionName,
    /// Why.
    pub why: Assignment,
}

/// The route that a host and path belong to: exact host first, then the longest path, then the highest rank.
pub fn find<'a>(table: &'a RoutingTable, host: &str, path: &str) -> Option<&'a Route> {
    best(table.routes.iter().map(|route| &**route).map(|route| (route, route)), host, path)
}

/// The first of the best of these, each with what it is to be called.
pub(super) fn best<'a, T: Copy>(routes: impl Iterator<Item = (T, &'a Route)>, host: &str, path: &str) -> Option<T> {
    let mut best: Option<((bool, usize, u32), T)> = None;
    for (name, route) in routes {
        for m in &route.matches {
            let host_fits = m.host.as_deref().is_none_or(|h| h == host);
            if !host_fits || !covers(&m.path, path) {
                continue;
            }
            let order = (m.host.is_some(), m.path.len(), m.rank);
            if best.as_ref().is_none_or(|(o, _)| order > *o) {
                best = Some((order, name));
            }
        }
    }
    best.map(|(_, name)| name)
}

fn covers(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// The version that `key` is assigned to under `split`, and the key's place in the hash range (0 to 9,999).
pub fn assign<'a>(split: &'a Split, salt: &str, key: &str) -> (&'a VersionName, Assignment) {
    let shares = split.shares();
    if !split.is_divided()
        && let Some(only) = shares.iter().find(|s| s.weight.bp() > 0)
    {
        return (&only.version, Assignment::Only);
    }
    let place = place(salt, key);
    let mut upper = 0u16;
    for share in shares {
        upper += share.weight.bp();
        if place < upper {
            return (&share.version, Assignment::Hashed(place));
        }
    }
    // A `Split` adds up to 10,000 and `place` is below that, so a share was found above.
    (&shares[shares.len() - 1].version, Assignment::Hashed(place))
}

/// A key's place in the hash range: XXH3 of salt, a separator and key, scaled to 0..10,000.
fn place(salt: &str, key: &str) -> u16 {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    hasher.update(salt.as_bytes());
    hasher.update(&[0]);
    hasher.update(key.as_bytes());
    ((u128::from(hasher.digest()) * 10_000) >> 64) as u16
}

/// Finds the route and assigns the key within it.
pub fn route<'a>(table: &'a RoutingTable, head: &RequestHead<'_>) -> Option<Choice<'a>> {
    let route = find(table, head.host, head.path)?;
    let (version, why) = assign(&route.split, &route.salt, head.key);
    Some(Choice { route, version, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{Epoch, Generation, Index, Limits, Match, Sticky, TableError};
    use crate::units::Millis;

    fn route_for(service: &str, matches: &[(Option<&str>, &str, u32)]) -> Route {
        let m = |(host, path, rank): &(Option<&str>, &str, u32)| Match {
            host: host.map(str::to_string),
            path: path.to_string(),
            rank: *rank,
        };
        let version: VersionName = "1".parse().unwrap();
        Route {
            service: service.parse().unwrap(),
            environment: "production".parse().unwrap(),
            matches: matches.iter().map(m).collect(),
            epoch: Epoch(1),
            split: Split::all(version.clone()),
            fallback: None,
            lease: None,
            salt: String::new(),
            sticky: Sticky::default(),
            versions: vec![crate::traffic::VersionRoute {
                health: None,
                version,
                role: crate::traffic::Role::Stable,
                endpoints: vec![],
                protocol: crate::traffic::Protocol::Http1,
            }],
            cohorts: Vec::new(),
            maintenance: None,
            faults: Vec::new(),
            mirror: None,
            objectives: vec![],
            limits: Limits::default(),
        }
    }

    fn table(routes: Vec<Route>) -> RoutingTable {
        RoutingTable { generation: Generation(1), routes: routes.into_iter().map(Into::into).collect() }
    }

    #[test]
    fn an_exact_host_then_the_longest_path_then_the_highest_rank() {
        let table = table(vec![
            route_for("any", &[(None, "/", 9), (None, "/deep/path", 9)]),
            route_for("shop", &[(Some("shop"), "/", 0)]),
            route_for("cart", &[(Some("shop"), "/cart/", 0), (Some("basket"), "/", 0)]),
            route_for("staging", &[(Some("shop"), "/", 1)]),
        ]);
        let index = Index::of(&table.routes);
        let found = |host, path| {
            let place = index.find(&table.routes, host, path);
            let found = find(&table, host, path);
            assert_eq!(place.map(|place| &*table.routes[place]), found, "the index finds the same");
            found.map(|r| r.service.to_string())
        };
        for (host, path, service) in [
            ("elsewhere", "/x", "any"),
            ("shop", "/deep/path", "staging"),
            ("shop", "/cart", "cart"),
            ("shop", "/cart/1", "cart"),
            ("shop", "/carts", "staging"),
            ("basket", "/", "cart"),
        ] {
            assert_eq!(found(host, path).as_deref(), Some(service), "{host}{path}");
        }
        assert!(Index::default().find(&[], "shop", "/").is_none());
        assert!(find(&RoutingTable::default(), "shop", "/").is_none());
    }

    #[test]
    fn a_table_that_does_not_hold_together_says_why() {
        let with = |change: &dyn Fn(&mut Route)| {
            let mut route = route_for("shop", &[(None, "/", 0)]);
            change(&mut route);
            table(vec![route]).check()
        };
        assert_eq!(with(&|_| {}), Ok(()));
        assert!(matches!(with(&|r| r.lease = Some(Millis(1))), Err(TableError::HalfLease(_))));
        assert!(matches!(with(&|r| r.fallback = Some(r.split.clone())), Err(TableError::HalfLease(_))));
        assert!(matches!(with(&|r| r.versions.clear()), Err(TableError::UnknownVersion { .. })));
        assert!(matches!(with(&|r| r.matches[0].path = "x".into()), Err(TableError::Path { .. })));
        let twice = table(vec![route_for("shop", &[]), route_for("shop", &[])]);
        assert!(matches!(twice.check(), Err(TableError::Twice(_))));
    }
}
