//! Where a request goes: the routing table, and what a gateway and a control plane tell each other about it.
//!
//! The table is a value: the control plane computes it, numbers it and hands it to every gateway, which swaps it in
//! whole. This module decides nothing about rollouts and opens no socket.

mod change;
mod cohort;
mod fault;
mod index;
pub mod link;
mod reading;
mod route;
mod split;
mod table;

/// The cookie of the console's sessions. Gateways neither pass it on nor let a service set it.
pub const CONSOLE_COOKIE: &str = "slipway-session";

pub use change::{ROUTES_LIMIT, TableChange};
pub use cohort::{CohortRoute, CohortRule};
pub use fault::{FaultCohort, FaultKind, InjectedFault, LONGEST_FAULT, LONGEST_LATENCY, MOST_FAULTS};
pub use index::Index;
pub use reading::{READS, as_read};
pub use route::{Assignment, Choice, RequestHead, assign, find, route};
pub use split::{Share, Split, SplitError};
pub use table::{
    Check, Counted, CountedBad, Endpoint, Epoch, Generation, Limits, Maintenance, Match, Mirror, Protocol, Role, Route,
    RoutingTable, Sticky, TableError, VersionRoute,
};
