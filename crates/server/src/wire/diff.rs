//! Two versions of a service side by side.

use serde::{Deserialize, Serialize};
use slipway_control::Compared;
use utoipa::ToSchema;

/// What differs between two versions.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireVersions {
    /// The service.
    pub service: String,
    /// The version to start from.
    pub from: String,
    /// The version that it is compared with.
    pub to: String,
    /// Both are the same bytes.
    pub same_artifact: bool,
    /// Digest of the first one's artifact.
    pub artifact_before: String,
    /// Digest of the second one's artifact.
    pub artifact_after: String,
    /// Both have the same configuration.
    pub same_config: bool,
    /// The first one's configuration digest.
    pub config_before: String,
    /// The second one's configuration digest.
    pub config_after: String,
    /// Where their declared files differ.
    pub differences: Vec<WireDifference>,
}

/// One place in which two declared files differ.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireDifference {
    /// Keys from the outside in: `environments.production.instances`.
    pub place: String,
    /// What the first says; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<serde_json::Value>,
    /// What the second says; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub after: Option<serde_json::Value>,
}

impl From<Compared> for WireVersions {
    fn from(Compared { before, after, differences }: Compared) -> WireVersions {
        WireVersions {
            service: before.spec.service.to_string(),
            from: before.version.to_string(),
            to: after.version.to_string(),
            same_artifact: before.artifact == after.artifact,
            artifact_before: before.artifact.to_string(),
            artifact_after: after.artifact.to_string(),
            same_config: before.config == after.config,
            config_before: before.config.to_string(),
            config_after: after.config.to_string(),
            differences: differences
                .into_iter()
                .map(|d| WireDifference { place: d.place, before: d.before, after: d.after })
                .collect(),
        }
    }
}
