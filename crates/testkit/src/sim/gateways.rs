//! Two gateways: what each serves, whether it hears, and when it falls back by itself.

use slipway_core::traffic::{Epoch, Route};
use slipway_core::units::{Timestamp, Weight};

use super::world::World;
use crate::checks::{Broken, broken};

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

    /// What was decided on the way back has arrived wherever somebody hears, whether the store could be reached or not.
    pub fn way_back_arrives(&self) -> Result<(), Broken> {
        let Some((id, version)) = self.leaving.as_ref().filter(|_| self.now >= self.down_until) else { return Ok(()) };
        let hear = self.gateways.iter().filter(|gateway| self.now >= gateway.deaf_until);
        let mut routes = hear.filter_map(|gateway| gateway.route.as_ref());
        let leaves = |route: &Route| {
            route.split.weight(version) == Weight::ZERO && route.cohorts.iter().all(|cohort| cohort.to != *version)
        };
        match routes.all(leaves) {
            true => Ok(()),
            false => {
                broken("traffic_first", format!("{id} goes back, and a gateway that hears still serves {version}"))
            }
        }
    }
}
