//! The store on real files: what is kept is kept whole, what was touched is found, and who may open it.

mod common;
mod crash;
mod folder;
mod full;
mod hooks;
mod records;
mod tamper;
mod turns;
