//! Who claims which hosts and paths, found by what is claimed: whether a place is free must not cost more for every service
//! that there is.

use std::collections::{BTreeSet, HashMap};

use slipway_core::names::{LaneId, ServiceName};
use slipway_core::traffic::Match;

/// What lanes claim.
#[derive(Default)]
pub(crate) struct Places {
    by_lane: HashMap<LaneId, Vec<Match>>,
    by_place: HashMap<(Option<String>, String), BTreeSet<LaneId>>,
}

impl Places {
    /// Sets what a lane claims; `None` where it claims nothing here.
    pub fn put(&mut self, lane: &LaneId, claimed: Option<&[Match]>) {
        if self.by_lane.get(lane).map(Vec::as_slice) == claimed {
            return;
        }
        for place in self.by_lane.remove(lane).unwrap_or_default() {
            let place = (place.host, place.path);
            if let Some(lanes) = self.by_place.get_mut(&place) {
                lanes.remove(lane);
                if lanes.is_empty() {
                    self.by_place.remove(&place);
                }
            }
        }
        let Some(claimed) = claimed else { return };
        for place in claimed {
            let place = (place.host.clone(), place.path.clone());
            self.by_place.entry(place).or_default().insert(lane.clone());
        }
        self.by_lane.insert(lane.clone(), claimed.to_vec());
    }

    /// A lane of another service that claims one of `wanted`, and which.
    pub fn claimed(&self, service: &ServiceName, wanted: &[Match]) -> Option<(LaneId, String)> {
        wanted.iter().find_map(|place| {
            let lanes = self.by_place.get(&(place.host.clone(), place.path.clone()))?;
            Some((lanes.iter().find(|lane| lane.service != *service)?.clone(), name(place)))
        })
    }
}

/// A host and path that both claim.
pub(crate) fn in_common(ours: &[Match], theirs: &[Match]) -> Option<String> {
    ours.iter().find(|ours| theirs.iter().any(|m| m.host == ours.host && m.path == ours.path)).map(name)
}

fn name(place: &Match) -> String {
    format!("{}{}", place.host.as_deref().unwrap_or("any host"), place.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(service: &str, environment: &str) -> LaneId {
        LaneId {
            service: service.parse().expect("a service"),
            environment: environment.parse().expect("an environment"),
        }
    }

    fn at(places: &[&str]) -> Vec<Match> {
        let place = |path: &&str| Match { host: Some("a.local".into()), path: path.to_string(), rank: 0 };
        places.iter().map(place).collect()
    }

    #[test]
    fn what_is_claimed_no_more_is_free() {
        let (mut places, shop, cart) = (Places::default(), lane("shop", "production"), lane("cart", "production"));
        places.put(&shop, Some(&at(&["/", "/shop"])));
        places.put(&lane("shop", "staging"), Some(&at(&["/"])));
        let claimed = |places: &Places, wanted| places.claimed(&cart.service, &at(wanted));
        assert_eq!(claimed(&places, &["/cart", "/shop"]), Some((shop.clone(), "a.local/shop".to_string())));
        assert_eq!(places.claimed(&shop.service, &at(&["/", "/shop"])), None, "a service is not in its own way");
        places.put(&shop, Some(&at(&["/other"])));
        assert_eq!(claimed(&places, &["/shop"]), None);
        assert_eq!(claimed(&places, &["/"]), Some((lane("shop", "staging"), "a.local/".to_string())));
        places.put(&lane("shop", "staging"), None);
        places.put(&shop, Some(&[]));
        assert_eq!(claimed(&places, &["/", "/other"]), None);
        assert!(places.by_place.is_empty());
        let anywhere = [Match { host: None, path: "/".into(), rank: 0 }];
        places.put(&shop, Some(&anywhere));
        assert_eq!(places.claimed(&cart.service, &anywhere), Some((shop, "any host/".to_string())));
        assert_eq!(claimed(&places, &["/"]), None, "a host of its own goes before any host");
    }
}
