//! Cohorts, as the declared file names them.

use serde::{Deserialize, Serialize};

use crate::traffic::CohortRule;

/// Users who meet a release before everybody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cohort {
    /// Its name, unique in the environment.
    pub name: String,
    /// What makes a request one of its.
    pub rule: CohortRule,
}
