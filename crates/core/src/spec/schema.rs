//! The JSON Schema of `slipway.yaml` as it is written: what editors complete and check.

use serde_json::{Value, json};

const TIME: &str = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
const PERCENT: &str = r"^[0-9]+(\.[0-9]+)?%$";

fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

fn time(about: &str, default: &str) -> Value {
    json!({ "type": "string", "pattern": TIME, "description": about, "default": default, "examples": ["300ms", "2s", "10m"] })
}

fn percent(about: &str) -> Value {
    json!({ "type": "string", "pattern": PERCENT, "description": about, "examples": ["1%", "0.5%"] })
}

fn texts(about: &str) -> Value {
    json!({ "type": "object", "description": about, "additionalProperties": { "type": ["string", "number", "boolean"] } })
}

fn words(about: &str) -> Value {
    json!({ "type": "array", "minItems": 1, "items": { "type": "string" }, "description": about })
}

/// The schema, draft 2020-12.
pub fn json_schema() -> Value {
    let mut schema = object(
        json!({
            "service": { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$", "description": "The service's name." },
            "owner": { "type": "string", "description": "Who answers for it." },
            "run": run(),
            "health": health(),
            "smoke": { "type": "array", "items": smoke(), "description": "What must work before the first user, in order." },
            "traffic": traffic(),
            "objectives": { "type": "array", "items": objective(), "description": "What counts as good enough." },
            "environments": {
                "type": "object", "minProperties": 1, "additionalProperties": environment(),
                "description": "Where it runs, in the order of promotion.",
            },
        }),
        &["service", "run", "health", "environments"],
    );
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "slipway.yaml".into();
    schema
}

fn run() -> Value {
    object(
        json!({
            "command": words("Program and arguments; {port}, {version} and {instance} are filled in."),
            "env": texts("Environment variables. PORT, VERSION and INSTANCE are set by Slipway."),
            "stop_grace": time("From SIGTERM to the kill of everything the instance started.", "10s"),
        }),
        &["command"],
    )
}

fn health() -> Value {
    object(
        json!({
            "http": { "type": "string", "pattern": "^/", "description": "GET on this path answers 200 to 399." },
            "tcp": { "type": "boolean", "description": "The port accepts a connection." },
            "interval": time("From one question to the next.", "2s"),
            "timeout": time("How long an answer may take.", "1s"),
            "healthy_after": { "type": "integer", "minimum": 1, "default": 2, "description": "Good answers in a row." },
            "unhealthy_after": { "type": "integer", "minimum": 1, "default": 3, "description": "Bad answers in a row." },
            "start_limit": time("How long it may take to become healthy.", "60s"),
        }),
        &[],
    )
}

fn smoke() -> Value {
    object(
        json!({
            "name": { "type": "string", "description": "For people." },
            "http": object(
                json!({
                    "method": { "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], "default": "GET" },
                    "path": { "type": "string", "pattern": "^/" },
                    "headers": texts("Extra headers."),
                    "json": { "description": "JSON body." },
                    "expect": object(
                        json!({
                            "status": { "type": "integer", "minimum": 100, "maximum": 599 },
                            "headers": texts("Headers that must be there with these values."),
                            "json": { "description": "JSON that the body must contain." },
                            "body": { "type": "string", "format": "regex", "description": "Must match somewhere in the body." },
                        }),
                        &[],
                    ),
                }),
                &["path"],
            ),
            "tcp": { "type": "boolean", "description": "The port accepts a connection." },
            "command": words("A program run in the instance's folder; {url} and {port} are filled in."),
            "timeout": time("How long the test may take.", "10s"),
            "capture": {
                "type": "object", "additionalProperties": { "type": "string", "pattern": "^/" },
                "description": "Values of the answer for later tests, by JSON pointer.",
            },
        }),
        &["name"],
    )
}

fn traffic() -> Value {
    object(
        json!({
            "host": { "type": "string", "description": "Any host where absent." },
            "path": { "type": "string", "pattern": "^/", "default": "/" },
            "sticky": object(
                json!({
                    "cookie": { "type": "string", "description": "Cookie that names a user." },
                    "header": { "type": "string", "description": "Header that names a user." },
                }),
                &[],
            ),
            "timeout": time("From the request's end to the response head.", "60s"),
            "drain": time("How long requests on the old version may go on after a switch.", "30s"),
            "drain_long": time("The same for WebSockets and event streams.", "5m"),
            "max_body": { "type": ["string", "integer"], "default": "1GiB", "description": "Largest request body." },
        }),
        &[],
    )
}

fn objective() -> Value {
    object(
        json!({
            "name": { "type": "string" },
            "bad": { "type": "string", "pattern": "^(failed|slower_than [0-9a-z]+)$", "examples": ["failed", "slower_than 300ms"] },
            "at_most": percent("The share of bad events that is acceptable at all."),
            "tolerate": percent("How much worse than stable the candidate may be; default half of at_most."),
        }),
        &["name", "bad", "at_most"],
    )
}

fn environment() -> Value {
    let mut value = object(
        json!({
            "instances": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 1 },
            "strategy": { "oneOf": [{ "enum": ["blue-green", "canary", "rolling"] }, strategies()] },
            "env": texts("Overlay of run.env."),
            "traffic": object(
                json!({ "host": { "type": "string" }, "path": { "type": "string", "pattern": "^/" } }),
                &[],
            ),
        }),
        &[],
    );
    value["type"] = json!(["object", "null"]);
    value
}

fn strategies() -> Value {
    let amount = json!({ "type": ["integer", "string"], "description": "A number, or a share like 20%." });
    let with = |own: Value| {
        let mut all = json!({
            "verify": time("How long verification lasts.", "1m"),
            "standby": time("How long the predecessor is kept warm after success.", "1h"),
            "on_inconclusive": { "enum": ["hold", "rollback"], "default": "hold" },
            "alpha": percent("The chance of rolling back a healthy candidate; default 1%."),
            "beta": percent("The chance of letting a bad one through; default 5%."),
            "min_requests": { "type": "integer", "minimum": 1, "default": 50 },
        });
        if let (Some(all), Value::Object(own)) = (all.as_object_mut(), own) {
            all.extend(own);
        }
        object(all, &[])
    };
    let mut value = object(
        json!({
            "blue-green": with(json!({})),
            "canary": with(json!({
                "steps": { "type": "array", "minItems": 1, "items": percent("Share of the users.") },
                "step_limit": time("How long one step may wait for a verdict.", "10m"),
            })),
            "rolling": with(json!({ "batch": amount, "min_ready": amount })),
        }),
        &[],
    );
    value["minProperties"] = 1.into();
    value["maxProperties"] = 1.into();
    value
}
