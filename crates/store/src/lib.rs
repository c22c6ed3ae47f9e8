//! Everything that is kept: lanes, journal, outbox, rollouts, releases. The only crate with SQL.
//!
//! In a file in the data folder (SQLite) or on a server (PostgreSQL), by the same statements; what differs stands in
//! `dialect`. Knows nothing of HTTP, targets or gateways. Called by the control plane, the server and the binary.

mod address;
mod anchor;
mod commit;
mod dialect;
mod environments;
mod error;
#[cfg(feature = "failpoints")]
pub mod failpoints;
mod folder;
mod groups;
mod home;
mod hooks;
mod idempotency;
mod journal;
mod lanes;
mod leases;
mod migrations;
mod moved;
mod moving;
mod notes;
mod open;
mod outbox;
mod put_back;
mod releases;
mod rollouts;
mod samples;
mod sessions;
pub mod terms;
mod tokens;

pub use address::Address;
pub use commit::{Commit, Committed};
pub use error::Error;
pub use folder::{Claim, claim};
pub use groups::GroupCommit;
pub use hooks::{HookId, HookRow, Hooks, Told, Whose};
pub use idempotency::Remembered;
pub use journal::Filter;
pub use lanes::Versioned;
pub use leases::{Leader, Place, Standby};
pub use moving::{Moved, move_store};
pub use open::Store;
pub use outbox::{EffectId, EffectRow, NewEffect};
pub use put_back::{PutBack, Unacceptable};
pub use releases::ReleaseRecord;
pub use rollouts::RolloutRecord;
pub use samples::SampleRecord;
pub use tokens::TokenRecord;
