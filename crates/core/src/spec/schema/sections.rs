//! Schemas of the sections of the declared file, in the order in which they stand there.

use serde_json::{Value, json};

use super::values::{
    amount, any, command, count, duration, exactly_one, label, only_true, or, path, percent, section, size, text,
    texts, tolerated,
};

pub(super) fn run() -> Value {
    section(
        "What is run. Part of the configuration digest.",
        &["command"],
        json!({
            "command": command(
                "Program and arguments; no shell is involved. {port}, {version} and {instance} are filled in, and are also set as PORT, VERSION and INSTANCE. {socket} in the place of {port} asks for the path of a Unix socket, which is also set as SOCKET.",
                json!(["./checkout", "--port", "{port}"])
            ),
            "env": env("Environment variables, beside PATH, HOME, LANG, TZ, PORT or SOCKET, VERSION and INSTANCE. Values are the text that was written, with {socket} filled in."),
            "stop_grace": or(duration("From the stop signal to the kill of the whole process group; 30s for a worker where absent.", "30s"), json!("10s")),
            "stop_signal": {
                "description": "What asks the program to end. A worker's program gets it alone and may finish its jobs with all that it started; elsewhere it goes to the whole process group.",
                "enum": ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"], "default": "SIGTERM", "examples": ["SIGINT"]
            },
        }),
    )
}

fn env(description: &str) -> Value {
    let mut env = texts(description, json!({ "LOG_LEVEL": "info" }));
    env["propertyNames"] =
        json!({ "pattern": "^[^=\\s]+$", "not": { "enum": ["PORT", "SOCKET", "VERSION", "INSTANCE"] } });
    env
}

/// Values and files that belong to a version.
pub(super) fn config(description: &str) -> Value {
    let mut from = text(
        "The file's path, relative to the declared file's folder, which it may not leave: UTF-8 text of 256 KiB at the most. Its text is part of the configuration digest, as if it were written here.",
        "conf/app.toml",
    );
    from["pattern"] = json!("^[^/\\\\]+(/[^/\\\\]+)*$");
    from["maxLength"] = json!(200);
    let named =
        section("A file beside the declared one, read when it is released.", &["from"], json!({ "from": from }));
    let files = json!({
        "description": "Text files in the instance's folder by their path in it, written out or named by from, 256 KiB each at the most; they win over the artifact's.",
        "type": "object", "maxProperties": 100,
        "propertyNames": { "pattern": "^[^/\\\\]+(/[^/\\\\]+)*$", "maxLength": 200 },
        "additionalProperties": { "anyOf": [{ "type": ["string", "number", "boolean"] }, named] },
        "default": {}, "examples": [{ "conf/app.toml": "level = 1" }, { "conf/app.toml": { "from": "conf/app.toml" } }]
    });
    let mut values = env("Environment variables, beside those of env; none may stand in both.");
    values["default"] = json!({});
    values["examples"] = json!([{ "GREETING": "hello" }]);
    let env_file = text(
        "A file of KEY=VALUE lines on the machine that runs the instances, read when one starts; what is declared wins over it. The path is part of the configuration digest, what stands in the file is not.",
        "/etc/checkout/production.env",
    );
    section(description, &[], json!({ "values": values, "files": files, "env_file": env_file }))
}

/// How a database gets the schema that a version needs.
pub(super) fn migrate() -> Value {
    section(
        "Commands that change the service's database, run once each in the artifact's folder with the instances' environment and SCHEMA. Part of the configuration digest.",
        &["expand"],
        json!({
            "expand": command(
                "Adds what the version needs and keeps what earlier ones need; run before the first instance.",
                json!(["./migrate", "up"])
            ),
            "revert": command(
                "Takes back what expand added, once a rollout that did not succeed has left no instance. Without it, expanding is a point of no return.",
                json!(["./migrate", "down"])
            ),
            "contract": command(
                "Removes what only earlier versions need; run after standby has ended and somebody has approved: the point of no return.",
                json!(["./migrate", "contract"])
            ),
            "timeout": or(duration("How long each may take.", "30m"), json!("10m")),
        }),
    )
}

pub(super) fn health() -> Value {
    let health = section(
        "How an instance's health is asked for: exactly one of http, tcp, command and running_for.",
        &[],
        json!({
            "http": path("A GET on this path, query included, answers 200 to 399.", "/healthz"),
            "tcp": only_true("The port or the socket accepts a connection."),
            "command": command("A program, run in the instance's working folder and environment, exits with 0 within timeout.", json!(["./healthy.sh"])),
            "running_for": duration("Workers only: the program has run for so long without ending. Below start_limit.", "5s"),
            "interval": or(duration("From one question to the next; until first healthy it is asked every 100ms, or faster if declared.", "2s"), json!("2s")),
            "timeout": or(duration("How long an answer may take.", "1s"), json!("1s")),
            "healthy_after": or(count("Good answers in a row until it counts as healthy.", 1, 1000, 2), json!(2)),
            "unhealthy_after": or(count("Bad answers in a row until it counts as unhealthy.", 1, 1000, 3), json!(3)),
            "start_limit": or(duration("How long after its start it may stay unhealthy before it is given up.", "2m"), json!("60s")),
        }),
    );
    exactly_one(health, &["http", "tcp", "command", "running_for"])
}

pub(super) fn smoke() -> Value {
    let test = section(
        "One test: exactly one of http, tcp and command.",
        &["name"],
        json!({
            "name": text("What works if it passes, for people; unique.", "a user can log in"),
            "http": smoke_http(),
            "tcp": only_true("The instance's port or socket accepts a connection."),
            "command": command(
                "A program, run in the instance's working folder and environment, exits with 0.",
                json!(["./smoke.sh", "{url}"])
            ),
            "timeout": or(duration("How long the test may take in all.", "5s"), json!("10s")),
            "capture": {
                "description": "Values taken from the JSON answer (or from a command's standard output) for later tests, which write {name}: JSON pointers by name.",
                "type": "object",
                "propertyNames": { "pattern": "^[A-Za-z][A-Za-z0-9_-]*$", "not": { "enum": ["url", "port", "socket"] } },
                "additionalProperties": { "type": "string", "pattern": "^/" },
                "examples": [{ "token": "/token" }]
            },
        }),
    );
    json!({
        "description": "What must work before the first user, in order; each may use {url} (http://host:port), {port} or {socket}, and values captured before.",
        "type": "array", "maxItems": 200, "default": [],
        "items": exactly_one(test, &["http", "tcp", "command"]),
        "examples": [[{ "name": "it answers", "http": { "path": "/ready" } }]]
    })
}

pub(super) fn probe() -> Value {
    let request = section(
        "What is sent, to each version's instances in turn. User-Agent is slipway-probe unless declared, and Slipway-Synthetic: probe is always added.",
        &["path"],
        json!({
            "method": or(json!({ "description": "The method, in capitals.", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], "examples": ["POST"] }), json!("GET")),
            "path": path("The path, query included.", "/"),
            "headers": texts("Extra headers.", json!({ "accept": "application/json" })),
            "body": text("The body as it stands.", "{}"),
        }),
    );
    section(
        "Requests that Slipway sends itself to candidate and stable alike while a step is judged: synthetic evidence, kept apart from users' requests.",
        &["rate", "request"],
        json!({
            "rate": {
                "description": "Requests per second to each of the two versions, from 0.1/s to 50/s.",
                "type": "string", "pattern": "^\\s*[0-9]*\\.?[0-9]*/s\\s*$", "examples": ["5/s"]
            },
            "request": request,
            "timeout": or(duration("How long the head of an answer may take, up to 60s.", "2s"), json!("5s")),
        }),
    )
}

pub(super) fn mirror() -> Value {
    section(
        "Copies of users' requests that a candidate gets before any user meets it, whose answers are thrown away: synthetic evidence, kept apart from users' requests.",
        &["share"],
        json!({
            "share": percent("How many of the requests to what serves, above 0%.", "10%"),
            "methods": or(json!({
                "description": "Requests of these methods only, in capitals. Others than GET and HEAD change something a second time.",
                "type": "array", "minItems": 1, "maxItems": 7,
                "items": { "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] },
                "examples": [["GET", "POST"]]
            }), json!(["GET", "HEAD"])),
            "body": or(size("Largest body that is copied, up to 1MiB; a request with a larger one is not.", "16KiB"), json!("64KiB")),
            "timeout": or(duration("How long an answer may take, up to 60s.", "2s"), json!("5s")),
            "at_once": or(count("Copies that one gateway has under way at once; beyond them none is made.", 1, 1_000, 20), json!(10)),
        }),
    )
}

fn smoke_http() -> Value {
    let expect = section(
        "What must be true of the answer. With nothing declared, the status must be 200 to 399.",
        &[],
        json!({
            "status": count("Exactly this status.", 100, 599, 200),
            "headers": texts("Headers that must be there with these values.", json!({ "content-type": "application/json" })),
            "json": any("JSON that the body must contain: objects may have more keys, lists and single values must be equal.", json!({ "ok": true })),
            "body": text("A regular expression that must match somewhere in the body.", "^ok"),
        }),
    );
    section(
        "One HTTP request to the instance.",
        &["path"],
        json!({
            "method": {
                "description": "The request's method.",
                "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
                "default": "GET", "examples": ["POST"]
            },
            "path": path("Path and query.", "/login"),
            "headers": texts("Extra headers.", json!({ "authorization": "Bearer {token}" })),
            "json": any("A JSON body.", json!({ "user": "smoke" })),
            "expect": expect,
        }),
    )
}

pub(super) fn traffic() -> Value {
    let sticky = section(
        "What tells users apart, so that each stays on the version that it was given: a cookie, a header, or both (the header goes first). Without it the gateway sets a cookie of its own while traffic is split.",
        &[],
        json!({
            "cookie": text("The name of a cookie.", "session"),
            "header": text("The name of a header; case makes no difference.", "x-user-id"),
        }),
    );
    let mut sticky = sticky;
    sticky["minProperties"] = json!(1);
    section(
        "Which requests are the service's own, and how they are treated.",
        &[],
        json!({
            "host": host("The host name that requests ask for; any host where absent."),
            "path": or(path("Path prefix: whole segments, everything below included.", "/api"), json!("/")),
            "sticky": sticky,
            "timeout": or(duration("From the end of the request to the head of the answer, and from one part of the answer to the next.", "30s"), json!("60s")),
            "drain": or(duration("How long requests on the old version may go on after a switch.", "1m"), json!("30s")),
            "drain_long": or(duration("The same for WebSockets and event streams.", "10m"), json!("5m")),
            "max_body": or(size("The largest request body.", "10MB"), json!("1GiB")),
            "protocol": {
                "description": "What instances speak: HTTP/1.1, or HTTP/2 without TLS, as gRPC servers do.",
                "enum": ["http1", "h2c"], "default": "http1", "examples": ["h2c"]
            },
        }),
    )
}

fn host(description: &str) -> Value {
    json!({
        "description": description, "type": ["string", "number", "boolean"], "maxLength": 253,
        "pattern": "^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$", "examples": ["checkout.local"]
    })
}

fn kind(description: &str, example: &str) -> Value {
    json!({
        "description": description, "type": ["string", "boolean"], "pattern": "^\\s*[a-z][a-z0-9_.-]*\\s*$", "maxLength": 64,
        "examples": [example]
    })
}

pub(super) fn objectives() -> Value {
    let objective = section(
        "A share of bad events among all events.",
        &["name", "bad", "at_most"],
        json!({
            "name": label("Its name: unique; letters, digits, - and _, starting with a letter.", "errors"),
            "bad": {
                "description": "What a bad event is. failed: 5xx, connection failure, time-out, truncated answer. slower_than BOUND: the head of the answer took longer. slower_than stable QUANTILE: longer than this quantile of stable's own latency, taken before the rollout. outcome KIND, missing KIND within TIME, complaint: as somebody reports.",
                "type": "string",
                "pattern": "^\\s*(failed|slower_than\\s+[0-9][0-9.a-z]*|slower_than\\s+stable\\s+p[5-9][0-9](\\.[0-9])?|complaint|outcome\\s+[a-z][a-z0-9_.-]*|missing\\s+[a-z][a-z0-9_.-]*\\s+within\\s+[0-9][0-9.a-z]*)\\s*$",
                "examples": ["failed", "slower_than 300ms", "slower_than stable p95", "outcome order_failed", "missing checkout_completed within 30s"]
            },
            "of": kind("With outcome and complaint: all events are outcomes of this kind; requests, while reports come, where absent.", "order_placed"),
            "after": kind("With missing: the kind of outcome that starts the clock.", "checkout_started"),
            "at_most": percent("The share of bad events that is acceptable at all: above 0%, below 100%.", "1%"),
            "tolerate": tolerated("How much worse than stable the candidate may be when it serves everyone: a share of all events above 0%, or a multiple of stable's rate above 1x, up to 100x. Half of at_most where absent.", "0.5%"),
        }),
    );
    json!({
        "description": "What counts as good enough. Where none is declared, one is assumed and a warning says so: errors, bad: failed, at_most: 1%.",
        "type": "array", "maxItems": 50, "items": objective,
        "default": [{ "name": "errors", "bad": "failed", "at_most": "1%", "tolerate": "0.5%" }],
        "examples": [[{ "name": "latency", "bad": "slower_than 300ms", "at_most": "5%" }]]
    })
}

pub(super) fn environment() -> Value {
    let mut environment = section(
        "One environment and its policy.",
        &[],
        json!({
            "instances": or(count("How many instances of the stable version run.", 1, 1000, 4), json!(1)),
            "strategy": strategy(),
            "env": env("Overlay of run.env: these are added, and win. Part of the configuration digest."),
            "config": config("Overlay of config: these are added, and win. Part of the configuration digest."),
            "traffic": section("What is different about traffic here.", &[], json!({
                "host": host("The environment's own host."),
                "path": path("The environment's own path prefix.", "/staging"),
            })),
        }),
    );
    super::policy::add_to(&mut environment);
    environment["type"] = json!(["object", "null"]);
    environment
}

fn strategy() -> Value {
    let kinds = [("canary", canary()), ("blue-green", blue_green()), ("rolling", rolling()), ("replace", replace())];
    let mut named = section("A strategy with settings.", &[], Value::Object(Default::default()));
    for (name, mut schema) in kinds {
        schema["type"] = json!(["object", "null"]);
        named["properties"][name] = schema;
    }
    named["minProperties"] = json!(1);
    named["maxProperties"] = json!(1);
    json!({
        "description": "How a release goes in: a name alone for all defaults, or one name with settings.",
        "default": "canary",
        "anyOf": [{ "enum": ["canary", "blue-green", "rolling", "replace"] }, named],
        "examples": ["blue-green", { "canary": { "steps": ["1%", "10%", "100%"] } }]
    })
}

fn canary() -> Value {
    with_shared(
        "Growing shares of the traffic, judged at each.",
        json!({
            "steps": {
                "description": "The shares: increasing, the last one 100%, at most two decimals. For a worker shares of its instances, or numbers of them.",
                "type": "array", "minItems": 1, "maxItems": 100, "items": { "anyOf": [percent("A share of the traffic, or of a worker's instances.", "5%"), count("Workers only: so many instances.", 1, 1000, 2)] },
                "default": ["1%", "5%", "25%", "50%", "100%"], "examples": [["1%", "10%", "100%"]]
            },
            "step_limit": or(duration("How long one step may wait for a verdict.", "30m"), json!("10m")),
        }),
    )
}

fn blue_green() -> Value {
    with_shared("Two full sets, one switch.", json!({}))
}

fn rolling() -> Value {
    with_shared(
        "Instances replaced in batches.",
        json!({
            "batch": or(amount("How many instances at a time, or what percentage of them, rounded up.", json!("25%")), json!(1)),
            "min_ready": or(amount("Ready instances never fall below this number or percentage, rounded up.", json!(3)), json!("100%")),
        }),
    )
}

fn replace() -> Value {
    let mut schema = with_shared("Workers only: the old version ends whole before the new one starts.", json!({}));
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.remove("standby");
    }
    schema
}

/// A strategy: what only it has, and what all have.
fn with_shared(description: &str, own: Value) -> Value {
    let mut schema = section(description, &[], own);
    let shared = json!({
        "verify": or(duration("How long verification lasts.", "5m"), json!("1m")),
        "standby": or(duration("How long the predecessor is kept warm after success, so that going back is one switch.", "2h"), json!("1h")),
        "on_inconclusive": {
            "description": "What too little evidence leads to: hold asks a person, rollback takes the release back.",
            "enum": ["hold", "rollback"], "default": "hold", "examples": ["rollback"]
        },
        "alpha": or(percent("The chance of rolling back a healthy release, over the whole rollout: above 0%, below 50%.", "0.5%"), json!("1%")),
        "beta": or(percent("The chance of letting one through that is worse than tolerated: above 0%, below 50%.", "1%"), json!("5%")),
        "min_requests": or(count("Requests that a candidate must have had before it can pass a step.", 1, 1_000_000_000, 200), json!(50)),
    });
    for (key, value) in shared.as_object().into_iter().flatten() {
        schema["properties"][key] = value.clone();
    }
    schema
}
