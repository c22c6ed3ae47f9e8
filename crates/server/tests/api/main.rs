//! The API over real sockets, a real store and a real control plane. Only instances and gateway are make-believe.

mod browser;
mod common;
mod console;
mod console_acts;
mod console_safe;
mod endpoints;
mod pages;
mod refusals;
mod rollouts;
mod tokens;
