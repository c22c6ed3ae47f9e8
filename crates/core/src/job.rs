//! A command that is run once for a version, beside its instances: a migration. Knows nothing of rollouts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{Digest, EnvironmentName, ServiceName, VersionName};
use crate::units::Millis;

/// Everything that a target needs to run one command once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Unique for ever, of letters, digits and `-`: a job that was begun under it is never begun again.
    pub id: String,
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The version.
    pub version: VersionName,
    /// The artifact that is unpacked into the working folder.
    pub artifact: Digest,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Added to PATH, HOME, LANG and TZ; nothing else is passed.
    pub env: BTreeMap<String, String>,
    /// Text files written into the working folder after the artifact, by their path in it.
    pub files: BTreeMap<String, String>,
    /// A file of more variables on the target's machine; those above win.
    #[serde(default)]
    pub env_file: Option<String>,
    /// How long it may take before its whole process group is killed.
    pub timeout: Millis,
}

/// How a job ended. What cannot be known is said to be so: it is nobody's place to guess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum JobEnd {
    /// It exited with 0.
    Done {
        /// Its last words, at most 2 KiB.
        tail: String,
    },
    /// It ended otherwise, by itself.
    Failed {
        /// How, with its last words.
        why: String,
    },
    /// It never began.
    NotRun {
        /// Why.
        why: String,
    },
    /// It was begun, and what it has done is not known: it was cut off.
    Unclear {
        /// What is known.
        why: String,
    },
}
