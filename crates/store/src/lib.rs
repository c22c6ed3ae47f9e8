//! Everything that is kept: lanes, journal, outbox, rollouts, releases. The only crate with SQL.
//!
//! SQLite in the data folder, by statements that PostgreSQL runs as well; what differs stands in `dialect`. Knows
//! nothing of HTTP, targets or gateways. Called by the control plane, the server and the binary.

mod anchor;
mod commit;
mod dialect;
mod environments;
mod error;
mod folder;
mod groups;
mod hooks;
mod idempotency;
mod journal;
mod lanes;
mod migrations;
mod open;
mod outbox;
mod releases;
mod rollouts;
mod samples;
mod sessions;
mod tokens;

pub use commit::{Commit, Committed};
pub use error::Error;
pub use groups::GroupCommit;
pub use hooks::{HookId, HookRow, Hooks, Told, Whose};
pub use idempotency::Remembered;
pub use journal::Filter;
pub use lanes::Versioned;
pub use open::Store;
pub use outbox::{EffectId, EffectRow, NewEffect};
pub use releases::ReleaseRecord;
pub use rollouts::RolloutRecord;
pub use samples::SampleRecord;
pub use tokens::TokenRecord;
