//! The JSON Schema of an environment's file.

use serde_json::{Value, json};

use super::policy::{cohorts, drill, gates, require_drill};
use super::values::{self, only_true, section, text};

pub(in super::super) fn environment_file() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The file of an environment",
        "description": "An environment: which services run there, in which versions and numbers, and what every release into it must meet.",
        "type": "object",
        "additionalProperties": false,
        "required": ["environment"],
        "properties": {
            "environment": values::name("The environment's name.", "production"),
            "cluster": {
                "description": "The Slipway that the file is for, as slipway env export writes it; any where absent.",
                "type": ["string", "number", "boolean"], "pattern": "^[A-Za-z0-9]+$", "maxLength": 64, "examples": ["5d1f0c2a9e8b7f64"]
            },
            "heal": only_true("What is no longer as the file says is brought back by itself."),
            "gates": gates(),
            "require_drill": require_drill(),
            "drill": drill(),
            "cohorts": cohorts(),
            "hooks": super::hooks::hooks("Who is told of what happens to any service here, and who is asked before it does, beside what releases bring."),
            "services": {
                "description": "What runs there, by the service's name.",
                "type": "object", "maxProperties": 1000, "default": {},
                "propertyNames": { "pattern": values::NAME_PATTERN, "maxLength": 63 },
                "additionalProperties": service(),
                "examples": [{ "payments": { "version": "2.1.0", "instances": 2 } }]
            }
        }
    })
}

fn service() -> Value {
    section(
        "A service of the environment.",
        &["version"],
        json!({
            "version": {
                "description": "The version that serves; one that was released here before, to whichever environment.",
                "type": ["string", "number", "boolean"], "pattern": "^[A-Za-z0-9][A-Za-z0-9._+-]*$", "maxLength": 128,
                "examples": ["2.1.0"]
            },
            "instances": values::count("How many instances, whatever its own file says; as that says where absent.", 1, 1000, 2),
            "after": {
                "description": "What other services must serve first: a gate of the service, and the order in which the environment comes up.",
                "type": "array", "maxItems": 100, "default": [],
                "items": { "type": ["string", "number", "boolean"] }, "examples": [["payments >= 2.1"]]
            },
            "artifact": digest("What the version's artifact must be; refused where the version stands for another here."),
            "config": digest("What the version's configuration must be; refused where the version stands for another here."),
        }),
    )
}

fn digest(description: &str) -> Value {
    let mut digest = text(description, &format!("sha256:{}", "0".repeat(64)));
    digest["type"] = json!("string");
    digest["pattern"] = json!("^sha256:[0-9a-f]{64}$");
    digest
}
