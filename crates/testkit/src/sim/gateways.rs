//! Two gateways: what each serves, whether it hears, and when it falls back by itself.

use slipway_core::traffic::{Epoch, Route};
use slipway_core::units::Timestamp;

use super::world::World;

/// One gateway: what it serves, and until when it hears nothing.
#[derive(Default)]
pub(super) struct Gateway {
    pub route: Option<Route>,
    heard: Timestamp,
    pub deaf_until: Timestamp,
    pub lapsed: Option<Epoch>,
}

impl World {
    /// The routes that gateways serve now.
    pub fn serving(&self) -> impl Iterator<Item = &Route> {
        self.gateways.iter().filter_map(|g| g.route.as_ref())
    }

    pub fn gateways_hear(&mut self) {
        let up = self.now >= self.down_until;
        for gateway in &mut self.gateways {
            if up && self.now >= gateway.deaf_until {
                // An epoch that lapsed stays lapsed while there is something to fall back to.
                let again = |route: &Route| route.fallback.is_some() && Some(route.epoch) == gateway.lapsed;
                if !self.published.as_ref().is_some_and(again) {
                    if gateway.route != self.published {
                        gateway.route = self.published.clone();
                    }
                    gateway.lapsed = None;
                }
                gateway.heard = self.now;
            }
            let Some(route) = &mut gateway.route else { continue };
            if let (Some(lease), Some(fallback)) = (route.lease, &route.fallback)
                && gateway.lapsed.is_none()
                && self.now.since(gateway.heard) >= lease
            {
                route.split = fallback.clone();
                route.cohorts.clear();
                gateway.lapsed = Some(route.epoch);
            }
        }
    }
}
