//! From reader to model.

use std::collections::BTreeMap;

use super::super::mistake::{Wrong, quoted};
use super::super::policy::Gates;
use super::super::read;
use super::super::reader::{Entry, Keys, Reader};
use super::{EnvironmentFile, ServiceEntry};
use crate::names::{Digest, EnvironmentName, ServiceName, VersionName};

const KEYS: Keys = Keys {
    known: &["environment", "cluster", "heal", "gates", "require_drill", "drill", "cohorts", "hooks", "services"],
    later: &["strategy", "flags", "secrets", "target", "watch"],
};
const SERVICE_KEYS: Keys = Keys {
    known: &["version", "instances", "after", "artifact", "config"],
    later: &["strategy", "gates", "cohorts", "require_drill", "drill", "env", "traffic"],
};
const EXAMPLE: &str = "start with environment: production";
const SERVICES_EXAMPLE: &str = "write services: { payments: { version: 2.1.0 } }";
const SERVICE_EXAMPLE: &str = "write { version: 2.1.0, instances: 2 }";
const DIGEST_EXAMPLE: &str = "leave it out, or copy it from slipway env export";
/// How many services one environment may have.
const MOST: usize = 1000;

/// The environment that the file is. `None` only where something was noted.
pub(super) fn file(reader: &Reader) -> Option<EnvironmentFile> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let name = fields.required("environment", "the file does not say which environment it is", EXAMPLE);
    let name = name.and_then(|r| r.typed("a name", "for example production", environment));
    let cluster = fields.get("cluster").and_then(|r| r.typed("an id", DIGEST_EXAMPLE, cluster));
    let heal = fields.get("heal").and_then(Reader::only_true).is_some();
    let gates = fields.or("gates", Gates::default(), read::gates);
    let require_drill = fields.get("require_drill").and_then(read::require_drill);
    let drill = fields.get("drill").and_then(read::drill);
    let cohorts = fields.or("cohorts", Vec::new(), read::cohorts);
    let hooks = fields.or("hooks", Vec::new(), read::environment_hooks);
    let services = fields.or("services", BTreeMap::new(), services);
    Some(EnvironmentFile { environment: name?, cluster, heal, gates, require_drill, cohorts, drill, hooks, services })
}

fn environment(text: &str) -> Result<EnvironmentName, Wrong> {
    EnvironmentName::new(text).map_err(|e| Wrong::new(format!("the environment {} {}", quoted(text), e.why)))
}

fn cluster(text: &str) -> Result<String, Wrong> {
    match text.len() <= 64 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        true => Ok(text.to_string()),
        false => Err(Wrong::new(format!("{} is not the id of a Slipway", quoted(text))).hint(DIGEST_EXAMPLE)),
    }
}

fn services(reader: &Reader) -> Option<BTreeMap<ServiceName, ServiceEntry>> {
    let entries = reader.entries(SERVICES_EXAMPLE)?;
    if entries.len() > MOST {
        return reader.expected(&format!("at most {MOST} services"), &format!("there are {}", entries.len()));
    }
    let all: Vec<Option<(ServiceName, ServiceEntry)>> = entries.iter().map(|(key, value)| one(key, value)).collect();
    all.into_iter().collect()
}

fn one(key: &Entry, reader: &Reader) -> Option<(ServiceName, ServiceEntry)> {
    let name = ServiceName::new(key.text)
        .map_err(|invalid| key.mistake(Wrong::new(format!("the service {} {}", quoted(key.text), invalid.why))))
        .ok();
    let fields = reader.fields(&SERVICE_KEYS, SERVICE_EXAMPLE)?;
    let version = fields.required("version", "the service does not say which version serves", SERVICE_EXAMPLE);
    let version = version.and_then(|r| r.typed("a version", "for example 2.1.0", version_name));
    let instances = fields.get("instances").and_then(|r| r.count(1..=1000)).and_then(|n| u32::try_from(n).ok());
    let after = fields.or("after", Vec::new(), read::afters);
    let own = after.iter().find(|after| name.as_ref() == Some(&after.service) && after.environment.is_none());
    if let (Some(own), Some(section)) = (own, fields.get("after")) {
        section
            .mistake(Wrong::new(format!("asks for {own}, which is the service itself")).hint("name another service"));
    }
    let pin = |key| fields.get(key).and_then(|r| r.typed("a digest", DIGEST_EXAMPLE, digest));
    let (artifact, config) = (pin("artifact"), pin("config"));
    Some((name?, ServiceEntry { version: version?, instances, after, artifact, config }))
}

fn version_name(text: &str) -> Result<VersionName, Wrong> {
    VersionName::new(text).map_err(|invalid| Wrong::new(format!("the version {} {}", quoted(text), invalid.why)))
}

fn digest(text: &str) -> Result<Digest, Wrong> {
    text.parse().map_err(|_| Wrong::new(format!("{} is no digest", quoted(text))).hint(DIGEST_EXAMPLE))
}
