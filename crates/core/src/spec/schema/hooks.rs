//! Schema of `hooks`.

use serde_json::{Value, json};

use super::values::{command, duration, exactly_one, label, or, section};

/// The list, in the file and in an environment.
pub(super) fn hooks(description: &str) -> Value {
    let webhook = section(
        "Told and asked by a signed request.",
        &["url"],
        json!({
            "url": {
                "description": "Where, without a password; http sends what happens in plain text.",
                "type": "string", "pattern": "^https?://[!-~]+$", "maxLength": 2048,
                "examples": ["https://chat.example.com/slipway"]
            },
            "secret_env": {
                "description": "The environment variable of the control plane that holds the secret of the signature.",
                "type": ["string", "boolean"], "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 200, "examples": ["CHAT_SECRET"]
            },
            "secret_file": {
                "description": "The file on the control plane's machine that holds the secret of the signature.",
                "type": "string", "pattern": "^/", "examples": ["/etc/slipway/chat-secret"]
            },
            "ca_file": {
                "description": "The file on the control plane's machine with the certificates, as PEM, whose holders are trusted instead of those that the machine trusts; for https alone.",
                "type": "string", "pattern": "^/", "examples": ["/etc/slipway/ca.pem"]
            },
        }),
    );
    let hook = section(
        "Somebody who is told of events, asked before a step, or both.",
        &["name"],
        json!({
            "name": label("Its name: unique here; letters, digits, - and _, starting with a letter.", "chat"),
            "on": {
                "description": "Of which entries of the journal it is told: a kind, a family as rollout.*, or * for all.",
                "type": "array", "maxItems": 50, "default": [],
                "items": { "type": ["string", "boolean"], "pattern": "^(\\*|[a-z_]+(\\.[a-z_]+)*(\\.\\*)?)$", "maxLength": 100 },
                "examples": [["rollout.ended", "incident.*"]]
            },
            "before": {
                "description": "Before what it is asked: step is every larger share of the traffic, promotion the largest.",
                "enum": ["step", "promotion"], "examples": ["promotion"]
            },
            "on_silence": {
                "description": "What it means if no answer comes in time: hold asks a person, go goes on, stop takes the release back.",
                "enum": ["hold", "go", "stop"], "default": "hold", "examples": ["stop"]
            },
            "timeout": or(duration("How long it may take to take an event in, or to answer; at most 1h.", "30s"), json!("10s")),
            "webhook": exactly_one(webhook, &["secret_env", "secret_file"]),
            "command": command(
                "A program that reads the event from its standard input, by a full path or on the PATH of the control plane.",
                json!(["/usr/local/bin/tell", "--chat", "releases"]),
            ),
        }),
    );
    json!({
        "description": description, "type": "array", "maxItems": 50, "default": [],
        "items": exactly_one(hook, &["webhook", "command"]),
        "examples": [[{ "name": "audit", "on": ["*"], "command": ["/usr/local/bin/audit"] }]]
    })
}
