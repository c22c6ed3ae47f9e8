//! What runs instances: local processes, each under a small shim of its own, and a fake for tests.
//!
//! Knows nothing of traffic, rollouts or judgement: it is told which instances to start and stop, and says how they
//! are. The control plane sees only [`slipway_core::instance::Target`]; the binary wires [`process::ProcessTarget`] in,
//! and calls [`shim::main`] for `slipway run-instance`. Linux only: it rests on `/proc`, pidfds and subreapers.

pub mod command;
mod config_files;
mod env_file;
pub mod fake;
mod folder;
mod heed;
mod http;
mod job;
mod logs;
mod prober;
pub mod process;
mod procfs;
pub mod shim;
pub mod smoke;
mod sockets;
mod unpack;

pub use prober::Prober;
