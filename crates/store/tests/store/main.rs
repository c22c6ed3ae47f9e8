//! The store on real files and on a real server, which the suite starts: what is kept is kept whole, what was touched is found, and who may open it.

mod common;
mod crash;
mod environments;
mod folder;
mod full;
mod groups;
mod guard;
mod hooks;
mod leases;
mod moving;
mod notes;
mod put_back;
mod records;
mod sessions;
mod tamper;
mod traps;
mod turns;
