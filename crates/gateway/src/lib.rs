//! The data plane: a process of its own that serves by the last routing table it was given, whoever else is dead.
//!
//! [`run`] is that process. [`hub::Hub`] is the other end of its control link and lives in the control plane.
//! [`inspect`] is its insides for fuzz targets.
//! What is absent: the gateway never decides a weight, never starts an instance, knows no store and no rollout;
//! it knows `slipway_core::traffic` and nothing else of Slipway. Called by the `slipway` binary.

mod access_log;
mod api;
mod attempt;
mod beside;
mod body;
mod bounded;
mod challenges;
mod client;
mod clock;
mod cohort;
mod connection;
mod cookies;
mod count;
mod course;
mod eject;
mod error;
mod events;
mod fast;
mod fault;
mod fields;
mod gateway;
mod greeting;
mod grpc;
mod guard;
mod handle;
mod headers;
mod health;
mod heard;
mod histogram;
pub mod hub;
mod inject;
pub mod inspect;
mod invitation;
mod key;
mod lease;
mod link;
pub mod lock;
mod machine;
mod maintenance;
mod metrics;
mod mirror;
mod news;
mod outcomes;
mod parts;
mod patience;
mod places;
mod proxy;
mod pulse;
mod reach;
mod report;
mod request;
mod response;
mod sender;
mod served;
mod server;
mod share;
mod socket;
mod stalls;
mod table_store;
mod tally;
pub mod tls;
mod tunnel;
mod unconnected;
mod untaken;
pub mod upgrade;
mod upstream;
mod users;
mod wire;

/// What is logged under this target is for whoever starts a gateway by hand.
pub const SAYS: &str = "slipway_gateway::start";

pub use error::Error;
pub use invitation::{Invitation, Mistake as InvitationMistake};
pub use link::Control;
pub use server::{Config, Tuning, run, run_as, run_with};
