//! What is fixed about a simulated service.

use std::collections::{BTreeMap, BTreeSet};

use slipway_core::hook::Word;
use slipway_core::names::VersionName;
use slipway_core::units::Millis;

use crate::users::{Behaviour, Users};

/// What is fixed about a simulated service.
#[derive(Debug, Clone)]
pub struct SimulatedService {
    /// Its declared file.
    pub file: String,
    /// Which environment the lane is.
    pub environment: String,
    /// Who asks.
    pub users: Users,
    /// How versions behave.
    pub behaviour: Behaviour,
    /// Requests per second of cohorts, by name, beside those of everybody else.
    pub cohorts: BTreeMap<String, f64>,
    /// Numbers of instances that versions declare, where they differ from the file's.
    pub instances: BTreeMap<VersionName, u32>,
    /// Versions that call other requests slow than the file does.
    pub slower_than: BTreeMap<VersionName, Millis>,
    /// Versions whose smoke tests fail.
    pub fails_smoke: BTreeSet<VersionName>,
    /// Versions whose instances start and never become healthy.
    pub hangs: BTreeSet<VersionName>,
    /// The schema that a version needs that migrates nothing, where it is not the declared one.
    pub needs: BTreeMap<VersionName, u64>,
    /// Commands that exit with 1, by version.
    pub fails_migration: BTreeSet<(VersionName, String)>,
    /// What hooks answer; those that are not here do not.
    pub answers: BTreeMap<String, Word>,
    /// A gateway that does not keep to the split: this share of all requests goes to this version, whatever the table
    /// says, as long as the version is in it.
    pub misrouted: Option<(VersionName, f64)>,
    /// Where all chance comes from.
    pub seed: u64,
}

impl SimulatedService {
    /// A service whose versions all behave, in production.
    pub fn new(file: String) -> SimulatedService {
        SimulatedService {
            file,
            environment: "production".to_string(),
            users: Users::default(),
            behaviour: Behaviour::default(),
            cohorts: BTreeMap::new(),
            instances: BTreeMap::new(),
            slower_than: BTreeMap::new(),
            fails_smoke: BTreeSet::new(),
            hangs: BTreeSet::new(),
            needs: BTreeMap::new(),
            answers: BTreeMap::new(),
            fails_migration: BTreeSet::new(),
            misrouted: None,
            seed: 1,
        }
    }
}
