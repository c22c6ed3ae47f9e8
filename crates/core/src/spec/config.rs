//! Configuration beside the artifact: values and files that belong to a version, with what an environment says
//! differently.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::ServiceSpec;
use crate::names::EnvironmentName;

/// Values and files. Part of the configuration digest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Config {
    /// Environment variables.
    pub values: BTreeMap<String, String>,
    /// Text files in the instance's working folder, by their path in it; they win over what the artifact brings.
    pub files: BTreeMap<String, String>,
    /// Where more environment variables stand, on the machine that runs the instances. The path belongs to the version,
    /// what stands in the file does not.
    #[serde(default)]
    pub env_file: Option<String>,
}

impl ServiceSpec {
    /// The variables of an instance in `environment`: those of the run, then the configuration's, then what the
    /// environment adds to each; the later wins.
    pub fn env(&self, environment: &EnvironmentName) -> BTreeMap<String, String> {
        let mut env = self.run.env.clone();
        env.extend(self.config.values.clone());
        if let Some((_, environment)) = self.environment(environment) {
            env.extend(environment.env.clone());
            env.extend(environment.config.values.clone());
        }
        env
    }

    /// The file of more variables for an instance in `environment`; the environment's own wins.
    pub fn env_file(&self, environment: &EnvironmentName) -> Option<String> {
        let own = self.environment(environment).and_then(|(_, e)| e.config.env_file.clone());
        own.or_else(|| self.config.env_file.clone())
    }

    /// The configuration's files of an instance in `environment`, by path; the environment's own win.
    pub fn files(&self, environment: &EnvironmentName) -> BTreeMap<String, String> {
        let mut files = self.config.files.clone();
        if let Some((_, environment)) = self.environment(environment) {
            files.extend(environment.config.files.clone());
        }
        files
    }
}
