//! Why the control plane did not do what was asked.

use slipway_core::names::{EnvironmentName, VersionName};
use slipway_core::rollout::Refusal;
use slipway_core::spec::Mistake;

/// Why the control plane did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The declared file has mistakes.
    #[error("the declared file has {} mistakes, the first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Mistakes(Vec<Mistake>),
    /// The state of things does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The file does not declare the environment.
    #[error("environment {environment} is not declared; the file declares {declared}")]
    UnknownEnvironment {
        /// Asked for.
        environment: EnvironmentName,
        /// What the file has, as a list.
        declared: String,
    },
    /// No such strategy.
    #[error("strategy {0:?} does not exist; there are blue-green, canary and rolling")]
    UnknownStrategy(String),
    /// A version that was never released, and no artifact to make it from.
    #[error("version {0} is not known; give its artifact with --path")]
    UnknownVersion(VersionName),
    /// The version stands for something else.
    #[error("{0}")]
    VersionTaken(String),
    /// The artifact was not uploaded.
    #[error("artifact {0} is not here; upload it first")]
    UnknownArtifact(slipway_core::names::Digest),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Something that is needed cannot be used now.
    #[error("{0}")]
    Unavailable(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] slipway_store::Error),
    /// A document that cannot be written or read.
    #[error("a document could not be written or read: {0}")]
    Document(#[from] serde_json::Error),
}

impl Error {
    /// A short code, stable.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Mistakes(_) => "mistakes",
            Error::Refused(refusal) => refusal.code,
            Error::UnknownEnvironment { .. } => "unknown_environment",
            Error::UnknownStrategy(_) => "unknown_strategy",
            Error::UnknownVersion(_) => "unknown_version",
            Error::VersionTaken(_) => "version_taken",
            Error::UnknownArtifact(_) => "unknown_artifact",
            Error::NotFound(_) => "not_found",
            Error::Unavailable(_) => "unavailable",
            Error::Store(_) => "store",
            Error::Document(_) => "internal",
        }
    }
}
