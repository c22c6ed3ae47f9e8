//! The API over real sockets, a real store and a real control plane. Only instances and gateway are make-believe.

mod common;
mod console;
mod endpoints;
mod pages;
mod refusals;
mod rollouts;
mod tokens;
