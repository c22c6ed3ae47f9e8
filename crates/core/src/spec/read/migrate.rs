//! `migrate` and `needs_schema`: which schema a version needs, and how its database gets there.

use super::super::migrate::Migrate;
use super::super::mistake::Wrong;
use super::super::reader::{Fields, Keys, Reader};
use super::{command, time};
use crate::units::Millis;

const KEYS: Keys = Keys { known: &["expand", "revert", "contract", "timeout"], later: &["online", "batch"] };
const EXAMPLE: &str = r#"migrate: { expand: ["./migrate", "up"], revert: ["./migrate", "down"] }"#;
/// The largest number that every JSON reader keeps exactly; numbers made of dates fit in.
const MOST: u64 = (1 << 53) - 1;

/// Both, as far as they are declared. A file that migrates must say what schema comes out of it.
pub(super) fn schema(fields: &Fields) -> (Option<u64>, Option<Migrate>) {
    let needs = fields.get("needs_schema").and_then(|r| r.count(1..=MOST));
    let declared = fields.get("migrate");
    let migrate = declared.and_then(migrate);
    if let (Some(section), None) = (declared, fields.get("needs_schema")) {
        section.mistake(
            Wrong::new("the file migrates and does not say which schema comes out of it")
                .hint("needs_schema: 12, beside migrate"),
        );
    }
    (needs, migrate)
}

fn migrate(reader: &Reader) -> Option<Migrate> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let revert = fields.get("revert").and_then(command);
    let contract = fields.get("contract").and_then(command);
    let timeout = fields.or("timeout", Millis::from_secs(600), time);
    let expand = fields
        .required("expand", "a version cannot need a schema that nothing brings", r#"expand: ["./migrate", "up"]"#)
        .and_then(command)?;
    if fields.get("revert").is_none() {
        reader.warn(
            Wrong::new("no revert is declared, so expanding is a point of no return and waits for an approval")
                .hint(r#"revert: ["./migrate", "down"]"#),
        );
    }
    Some(Migrate { expand, revert, contract, timeout })
}
