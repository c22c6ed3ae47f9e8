//! Two versions of a service side by side.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use similar::TextDiff;
use slipway_control::Compared;
use utoipa::ToSchema;

/// How long to look for the shortest way to tell two texts apart; afterwards a longer one will do.
const PATIENCE: Duration = Duration::from_millis(500);
/// Lines around a change.
const AROUND: usize = 3;

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

impl WireVersions {
    /// What differs, in one sentence.
    pub fn sentence(&self) -> &'static str {
        match (self.same_artifact, self.same_config) {
            (true, true) => "The same bytes and the same configuration.",
            (true, false) => "The same bytes, another configuration.",
            (false, true) => "Other bytes, the same configuration.",
            (false, false) => "Other bytes and another configuration.",
        }
    }
}

impl WireDifference {
    /// The difference in one line.
    pub fn sentence(&self) -> String {
        let place = &self.place;
        match (&self.before, &self.after) {
            _ if self.texts().is_some() => format!("{place}: its lines differ"),
            (Some(before), Some(after)) => format!("{place}: {before} → {after}"),
            (None, Some(after)) => format!("{place}: {after} comes"),
            (Some(before), None) => format!("{place}: {before} goes"),
            (None, None) => place.clone(),
        }
    }

    /// Of a file of the configuration the lines that differ, as a unified diff; absent of anything else.
    pub fn lines(&self) -> Option<Vec<String>> {
        let (before, after) = self.texts()?;
        let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
        let unified = diff.unified_diff().context_radius(AROUND).to_string();
        Some(unified.split_terminator('\n').map(str::to_string).collect())
    }

    /// Both texts of a file; of one that is new or gone, the other is empty.
    fn texts(&self) -> Option<(&str, &str)> {
        let of_environment = self.place.starts_with("environments.") && self.place.contains(".config.files.");
        if !of_environment && !self.place.starts_with("config.files.") {
            return None;
        }
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => Some((before.as_str()?, after.as_str()?)),
            (None, Some(after)) => Some(("", after.as_str().filter(|text| !text.is_empty())?)),
            (Some(before), None) => Some((before.as_str().filter(|text| !text.is_empty())?, "")),
            (None, None) => None,
        }
    }
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
