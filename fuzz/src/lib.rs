//! Fuzz targets: bytes that nobody chose against what reads them, and what must be true whatever they are.
//!
//! Each target is a function of bytes that panics where something is not true. The programs under `targets` hand it
//! what libFuzzer makes up, guided by coverage (`make fuzz`); `tests/corpus.rs` hands it every file of `corpus`, in
//! every ordinary test run. Nothing of the product calls this.

pub mod bodies;
pub mod declared;
pub mod guard;
pub mod journal;
pub mod mutate;
pub mod proxy;
pub mod table;

mod plain;
mod world;

/// A target: what it is called, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("declared", declared::run),
    ("guard", guard::run),
    ("proxy", proxy::run),
    ("table", table::run),
    ("journal", journal::run),
    ("bodies", bodies::run),
];
