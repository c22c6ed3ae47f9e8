//! A harness for tests that run the real programs: Slipway in a folder of its own on free ports, builds of the shop,
//! and the means to wait, to kill, and to see that nothing is left.
//!
//! It speaks to Slipway as a user does, by command line and HTTP, and imports none of what it is made of. Linux only, since it
//! reads `/proc`. Called by the tests of this package and by `make try`.

#![forbid(unsafe_code)]

mod browser;
mod once;
mod page;
mod ports;
pub mod process;
mod programs;
mod receiver;
mod secure;
mod shop;
mod slipway;
mod wait;

pub use browser::{At, Browser, Held, Sight, Tab};
pub use once::nothing_twice;
pub use page::{Page, words};
pub use ports::free_port;
pub use programs::{FOLDER_VARIABLE, program};
pub use receiver::{Hearer, Manner, Received};
pub use secure::{ask_on, ask_over_tls, connect_over_tls};
pub use shop::{Standalone, build, declaration};
pub use slipway::{Options, Output, Slipway, client, kill};
pub use slipway_testkit::Postgres;
pub use wait::{until, until_within};
