//! The drivers: load, plan, commit, act, observe. Decides nothing itself; `core` does.
//!
//! Knows the world only through [`ports`]. Called by the server and the binary; knows neither.

pub mod ports;
pub mod views;
