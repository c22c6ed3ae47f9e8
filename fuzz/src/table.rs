//! Routing tables and the lines of the link between control plane and gateway, as bytes from a disk or a socket.
//!
//! What is read is the same once it was written and read again; a table that holds together splits whole, sends
//! everybody somewhere it describes, the same way in the core and in the gateway, and moves nobody who need not move.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_core::traffic::link::{FromGateway, ToGateway};
use slipway_core::traffic::{Assignment, RequestHead, Route, RoutingTable, Split, assign, find, route};
use slipway_core::units::Weight;
use slipway_gateway::inspect::picked;

/// Users who come.
const KEYS: [&str; 5] = ["", "ann", "bob", "0123456789abcdef", "ü\u{0}\n"];
/// Versions of one route and routes of one table that are tried one against another.
const TRIED: usize = 8;

/// Reads `bytes` as a table and as lines of the link.
pub fn run(bytes: &[u8]) {
    written::<FromGateway>(bytes);
    match written::<ToGateway>(bytes) {
        Some(ToGateway::Table(table)) => served(table),
        Some(ToGateway::Change(change)) => change.apply(None).into_iter().for_each(served),
        _ => {}
    }
    if let Some(table) = written::<RoutingTable>(bytes) {
        served(table);
    }
}

/// It is the same once it was written and read again.
fn written<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let line = serde_json::to_string(&read).expect("what was read can be written");
    assert!(!line.contains('\n'), "a message is one line: {line}");
    let again: T = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
    assert_eq!(again, read, "{line}");
    Some(read)
}

fn served(table: RoutingTable) {
    if table.check().is_err() {
        return;
    }
    for one in table.routes.iter().take(TRIED) {
        whole(&one.split);
        one.fallback.iter().for_each(whole);
        monotone(one);
        for m in one.matches.iter().take(TRIED) {
            let host = m.host.as_deref().unwrap_or("shop.local");
            let found = find(&table, host, &m.path).expect("a path that a route names leads somewhere");
            let covers = |r: &Route| r.matches.iter().any(|o| o.host.as_ref().is_none_or(|h| h == host));
            assert!(covers(found), "{host} is not the route's");
            sent(&table, host, &m.path);
        }
    }
}

fn whole(split: &Split) {
    let total: u32 = split.shares().iter().map(|share| u32::from(share.weight.bp())).sum();
    assert_eq!(total, 10_000, "{split:?}");
}

/// The core and the gateway send every user the same way: to a version that has a share, to an instance of the table.
fn sent(table: &RoutingTable, host: &str, path: &str) {
    let chosen = KEYS.map(|key| route(table, &RequestHead { host, path, key }).expect("it was found"));
    let by_gateway = picked(table.clone(), host, path, &KEYS);
    assert_eq!(by_gateway.len(), KEYS.len());
    for (chosen, picked) in chosen.iter().zip(&by_gateway) {
        assert_eq!(picked.lane, chosen.route.lane());
        assert!(chosen.route.split.weight(chosen.version) > Weight::ZERO, "{chosen:?}");
        let described = chosen.route.version(chosen.version).expect("a version that the route describes");
        assert_eq!(picked.assigned, described.version, "core and gateway assign differently");
        let is_of = |instance| chosen.route.versions.iter().any(|v| v.endpoints.contains(instance));
        match &picked.goes_to {
            Some((version, instance)) => {
                assert!(is_of(instance), "an instance that is not in the table: {instance:?}");
                let there = described.endpoints.is_empty() || *version == described.version;
                assert!(there, "{} has instances and {version} gets its request", described.version);
            }
            None => assert!(described.endpoints.is_empty(), "it has instances and gets nothing"),
        }
    }
}

/// The more the first version gets, the more users stay with it: nobody who was there goes back.
fn monotone(route: &Route) {
    let [first, second] = route.split.shares() else { return };
    let raised = Weight::from_bp(first.weight.bp().saturating_add(700).min(10_000)).expect("at most all");
    let more = Split::between(first.version.clone(), raised, second.version.clone());
    whole(&more);
    for key in KEYS {
        let (before, why) = assign(&route.split, &route.salt, key);
        let (after, _) = assign(&more, &route.salt, key);
        assert!(before != &first.version || after == &first.version, "{key:?} is moved back");
        if let Assignment::Hashed(place) = why {
            assert!(place < 10_000 && route.split.is_divided());
        }
    }
}
