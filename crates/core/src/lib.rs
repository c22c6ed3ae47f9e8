//! The pure heart of Slipway: what a change is, what to do next, how to judge it, where a request goes.
//!
//! Nothing here reads a clock, a file, the environment or the network, and nothing is async: `now` is an
//! argument, observations are arguments, and what should happen is a return value that somebody else carries out.
//! Called by every other crate; calls none of them.

pub mod address;
pub mod environment;
pub mod group;
pub mod hook;
pub mod instance;
pub mod job;
pub mod journal;
pub mod judge;
pub mod names;
pub mod outcome;
pub mod rights;
pub mod rollout;
pub mod shared_map;
pub mod smoke;
pub mod spec;
pub mod traffic;
pub mod units;
mod version_order;
pub mod window;
