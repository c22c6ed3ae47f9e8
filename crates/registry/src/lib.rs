//! Artifacts: how a file or a folder becomes immutable bytes named by their digest, and where those bytes are kept.
//!
//! [`pack()`] is what a client calls on what it wants to release; [`Blobs`] is what the server keeps the result in.
//! Neither knows of services, versions or who may read what: that is recorded in the store by those who call.

#![forbid(unsafe_code)]

mod blobs;
mod hashing;
mod listing;
mod pack;

pub use blobs::{BlobError, Blobs, Stored};
pub use pack::{Limits, PackError, Packed, pack, pack_within};

/// The largest artifact that is packed or stored unless another limit is given: 4 GiB.
pub const SIZE_LIMIT: u64 = 4 << 30;
