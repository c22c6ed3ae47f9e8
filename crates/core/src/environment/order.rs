//! In which order an environment comes up: whatever others ask for comes before them.

use std::collections::{BTreeMap, BTreeSet};

use super::Environment;
use crate::names::{EnvironmentName, ServiceName};
use crate::spec::After;

/// A service that has to come before `service` and is still on its way.
///
/// One that does not come any more is not waited for: the gate says so then, and ends the release as blocked.
pub fn first<'a>(environment: &Environment, service: &ServiceName, after: &'a [After]) -> Option<&'a ServiceName> {
    let here = after.iter().filter(|after| is_here(after, &environment.file.environment));
    here.map(|after| &after.service).find(|other| *other != service && environment.coming.contains(*other))
}

fn is_here(after: &After, environment: &EnvironmentName) -> bool {
    after.environment.as_ref().is_none_or(|named| named == environment)
}

/// Services that each wait for the next, the last for the first; `None` where all of them can come up.
pub fn circle(environment: &EnvironmentName, after: &BTreeMap<ServiceName, Vec<After>>) -> Option<Vec<ServiceName>> {
    let mut fine: BTreeSet<&ServiceName> = BTreeSet::new();
    after.keys().find_map(|start| walk(start, environment, after, &mut fine, &mut Vec::new()))
}

fn walk<'a>(
    service: &'a ServiceName,
    environment: &EnvironmentName,
    after: &'a BTreeMap<ServiceName, Vec<After>>,
    fine: &mut BTreeSet<&'a ServiceName>,
    way: &mut Vec<&'a ServiceName>,
) -> Option<Vec<ServiceName>> {
    if let Some(begin) = way.iter().position(|before| *before == service) {
        return Some(way[begin..].iter().map(|service| (*service).clone()).collect());
    }
    if fine.contains(service) {
        return None;
    }
    way.push(service);
    for next in after.get(service).into_iter().flatten().filter(|after| is_here(after, environment)) {
        if let found @ Some(_) = walk(&next.service, environment, after, fine, way) {
            return found;
        }
    }
    way.pop();
    fine.insert(service);
    None
}
