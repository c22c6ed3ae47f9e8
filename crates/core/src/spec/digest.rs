//! The configuration digest: which configuration a version stands for.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::{Run, ServiceSpec};
use crate::names::Digest;

/// What the digest covers. JSON with sorted keys; what is added later is left out where it is empty, so that digests
/// of files that do not use it stay what they were.
#[derive(Serialize)]
struct Covered<'a> {
    run: &'a Run,
    environments: BTreeMap<&'a str, &'a BTreeMap<String, String>>,
}

/// The digest of `run` and of every environment's overlay of it; not of instances, objectives or strategies.
pub fn config_digest(spec: &ServiceSpec) -> Digest {
    let environments =
        spec.environments.iter().filter(|e| !e.env.is_empty()).map(|e| (e.name.as_str(), &e.env)).collect();
    let covered = Covered { run: &spec.run, environments };
    // Only texts, numbers and string-keyed maps: this cannot fail, and if it did, no two versions must look alike.
    let bytes = serde_json::to_vec(&covered).unwrap_or_else(|error| error.to_string().into_bytes());
    Digest::of(&bytes)
}
