//! Every test of the long way once more, for the short way: the harness knows by the name of this file.
#![allow(clippy::duplicate_mod)] // each file brings the harness, which has to know by which it is used

#[path = "early.rs"]
mod early;
#[path = "endurance.rs"]
mod endurance;
#[path = "faults.rs"]
mod faults;
#[path = "grpc.rs"]
mod grpc;
#[path = "health.rs"]
mod health;
#[path = "http_2.rs"]
mod http_2;
#[path = "http_2_limits.rs"]
mod http_2_limits;
#[path = "injected.rs"]
mod injected;
#[path = "mirrored.rs"]
mod mirrored;
#[path = "places.rs"]
mod places;
#[path = "reported.rs"]
mod reported;
#[path = "routing.rs"]
mod routing;
#[path = "slow.rs"]
mod slow;
#[path = "smuggling.rs"]
mod smuggling;
#[path = "sockets.rs"]
mod sockets;
#[path = "streams.rs"]
mod streams;
#[path = "switched.rs"]
mod switched;
#[path = "tls.rs"]
mod tls;
#[path = "whose.rs"]
mod whose;
