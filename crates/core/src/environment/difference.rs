//! What differs between a file and what is there.

use std::collections::BTreeMap;

use super::Environment;
use crate::names::{LaneId, ServiceName};
use crate::rollout::Lane;
use crate::spec::After;
use crate::spec::environment_file::{EnvironmentFile, ServiceEntry, afters, cohorts, drill, duration, gates, hook};

/// One thing that is not as a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The service; absent where it is about all of them.
    pub service: Option<ServiceName>,
    /// Which key, as in `services.shop.version`; `services.shop` where the service as a whole is meant.
    pub place: String,
    /// What the file says; absent where it does not speak of it.
    pub declared: Option<String>,
    /// What is; absent where nothing is.
    pub found: Option<String>,
}

impl Difference {
    fn of(service: &ServiceName, key: &str, declared: Option<String>, found: Option<String>) -> Difference {
        Difference { service: Some(service.clone()), place: format!("services.{service}{key}"), declared, found }
    }

    /// Which key of its service, or of the file; empty where the service as a whole is meant.
    fn key(&self) -> &str {
        let service = self.service.as_ref().map(|service| format!("services.{service}"));
        service.and_then(|service| self.place.strip_prefix(&service)).unwrap_or(&self.place).trim_start_matches('.')
    }

    /// For people: `instances: 2, and the file says 4`.
    pub fn sentence(&self) -> String {
        match (self.key(), &self.found, &self.declared) {
            ("", None, Some(declared)) => format!("nothing serves, and the file says {declared}"),
            ("", Some(found), None) => format!("{found} serves, and the file does not name it"),
            (key, found, declared) => {
                let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_string());
                format!("{key}: {}, and the file says {}", text(found), text(declared))
            }
        }
    }
}

/// What differs between a service as a file declares it and its lane.
pub fn drift(service: &ServiceName, entry: &ServiceEntry, lane: Option<&Lane>) -> Vec<Difference> {
    let differs = |key, declared: String, found: String| Difference::of(service, key, Some(declared), Some(found));
    let Some((lane, stable)) = lane.and_then(|lane| Some((lane, lane.stable.as_ref()?))) else {
        return vec![Difference::of(service, "", Some(entry.version.to_string()), None)];
    };
    let mut found = Vec::new();
    if stable.version != entry.version {
        found.push(differs(".version", entry.version.to_string(), stable.version.to_string()));
    }
    let wanted = stable.instances(&lane.id);
    if let Some(declared) = entry.instances.filter(|declared| *declared != wanted) {
        found.push(differs(".instances", declared.to_string(), wanted.to_string()));
    }
    let ready = lane.ready(&stable.version);
    if ready < wanted && lane.open.is_none() && lane.restarting.is_none() {
        found.push(differs(".ready", wanted.to_string(), ready.to_string()));
    }
    found
}

/// Everything that differs between a file and what is there: its services and its policy.
pub fn differences(
    file: &EnvironmentFile,
    kept: Option<&Environment>,
    lanes: &BTreeMap<LaneId, Lane>,
) -> Vec<Difference> {
    let before = kept.map_or_else(|| EnvironmentFile::empty(file.environment.clone()), |kept| kept.file.clone());
    let mut all = policies(&before, file);
    for (service, entry) in &file.services {
        let lane = lanes.get(&LaneId { service: service.clone(), environment: file.environment.clone() });
        all.extend(drift(service, entry, lane));
        let after = before.services.get(service).map(|entry| entry.after.as_slice()).unwrap_or_default();
        let text = |list: &[After]| (!list.is_empty()).then(|| afters(list));
        if after != entry.after {
            all.push(Difference::of(service, ".after", text(&entry.after), text(after)));
        }
    }
    let here = lanes.values().filter(|lane| lane.id.environment == file.environment);
    let unnamed = here.filter(|lane| !file.services.contains_key(&lane.id.service));
    all.extend(
        unnamed.filter_map(|lane| {
            Some(Difference::of(&lane.id.service, "", None, Some(lane.stable_version()?.to_string())))
        }),
    );
    all
}

/// What differs between what was applied and what is declared, beside the services.
fn policies(before: &EnvironmentFile, file: &EnvironmentFile) -> Vec<Difference> {
    let lines = |file: &EnvironmentFile| {
        let mut lines: BTreeMap<String, String> = BTreeMap::new();
        lines.extend(file.heal.then(|| ("heal".to_string(), "true".to_string())));
        lines.extend(file.require_drill.map(|age| ("require_drill".to_string(), duration(age))));
        lines.extend(gates(&file.gates).into_iter().map(|(key, value)| (format!("gates.{key}"), value)));
        lines.extend(file.drill.as_ref().map(|policy| ("drill".to_string(), drill(policy).to_string())));
        if !file.cohorts.is_empty() {
            lines.insert("cohorts".to_string(), cohorts(&file.cohorts).to_string());
        }
        lines.extend(file.hooks.iter().map(|one| (format!("hooks.{}", one.name), hook(one).to_string())));
        lines
    };
    let (found, declared) = (lines(before), lines(file));
    let mut places: Vec<&String> = found.keys().chain(declared.keys()).collect();
    places.sort();
    places.dedup();
    let differing = places.into_iter().filter(|place| found.get(*place) != declared.get(*place));
    differing
        .map(|place| Difference {
            service: None,
            place: place.clone(),
            declared: declared.get(place).cloned(),
            found: found.get(place).cloned(),
        })
        .collect()
}
