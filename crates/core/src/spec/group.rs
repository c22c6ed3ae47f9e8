//! `slipway.group.yaml`: services that are released together, in which order, and where each one's files are.
//!
//! Read by the command line, which looks the files up beside it; the server is sent what they hold.

use serde::{Deserialize, Serialize};

use super::mistake::{Findings, Mistake, Position, Wrong, quoted};
use super::reader::{Keys, Reader};
use super::tree;
use crate::group::in_order;
use crate::names::{GroupName, ServiceName, VersionName};

/// A group as its file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Its name.
    pub group: GroupName,
    /// Its services as they are declared, 1 to 50.
    pub members: Vec<GroupMember>,
}

/// A service of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// The service.
    pub service: ServiceName,
    /// Its declared file, beside the group's. Default: `SERVICE/slipway.yaml`.
    pub file: String,
    /// The file or folder that is released; absent for a version that is known.
    pub path: Option<String>,
    /// Its version, where it is not that of the whole release.
    pub version: Option<VersionName>,
    /// Members that are released before it.
    pub after: Vec<ServiceName>,
}

const KEYS: Keys = Keys { known: &["group", "services"], later: &["environments", "parallel"] };
const MEMBER_KEYS: Keys = Keys { known: &["file", "path", "version", "after"], later: &["environments", "strategy"] };
const EXAMPLE: &str =
    "services: { catalog: { path: catalog/build }, checkout: { path: checkout/build, after: [catalog] } }";
const MOST: usize = 50;

/// Reads a group's file. The error holds every mistake in it, in the order of the file.
pub fn parse_group(text: &str) -> Result<GroupSpec, Vec<Mistake>> {
    let findings = Findings::default();
    let spec = tree::build(text, &findings).and_then(|root| group(&Reader::new(&root, &findings)));
    if spec.is_none() && !findings.any() {
        findings.mistake(Position::START, "", Wrong::new("the file declares nothing").hint("start with group: shop"));
    }
    let (mistakes, _) = findings.into_parts();
    match spec {
        Some(spec) if mistakes.is_empty() => Ok(spec),
        _ => Err(mistakes),
    }
}

fn group(reader: &Reader) -> Option<GroupSpec> {
    let fields = reader.fields(&KEYS, "start with group: shop")?;
    let name = fields.required("group", "the file does not say which group it declares", "group: shop");
    let services = fields.required("services", "a group without services releases nothing", EXAMPLE);
    let name = name.and_then(|r| r.typed("a name", "for example shop", group_name));
    let section = services?;
    let entries = section.entries(EXAMPLE)?;
    if entries.is_empty() || entries.len() > MOST {
        section.mistake(Wrong::new(format!("a group has 1 to {MOST} services")).hint(EXAMPLE));
        return None;
    }
    let mut members = Vec::with_capacity(entries.len());
    for (key, value) in &entries {
        match service_name(key.text) {
            Ok(service) => members.extend(member(service, value)),
            Err(wrong) => key.mistake(wrong),
        }
    }
    for (key, value) in &entries {
        known(key.text, value, &members);
    }
    let named: Vec<_> = members.iter().map(|m| (m.service.clone(), m.after.clone())).collect();
    if let Err(circle) = in_order(&named) {
        let first = circle.0.first().map(ServiceName::as_str);
        let place = entries.iter().find(|(key, _)| Some(key.text) == first).map_or(section, |(_, value)| value);
        place.mistake(Wrong::new(circle.to_string()).hint("leave one of them out of after"));
    }
    Some(GroupSpec { group: name?, members })
}

fn member(service: ServiceName, reader: &Reader) -> Option<GroupMember> {
    let file = format!("{service}/slipway.yaml");
    if reader.is_null() {
        return Some(GroupMember { service, file, path: None, version: None, after: Vec::new() });
    }
    let fields = reader.fields(&MEMBER_KEYS, "write { path: build, after: [catalog] }")?;
    let text = |key: &str, example: &str| fields.get(key).and_then(|r| r.text(example)).map(str::to_string);
    let version = fields.get("version").and_then(|r| r.typed("a version", "for example 1.4.2", version_name));
    let after = fields.or("after", Vec::new(), |r| {
        let items = r.items(MOST, "for example [catalog]")?;
        Some(items.iter().filter_map(|item| item.typed("a service", "for example catalog", service_name)).collect())
    });
    Some(GroupMember {
        service,
        file: text("file", "for example catalog/slipway.yaml").unwrap_or(file),
        path: text("path", "for example catalog/build"),
        version,
        after,
    })
}

/// Says where a member waits for a service that is none.
fn known(name: &str, reader: &Reader, members: &[GroupMember]) {
    let Some(member) = members.iter().find(|m| m.service.as_str() == name) else { return };
    let is_one = |service: &ServiceName| members.iter().any(|m| m.service == *service);
    for other in member.after.iter().filter(|other| !is_one(other)) {
        reader.mistake(
            Wrong::new(format!("after names {}, which is no service of the group", quoted(other.as_str())))
                .hint("what other services must serve is a gate: environments.<name>.gates.after in its own file"),
        );
    }
}

fn group_name(text: &str) -> Result<GroupName, Wrong> {
    GroupName::new(text).map_err(|invalid| Wrong::new(format!("the group {} {}", quoted(text), invalid.why)))
}

fn service_name(text: &str) -> Result<ServiceName, Wrong> {
    ServiceName::new(text).map_err(|invalid| Wrong::new(format!("the service {} {}", quoted(text), invalid.why)))
}

fn version_name(text: &str) -> Result<VersionName, Wrong> {
    VersionName::new(text).map_err(|invalid| Wrong::new(format!("the version {} {}", quoted(text), invalid.why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let mistakes = parse_group(text).expect_err("mistakes");
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_group_is_read_with_its_defaults() {
        let text = "group: shop\nservices:\n  catalog:\n  checkout: { path: out, version: 2.1.0, after: [catalog] }\n";
        let spec = parse_group(text).expect("a group");
        assert_eq!(spec.members[0].file, "catalog/slipway.yaml");
        assert_eq!(spec.members[1].after[0].as_str(), "catalog");
        assert_eq!(spec.members[1].version.as_ref().map(VersionName::as_str), Some("2.1.0"));
    }

    #[test]
    fn mistakes_say_where() {
        let circle = said("group: shop\nservices:\n  a: { after: [b] }\n  b: { after: [a] }\n");
        assert_eq!(
            circle,
            "3:6: services.a: services go round in a circle, so none could be the first: a after b after a (leave one of them out of after)"
        );
        let unknown = said("group: shop\nservices:\n  a: { after: [ledger] }\n");
        assert!(
            unknown.starts_with("3:6: services.a: after names \"ledger\", which is no service of the group"),
            "{unknown}"
        );
        assert!(said("group: shop\nservices: {}\n").contains("a group has 1 to 50 services"));
        assert!(said("services: { a: }\n").contains("does not say which group"));
        assert!(said("group: shop\nservices: { a: { aftr: [] } }\n").contains("did you mean after?"));
        assert!(said("").contains("the file declares nothing"));
    }
}
