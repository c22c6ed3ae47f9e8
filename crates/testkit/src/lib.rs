//! A world in which time is a number: instances, a gateway and users, all from one seed, around the real planner and
//! the real judge. For tests only; nothing in the product depends on it.

mod checks;
pub mod explore;
pub mod measured;
#[cfg(feature = "postgres")]
mod postgres;
mod scenario;
pub mod sim;
mod story;
mod users;
mod world;

#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use scenario::play;
pub use slipway_core::judge::simulation::Random;
pub use story::tell;
pub use users::{Behaviour, Users};
pub use world::{SimulatedService, World};
