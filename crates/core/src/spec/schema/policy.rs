//! Schemas of `drill`, `require_drill` and `gates`.

use serde_json::{Value, json};

use super::super::policy::Readiness;
use super::values::{count, duration, exactly_one, label, only_true, or, section, text};

/// Adds the keys to an environment's schema.
pub(super) fn add_to(environment: &mut Value) {
    let watch = duration("How long after its coming trouble may be a version's doing, and opens an incident.", "2h");
    let on_breach = json!({
        "description": "What such trouble leads to: tell opens an incident, rollback goes back as well.",
        "enum": ["tell", "rollback"], "default": "tell", "examples": ["rollback"]
    });
    let keys = [
        ("cohorts", cohorts()),
        ("drill", drill()),
        ("require_drill", require_drill()),
        ("gates", gates()),
        ("watch", or(watch, json!("24h"))),
        ("on_breach", on_breach),
        (
            "hooks",
            super::hooks::hooks(
                "Those of this environment, beside the service's; one of the same name takes its place.",
            ),
        ),
    ];
    for (key, schema) in keys {
        environment["properties"][key] = schema;
    }
}

pub(super) fn cohorts() -> Value {
    let cohort = section(
        "A cohort: exactly one of header and cookie.",
        &["name"],
        json!({
            "name": label("Its name: unique in the environment; letters, digits, - and _, starting with a letter.", "internal"),
            "header": text("Requests in which this header has exactly this value.", "X-Internal: 1"),
            "cookie": text("Requests in which this cookie has exactly this value.", "beta=1"),
        }),
    );
    json!({
        "description": "Who meets a canary first, each cohort in a step of its own, in this order.",
        "type": "array", "maxItems": 10, "default": [], "items": exactly_one(cohort, &["header", "cookie"]),
        "examples": [[{ "name": "internal", "header": "X-Internal: 1" }, { "name": "beta", "cookie": "beta=1" }]]
    })
}

fn window(description: &str) -> Value {
    text(description, "Tue-Thu 10:00-16:00 Europe/Berlin")
}

pub(super) fn drill() -> Value {
    section(
        "When the way back is practised by itself.",
        &["every"],
        json!({
            "every": duration("From one drill to the next: at least 1m.", "7d"),
            "window": window("When a drill may begin, by the clock of a place; at any time where absent."),
            "cold": only_true("The standby is stopped first, so that going back has to start its instances again."),
        }),
    )
}

pub(super) fn require_drill() -> Value {
    duration(
        "A release is blocked unless the last drill is at most this old, has passed, and was no slower than the deployment.",
        "30d",
    )
}

pub(super) fn gates() -> Value {
    let approvals = section(
        "Other people's word. Nobody approves their own release.",
        &[],
        json!({
            "count": or(count("How many people.", 1, 100, 2), json!(1)),
            "from": {
                "description": "Names of the tokens that may approve; any with the right to where absent.",
                "type": "array", "maxItems": 100, "default": [],
                "items": { "type": ["string", "number", "boolean"] }, "examples": [["alice", "bob", "carol"]]
            },
            "expire": or(duration("How long an approval holds, and how long a release waits for it.", "8h"), json!("24h")),
        }),
    );
    let freeze = section(
        "A time at which no release begins.",
        &["window"],
        json!({
            "window": text("When, by the clock of a place.", "Fri 15:00 to Mon 08:00 Europe/Berlin"),
            "reason": text("Why, for people.", "nobody is here"),
        }),
    );
    section(
        "What must hold before the first act of a release.",
        &[],
        json!({
            "approvals": approvals,
            "freeze": {
                "description": "When no release begins.",
                "type": "array", "maxItems": 100, "items": freeze, "default": [],
                "examples": [[{ "window": "2026-12-20 18:00 to 2027-01-04 08:00 Europe/Berlin", "reason": "holidays" }]]
            },
            "after": {
                "description": "What other services must serve first: SERVICE, SERVICE >= VERSION, each with in ENVIRONMENT or without.",
                "type": "array", "maxItems": 100, "default": [],
                "items": { "type": ["string", "number", "boolean"] }, "examples": [["payments >= 2.1 in production"]]
            },
            "readiness": {
                "description": "What a service that goes here must have.",
                "type": "array", "maxItems": Readiness::NAMES.len(), "default": [], "items": { "enum": Readiness::NAMES },
                "examples": [["owner", "objectives", "smoke", "drill", "hooks"]]
            },
        }),
    )
}
