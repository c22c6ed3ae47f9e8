//! Cohorts: users who are known by a header or a cookie of their own, and may meet a version before everybody else.

use serde::{Deserialize, Serialize};

use crate::names::VersionName;

/// What makes a request one of a cohort's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CohortRule {
    /// A header has exactly this value.
    Header {
        /// Lower case.
        name: String,
        /// As it is sent.
        value: String,
    },
    /// A cookie has exactly this value.
    Cookie {
        /// Its name.
        name: String,
        /// As it is sent.
        value: String,
    },
}

/// A cohort that goes to a version of its own. It stands in a route only for as long as it does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CohortRoute {
    /// Its name in the declared file.
    pub name: String,
    /// Whose requests.
    pub rule: CohortRule,
    /// Where they go, whatever the split says. What they do there is counted apart.
    pub to: VersionName,
}
