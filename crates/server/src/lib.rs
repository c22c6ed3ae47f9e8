//! The HTTP API under `/api/v1`, its event stream and its OpenAPI document, and the console beside it. The only crate
//! with wire types and HTML.
//!
//! Asks the control plane and the store; knows neither targets nor gateways nor SQL. Called by the binary.

mod auth;
mod body;
mod challenges;
mod console;
mod idempotency;
mod problem;
mod proxied;
mod router;
mod routes;
mod state;
pub mod wire;

pub use auth::{Known, secret};
pub use challenges::{Challenges, Offered};
pub use console::map as console_map;
pub use problem::WireProblem;
pub use proxied::client;
pub use router::{document, router};
pub use state::{App, Farewell};
