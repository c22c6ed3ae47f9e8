//! The drivers: load, plan, commit, act, observe. Decides nothing itself; `core` does.
//!
//! Knows the world only through [`ports`] and `core`'s target. Called by the server and the binary; knows neither.

mod admission;
mod by;
mod claims;
mod clock;
mod compare;
mod control;
mod driver;
mod effects;
mod engine;
mod error;
mod foreign;
mod groups;
mod hooks;
mod keeper;
mod pinging;
mod places;
pub mod ports;
mod records;
mod schedule;
mod tables;
pub mod views;

#[cfg(test)]
mod fakes;

pub use by::By;
pub use clock::Clock;
pub use compare::Compared;
pub use control::{Command, Control, Gateway, OWN_GATEWAY, Parts, ReleaseRequest};
pub use error::Error;
pub use groups::{GroupMemberRequest, GroupRequest, PlannedMember};
pub use schedule::WATCHER;
