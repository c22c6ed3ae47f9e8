//! The process target with real shims, real programs and real sockets.

mod adoption;
mod faults;
mod life;
mod smoke;
mod sockets;
mod support;
mod workers;
