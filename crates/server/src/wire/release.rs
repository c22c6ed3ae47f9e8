//! What is asked for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A release that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRelease {
    /// The text of `slipway.yaml`; may be left out for a version that is known.
    #[serde(default)]
    pub file: Option<String>,
    /// The service, where no file says so.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub service: Option<slipway_core::names::ServiceName>,
    /// What people call it; may be left out with `config_only`, and is then derived from what serves.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub version: Option<slipway_core::names::VersionName>,
    /// Digest of the artifact, uploaded before; may be left out for a version that is known.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub artifact: Option<slipway_core::names::Digest>,
    /// Another configuration for the artifact that serves the environment: needs `file` and takes no `artifact`.
    #[serde(default)]
    pub config_only: bool,
    /// Where to.
    #[schema(value_type = String)]
    pub environment: slipway_core::names::EnvironmentName,
    /// Another strategy than the declared one.
    #[serde(default)]
    pub strategy: Option<String>,
    /// Whatever is open or queued gives way.
    #[serde(default)]
    pub supersede: bool,
    /// Why gates that block are to be passed all the same: at most 500 characters, kept in the journal.
    #[serde(default, rename = "override")]
    pub overriding: Option<String>,
}

impl From<NewRelease> for slipway_control::ReleaseRequest {
    fn from(new: NewRelease) -> slipway_control::ReleaseRequest {
        slipway_control::ReleaseRequest {
            file: new.file,
            service: new.service,
            version: new.version,
            artifact: new.artifact,
            config_only: new.config_only,
            environment: new.environment,
            strategy: new.strategy,
            supersede: new.supersede,
            overriding: new.overriding,
        }
    }
}

/// A rollback that is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRollback {
    /// To which version; the predecessor where absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub to: Option<slipway_core::names::VersionName>,
}

/// A drill that is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDrill {
    /// The standby is stopped first, so that its instances have to be started again.
    #[serde(default)]
    pub cold: bool,
}
