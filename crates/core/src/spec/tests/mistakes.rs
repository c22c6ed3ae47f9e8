//! Every kind of mistake: where it is said to be, and in what words.

use super::*;

/// The mistakes of a text, one a line.
pub(super) fn said(text: &str) -> String {
    match parse(text) {
        Ok(_) => "nothing".to_string(),
        Err(mistakes) => mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// Compares what is said of texts with what should be, all of them before it fails.
fn compare(rows: impl IntoIterator<Item = (String, String)>) {
    let wrong: Vec<String> = rows
        .into_iter()
        .map(|(text, expected)| (said(&text), text, expected))
        .filter(|(got, _, expected)| got != expected)
        .map(|(got, text, expected)| format!("{text}\n  expected: {expected}\n  got:      {got}\n"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Compares for the least file with something after it.
fn table(rows: &[(&str, &str)]) {
    compare(rows.iter().map(|(more, expected)| (least(more), expected.to_string())));
}

/// Compares for the least file with something changed in it.
fn changes(rows: &[(&str, &str, &str)]) {
    compare(rows.iter().map(|(from, to, expected)| {
        assert!(least("").contains(from), "{from}");
        (least("").replace(from, to), expected.to_string())
    }));
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"
service: check out
ownr: me
run: { command: "./checkout --port {port}", env: { PORT: 1, A: } }
traffic: { sticky: {}, timeout: 5 }
objectives:
  - { name: errors, bad: failed, at_most: 1 }
  - { name: errors, bad: gauge lost__, at_most: 120%, tolerate: 1x }
environments:
  production:
    instances: many
    strategy:
      canary: { steps: [5%, 1%, 50%], steplimit: 10m }
"#;
    let expected = [
        r#"2:1: health: a service without a health check cannot be released (health: { http: /healthz })"#,
        r#"2:10: service: the service "check out" may hold only letters, digits, `-` and `_`"#,
        r#"3:1: ownr: unknown key "ownr" (did you mean owner?)"#,
        r#"4:17: run.command: expected a list of program and arguments, got "./checkout --port {port}" (no shell is involved: write ["./checkout", "--port", "{port}"])"#,
        r#"4:52: run.env.PORT: PORT is set by Slipway for each instance (leave it out)"#,
        r#"4:62: run.env.A: expected a text, a number, true or false, got nothing (write "" for an empty value)"#,
        r#"5:20: traffic.sticky: names neither a cookie nor a header (write sticky: { cookie: session } or sticky: { header: x-user-id })"#,
        r#"5:33: traffic.timeout: "5" has no unit (write 5s for seconds, 5ms for milliseconds, 5m for minutes)"#,
        r#"7:43: objectives[0].at_most: "1" has no percent sign (write 1%)"#,
        r#"8:26: objectives[1].bad: "gauge" is not supported yet by this version of Slipway (failed, or slower_than 300ms)"#,
        r#"8:49: objectives[1].at_most: "120%" is more than 100%"#,
        r#"8:65: objectives[1].tolerate: must be above 1x: no amount of requests shows that two versions are exactly alike (for example 2x)"#,
        r#"11:16: environments.production.instances: expected a whole number from 1 to 1000, got "many""#,
        r#"13:29: environments.production.strategy.canary.steps[1]: steps must increase, and 1% comes after 5% (put the smaller one first, or leave it out)"#,
        r#"13:33: environments.production.strategy.canary.steps[2]: the last step must be 100%, not 50% (add 100%)"#,
        r#"13:39: environments.production.strategy.canary.steplimit: unknown key "steplimit" (did you mean step_limit?)"#,
    ];
    assert_eq!(said(text), expected.join("\n"));
}

#[test]
fn a_mistake_reads_as_one_line_and_as_json() {
    let mistakes = parse("service: a\n").unwrap_err();
    assert_eq!(
        mistakes[1].to_string(),
        "1:1: health: a service without a health check cannot be released (health: { http: /healthz })"
    );
    assert_eq!(
        serde_json::to_value(&mistakes[2]).unwrap(),
        serde_json::json!({
            "line": 1, "column": 1, "field": "run", "message": "there is nothing to run",
            "hint": "run: { command: [\"./checkout\", \"--port\", \"{port}\"] }"
        })
    );
}

#[test]
fn what_is_no_yaml() {
    let texts = [
        ("", "1:1: the file declares nothing (start with service: checkout)"),
        ("# nothing\n", "1:1: the file declares nothing (start with service: checkout)"),
        ("---\n", "1:4: expected keys and values, got nothing (start with service: checkout)"),
        ("- a\n", "1:1: expected keys and values, got a list (start with service: checkout)"),
        (
            "service: a\n\trun: b\n",
            "1:10: this is not valid YAML: while scanning a plain scalar, found a tab (indent with spaces)",
        ),
        ("service: [a\n", "1:10: this is not valid YAML: unclosed bracket '['"),
        ("a: \"b\n", "1:4: this is not valid YAML: unclosed quote"),
        ("a: %b\n", "1:4: this is not valid YAML: unexpected character: `%' (put the text in quotes)"),
        (
            "a: *b\n",
            "1:4: this is not valid YAML: while parsing node, found unknown anchor (an alias `*name` needs an anchor `&name` before it; quote a text with *)",
        ),
        (
            "a: b: c\n",
            "1:5: this is not valid YAML: mapping values are not allowed in this context (put the text in quotes if it holds `: `)",
        ),
    ];
    compare(texts.map(|(text, expected)| (text.to_string(), expected.to_string())));
    table(&[
        (
            "---\nservice: other\n",
            "6:1: a second document starts here, and a file declares one service (remove the `---`, or use one file per service)",
        ),
        ("owner: a\nowner: b\n", "7:1: owner: this key is declared twice, first in line 6 (keep one of them)"),
        (
            "owner: !!str 5\n",
            "6:14: owner: YAML tags such as `!!str` are not used here (remove it; put a text in quotes)",
        ),
        ("[a]: b\n", "6:1: a key must be a plain text"),
        (
            "traffic: { <<: { host: a } }\n",
            "6:12: traffic[\"<<\"]: YAML merge keys are not used here (write the keys out, or alias a whole value)",
        ),
        ("smoke: &a [ *a ]\n", "6:13: smoke[0]: this alias stands inside of what it refers to"),
    ]);
}

#[test]
fn keys_that_are_not_known() {
    table(&[
        ("Owner: me\n", "6:1: Owner: unknown key \"Owner\" (did you mean owner?)"),
        (
            "verify: 1m\n",
            "6:1: verify: unknown key \"verify\" (it belongs in environments.<name>.strategy.blue-green or environments.<name>.strategy.canary or environments.<name>.strategy.replace)",
        ),
        ("steps: [1%]\n", "6:1: steps: unknown key \"steps\" (it belongs in environments.<name>.strategy.canary)"),
        (
            "zebra: 1\n",
            "6:1: zebra: unknown key \"zebra\" (known keys here: service, kind, exclusive, owner, run, config, needs_schema, migrate, stateful, one_version, health, smoke, probe, mirror, traffic, objectives, hooks, environments)",
        ),
        (
            "flags: {}\nsecrets: {}\n",
            "6:1: flags: not supported yet by this version of Slipway (leave it out)\n7:1: secrets: not supported yet by this version of Slipway (leave it out)",
        ),
        (
            "\"a.b\\n\": 1\n",
            "6:1: [\"a.b\\n\"]: unknown key \"a.b\\n\" (known keys here: service, kind, exclusive, owner, run, config, needs_schema, migrate, stateful, one_version, health, smoke, probe, mirror, traffic, objectives, hooks, environments)",
        ),
    ]);
    let later = ["secrets", "migrate", "flags"];
    for key in later {
        changes(&[(
            "production: {}",
            &format!("production: {{ {key}: 30d }}"),
            &format!(
                "5:31: environments.production.{key}: not supported yet by this version of Slipway (leave it out)"
            ),
        )]);
    }
    changes(&[(
        "production: {}",
        "production: { strategy: { blue-green: { probe: 1 } } }",
        "5:57: environments.production.strategy.blue-green.probe: not supported yet by this version of Slipway (leave it out)",
    )]);
}

#[test]
fn the_service_and_what_it_runs() {
    changes(&[
        ("service: checkout", "service: ", "1:8: service: expected a name, got nothing (for example checkout)"),
        ("service: checkout", "service: -x", "1:10: service: the service \"-x\" must start with a letter or a digit"),
        (
            "service: checkout\n",
            "",
            "1:1: service: the file does not say which service it declares (service: checkout)",
        ),
        (
            "command: [\"./checkout\", \"{port}\"]",
            "stop_grace: 1s",
            "2:6: run.command: there is nothing to run (command: [\"./checkout\", \"--port\", \"{port}\"])",
        ),
        (
            "[\"./checkout\", \"{port}\"]",
            "[]",
            "2:17: run.command: the command is empty (write [\"./checkout\", \"--port\", \"{port}\"])",
        ),
        ("\"./checkout\"", "\"\"", "2:18: run.command[0]: the program is empty (for example ./checkout)"),
        (
            "\"{port}\"",
            "[a]",
            "2:32: run.command[1]: expected a text, got a list (put an empty argument in quotes: \"\")",
        ),
        ("\"{port}\"", "\"a\\0\"", "2:32: run.command[1]: an argument cannot hold a NUL character"),
        (
            "run: {",
            "run: { env: { a=b: 1, C: {} },",
            "2:15: run.env[\"a=b\"]: \"a=b\" cannot name an environment variable\n2:26: run.env.C: expected a text, a number, true or false, got keys and values (write \"\" for an empty value)",
        ),
        (
            "run: {",
            "run: { stop_grace: [],",
            "2:20: run.stop_grace: expected a duration, got a list (write 300ms, 2s, 10m or 1h)",
        ),
    ]);
    table(&[("owner: \"\"\n", "6:8: owner: must be one short line of text (for example payments-team)")]);
}

#[test]
fn health() {
    changes(&[
        (
            "health: { http: /healthz }\n",
            "",
            "1:1: health: a service without a health check cannot be released (health: { http: /healthz })",
        ),
        (
            "{ http: /healthz }",
            "/healthz",
            "3:9: health: expected keys and values, got \"/healthz\" (health: { http: /healthz })",
        ),
        (
            "{ http: /healthz }",
            "{ interval: 1s }",
            "3:9: health: says nothing of what to ask: http, tcp or command is missing (http: /healthz, or tcp: true)",
        ),
        (
            "http: /healthz",
            "http: /healthz, tcp: true",
            "3:32: health.tcp: stands beside http, and only one of them can be (keep one)",
        ),
        (
            "http: /healthz",
            "http: healthz",
            "3:17: health.http: the path \"healthz\" must start with / (write \"/healthz\")",
        ),
        ("http: /healthz", "http: http://a/b", "3:17: health.http: the path \"http://a/b\" must start with /"),
        (
            "http: /healthz",
            "tcp: false",
            "3:16: health.tcp: expected true, got \"false\" (leave the key out to say no)",
        ),
        (
            "http: /healthz",
            "tcp: true, healthy_after: 0",
            "3:37: health.healthy_after: expected a number from 1 to 1000, got \"0\"",
        ),
        (
            "http: /healthz",
            "tcp: true, healthy_after: 2.5",
            "3:37: health.healthy_after: expected a whole number from 1 to 1000, got \"2.5\"",
        ),
        (
            "http: /healthz",
            "tcp: true, healthy_after: '2'",
            "3:37: health.healthy_after: expected a whole number without quotes, got \"2\" (write 2)",
        ),
        (
            "http: /healthz",
            "tcp: true, interval: 0s",
            "3:32: health.interval: must be longer than nothing (write at least 1ms)",
        ),
        (
            "http: /healthz",
            "tcp: true, intervall: 1s",
            "3:22: health.intervall: unknown key \"intervall\" (did you mean interval?)",
        ),
    ]);
}

#[test]
fn smoke_tests() {
    table(&[
        (
            "smoke: {}\n",
            "6:8: smoke: expected a list, got keys and values (for example - { name: it answers, http: { path: /ready } })",
        ),
        (
            "smoke: [{ tcp: true }]\n",
            "6:9: smoke[0].name: a smoke test needs a name (for example name: a user can log in)",
        ),
        (
            "smoke: [{ name: a }]\n",
            "6:9: smoke[0]: says nothing of what to do: http, tcp or command is missing (for example http: { path: /ready })",
        ),
        (
            "smoke: [{ name: a, tcp: true, command: [b] }]\n",
            "6:40: smoke[0].command: stands beside tcp, and only one of them can be (keep one)",
        ),
        (
            "smoke: [{ name: a, tcp: true }, { name: a, tcp: true }]\n",
            "6:33: smoke[1]: a second smoke test is called \"a\" (name it anew)",
        ),
        (
            "smoke: [{ name: \" \", tcp: true }]\n",
            "6:17: smoke[0].name: the name is empty (for example a user can log in)",
        ),
        (
            "smoke: [{ name: a, http: {} }]\n",
            "6:26: smoke[0].http.path: says nothing of what to ask for (for example path: /ready)",
        ),
        (
            "smoke: [{ name: a, http: /ready }]\n",
            "6:26: smoke[0].http: expected keys and values, got \"/ready\" (write http: { path: /ready, expect: { status: 200 } })",
        ),
        (
            "smoke: [{ name: a, http: { path: /, method: post } }]\n",
            "6:45: smoke[0].http.method: \"post\" is not a method (write POST)",
        ),
        (
            "smoke: [{ name: a, http: { path: /, method: FETCH } }]\n",
            "6:45: smoke[0].http.method: \"FETCH\" is not a method (GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS)",
        ),
        (
            "smoke: [{ name: a, http: { path: /, headers: { \"a b\": c } } }]\n",
            "6:48: smoke[0].http.headers[\"a b\"]: \"a b\" cannot be the name of a header (for example x-user-id)",
        ),
        (
            "smoke: [{ name: a, http: { path: /, headers: { A: b, a: c } } }]\n",
            "6:54: smoke[0].http.headers.a: this header is declared twice; case makes no difference (keep one)",
        ),
        (
            "smoke: [{ name: a, http: { path: /, headers: { Content-Length: 1 } } }]\n",
            "6:48: smoke[0].http.headers.Content-Length: content-length is set by whoever sends the request (leave it out)",
        ),
        (
            "smoke: [{ name: a, http: { path: /, headers: { a: \"b\\nc\" } } }]\n",
            "6:51: smoke[0].http.headers.a: the value of a header must be one line of text",
        ),
        (
            "smoke: [{ name: a, http: { path: /, expect: { status: 99 } } }]\n",
            "6:55: smoke[0].http.expect.status: expected a number from 100 to 599, got \"99\"",
        ),
        (
            "smoke: [{ name: a, http: { path: /, expect: { stat: 200 } } }]\n",
            "6:47: smoke[0].http.expect.stat: unknown key \"stat\" (did you mean status?)",
        ),
        (
            "smoke: [{ name: a, http: { path: /, expect: { body: \"a(\" } } }]\n",
            "6:53: smoke[0].http.expect.body: \"a(\" is not a regular expression: unclosed group",
        ),
        (
            "smoke: [{ name: a, http: { path: /, expect: { json: { n: 0x1F, m: 017, k: .inf } } } }]\n",
            "6:58: smoke[0].http.expect.json.n: \"0x1F\" is not a number in JSON (write it as a decimal number; put it in quotes if it is a text: \"0x1F\")\n6:67: smoke[0].http.expect.json.m: \"017\" is not a number in JSON (write it as a decimal number; put it in quotes if it is a text: \"017\")\n6:75: smoke[0].http.expect.json.k: JSON has no number .inf (put it in quotes if it is a text: \".inf\")",
        ),
        (
            "smoke: [{ name: a, command: ./smoke.sh }]\n",
            "6:29: smoke[0].command: expected a list of program and arguments, got \"./smoke.sh\" (no shell is involved: write [\"./smoke.sh\"])",
        ),
    ]);
}

#[test]
fn captured_values() {
    table(&[
        (
            "smoke: [{ name: a, tcp: true, capture: { b: /c } }]\n",
            "6:40: smoke[0].capture: a connection alone has no answer to capture from (use http or command)",
        ),
        (
            "smoke: [{ name: a, http: { path: / }, capture: { b: $.c.d } }]\n",
            "6:53: smoke[0].capture.b: \"$.c.d\" is not a JSON pointer (write \"/c/d\")",
        ),
        (
            "smoke: [{ name: a, http: { path: / }, capture: { b: /c~2 } }]\n",
            "6:53: smoke[0].capture.b: \"/c~2\" is not a JSON pointer (write ~0 for ~ and ~1 for /)",
        ),
        (
            "smoke: [{ name: a, http: { path: / }, capture: { url: /c } }]\n",
            "6:50: smoke[0].capture.url: {url} has a meaning already (choose another name)",
        ),
        (
            "smoke: [{ name: a, http: { path: / }, capture: { \"b c\": /c } }]\n",
            "6:50: smoke[0].capture[\"b c\"]: \"b c\" cannot name a value (for example token)",
        ),
        (
            "smoke:\n- { name: a, http: { path: \"/{t}\" } }\n- { name: b, http: { path: / }, capture: { t: /t } }\n",
            "7:3: smoke[0]: {t} is used here and captured only by a later one (capture it in a test before this one)",
        ),
        (
            "smoke:\n- { name: a, http: { path: /, method: PUT, json: [{ k: \"x {t}\" }] }, capture: { t: /t } }\n",
            "7:3: smoke[0]: {t} is used here and captured only by this test (capture it in a test before this one)",
        ),
    ]);
}

#[test]
fn traffic() {
    table(&[
        (
            "traffic: { host: \"http://a.b:80/c\" }\n",
            "6:18: traffic.host: the host \"http://a.b:80/c\" must be a name alone, without scheme, port and path (write \"a.b\"; the path has a key of its own)",
        ),
        (
            "traffic: { host: a.b:80 }\n",
            "6:18: traffic.host: the host \"a.b:80\" must be a name alone, without scheme, port and path (write \"a.b\"; the path has a key of its own)",
        ),
        (
            "traffic: { host: \"*.a\" }\n",
            "6:18: traffic.host: the host \"*.a\" has a wildcard, which is not supported yet by this version of Slipway (leave host out to take any host)",
        ),
        (
            "traffic: { host: a..b }\n",
            "6:18: traffic.host: the host \"a..b\" is not a host name (letters, digits, - and dots: checkout.local)",
        ),
        ("traffic: { host: 1.2.3 }\n", "6:18: traffic.host: the host \"1.2.3\" is neither a name nor an address"),
        (
            "traffic: { host: \"[::1]\" }\n",
            "6:18: traffic.host: the host \"[::1]\" is not a host name (letters, digits, - and dots: checkout.local)",
        ),
        (
            "traffic: { host: \"::1\" }\n",
            "6:18: traffic.host: the host \"::1\" is not a host name (letters, digits, - and dots: checkout.local)",
        ),
        ("traffic: { path: api }\n", "6:18: traffic.path: the path \"api\" must start with / (write \"/api\")"),
        (
            "traffic: { path: /api/* }\n",
            "6:18: traffic.path: the path \"/api/*\" has a wildcard (a path covers everything below it: write /api, not /api/*)",
        ),
        (
            "traffic: { path: /a//b }\n",
            "6:18: traffic.path: the path \"/a//b\" has empty or dotted segments, which no request would match (write it without them)",
        ),
        ("traffic: { path: \"/a?b\" }\n", "6:18: traffic.path: the path \"/a?b\" must not hold a query"),
        (
            "traffic: { path: /ä }\n",
            "6:18: traffic.path: the path \"/ä\" must be visible ASCII; write other characters as %XX",
        ),
        (
            "traffic: { sticky: session }\n",
            "6:20: traffic.sticky: expected keys and values, got \"session\" (write sticky: { cookie: session } or sticky: { header: x-user-id })",
        ),
        (
            "traffic: { sticky: { cookie: slipway } }\n",
            "6:30: traffic.sticky.cookie: this is the gateway's own cookie (name a cookie that the service sets)",
        ),
        (
            "traffic: { sticky: { header: \"a:\" } }\n",
            "6:30: traffic.sticky.header: \"a:\" cannot be the name of a header (for example x-user-id)",
        ),
        (
            "traffic: { protocol: grpc }\n",
            "6:22: traffic.protocol: expected http1 or h2c, got \"grpc\" (h2c is HTTP/2 without TLS, as gRPC servers speak it)",
        ),
        ("traffic: { max_body: 1000 }\n", "6:22: traffic.max_body: \"1000\" has no unit (write 1000B, or 10MB, 1GiB)"),
        (
            "traffic: { drain: -1s }\n",
            "6:19: traffic.drain: \"-1s\" is not a duration (write 300ms, 2s, 10m, 1h30m or 30d)",
        ),
    ]);
}

#[test]
fn objectives() {
    let one = "{ name: errors, bad: failed, at_most: 1% }";
    changes(&[
        (
            one,
            "{}",
            "4:14: objectives[0].at_most: says nothing of how many bad events are acceptable (for example at_most: 1%)\n4:14: objectives[0].bad: says nothing of what a bad event is (bad: failed, or bad: slower_than 300ms)\n4:14: objectives[0].name: an objective needs a name (for example name: errors)",
        ),
        (
            "name: errors",
            "name: too many",
            "4:22: objectives[0].name: \"too many\" cannot be a name here (start with a letter; letters, digits, - and _; at most 63)",
        ),
        (
            "bad: failed",
            "bad: slow",
            "4:35: objectives[0].bad: \"slow\" is not a kind of bad event (failed, or slower_than 300ms)",
        ),
        ("bad: failed", "bad: slower_than", "4:35: objectives[0].bad: slower_than needs a bound (slower_than 300ms)"),
        (
            "bad: failed",
            "bad: slower_than stable",
            "4:35: objectives[0].bad: which quantile of stable's latency? (slower_than stable p95)",
        ),
        (
            "bad: failed",
            "bad: slower_than stable p101",
            "4:35: objectives[0].bad: \"p101\" is not a quantile from p50 to p99.9 (slower_than stable p95)",
        ),
        (
            "bad: failed",
            "bad: slower_than stable p95 p99",
            "4:35: objectives[0].bad: one quantile is enough (slower_than stable p95)",
        ),
        (
            "bad: failed",
            "bad: slower_than stable p95",
            "4:68: objectives[0].at_most: 5% of stable's own requests are slower than its p95, by definition (for example at_most: 10%)",
        ),
        (
            "bad: failed",
            "bad: slower_than 300",
            "4:35: objectives[0].bad: \"300\" has no unit (write 300s for seconds, 300ms for milliseconds, 300m for minutes)",
        ),
        (
            "bad: failed",
            "bad: { slower_than: 1s }",
            "4:35: objectives[0].bad: expected what a bad event is, got keys and values (failed, or slower_than 300ms)",
        ),
        (
            "bad: failed",
            "bad: missing order_paid",
            "4:35: objectives[0].bad: missing needs an end and its time (missing checkout_completed within 30s, with after: checkout_started)",
        ),
        (
            "bad: failed",
            "bad: missing order_paid within 3m, after: x",
            "4:35: objectives[0].bad: an end has above 0s and at most 2m to come (within 30s)",
        ),
        (
            "bad: failed",
            "bad: missing order_paid within 30s",
            "4:14: objectives[0]: nothing says what starts the clock (after: checkout_started)",
        ),
        (
            "bad: failed",
            "bad: outcome order_failed, of: order_failed",
            "4:14: objectives[0]: every order_failed is one: of names all that could have been (of: order_placed)",
        ),
        (
            "bad: failed",
            "bad: failed, of: order_placed",
            "4:14: objectives[0]: of goes with outcome and complaint only (outcome order_failed)",
        ),
        (
            "bad: failed",
            "bad: outcome Order, of: order_placed",
            "4:35: objectives[0].bad: a kind of outcome has 1 to 64 lower-case letters, digits and _-., and begins with a letter, like order_failed (for example order_failed)",
        ),
        (
            "at_most: 1%",
            "at_most: 0%",
            "4:52: objectives[0].at_most: must be above 0%: no amount of requests shows that nothing ever fails (for example 0.1%)",
        ),
        ("at_most: 1%", "at_most: 100%", "4:52: objectives[0].at_most: 100% lets every release pass (for example 1%)"),
        (
            "at_most: 1%",
            "at_most: 0.01",
            "4:52: objectives[0].at_most: \"0.01\" has no percent sign (write 1% if a share was meant, 0.01% if a percentage was)",
        ),
        (
            "at_most: 1%",
            "at_most: 1%, tolerate: 0%",
            "4:66: objectives[0].tolerate: must be above 0%: no amount of requests shows that two versions are exactly alike (leave it out for half of at_most)",
        ),
        (
            "at_most: 1% }",
            "at_most: 1% }, { name: errors, bad: failed, at_most: 2% }",
            "4:58: objectives[1]: a second objective is called \"errors\" (name it anew)",
        ),
    ]);
}

#[test]
fn environments_and_strategies() {
    let strategies = [
        ("canry", "5:46: environments.p.strategy: there is no strategy \"canry\" (did you mean canary?)"),
        (
            "flag",
            "5:46: environments.p.strategy: \"flag\" is not supported yet by this version of Slipway (write strategy: { canary: { steps: [1%, 10%, 100%] } }, or strategy: blue-green)",
        ),
        (
            "{}",
            "5:46: environments.p.strategy: names no strategy (write strategy: { canary: { steps: [1%, 10%, 100%] } }, or strategy: blue-green)",
        ),
        (
            "{ bluegreen: {} }",
            "5:48: environments.p.strategy.bluegreen: unknown key \"bluegreen\" (did you mean blue-green?)",
        ),
        (
            "{ canary: {}, rolling: {} }",
            "5:69: environments.p.strategy.rolling: stands beside canary, and only one of them can be (keep one)",
        ),
        (
            "{ canary: 10% }",
            "5:56: environments.p.strategy.canary: expected keys and values, got \"10%\" (write canary: { verify: 1m })",
        ),
        (
            "{ canary: { steps: [] } }",
            "5:65: environments.p.strategy.canary.steps: there are no steps (for example [1%, 5%, 25%, 50%, 100%])",
        ),
        (
            "{ canary: { steps: [0%, 5, 110%] } }",
            "5:66: environments.p.strategy.canary.steps[0]: a step of 0% shows nothing (for example [1%, 5%, 25%, 50%, 100%])\n5:70: environments.p.strategy.canary.steps[1]: \"5\" has no percent sign (write 5%)\n5:73: environments.p.strategy.canary.steps[2]: \"110%\" is more than 100%",
        ),
        (
            "{ canary: { steps: [5%, 5%, 100%] } }",
            "5:70: environments.p.strategy.canary.steps[1]: steps must increase, and 5% comes after 5% (put the smaller one first, or leave it out)",
        ),
        (
            "{ canary: { batch: 1 } }",
            "5:58: environments.p.strategy.canary.batch: unknown key \"batch\" (it belongs in environments.<name>.strategy.rolling)",
        ),
        (
            "{ canary: { alpha: 0.01, beta: 50%, min_requests: 0 } }",
            "5:65: environments.p.strategy.canary.alpha: \"0.01\" has no percent sign (write 1% if a share was meant, 0.01% if a percentage was)\n5:77: environments.p.strategy.canary.beta: \"50%\" is not between 0% and 50% (for example 1%)\n5:96: environments.p.strategy.canary.min_requests: expected a number from 1 to 1000000000, got \"0\"",
        ),
        (
            "{ blue-green: { verify: 0s, on_inconclusive: stop } }",
            "5:70: environments.p.strategy.blue-green.verify: must be longer than nothing (write at least 1ms)\n5:91: environments.p.strategy.blue-green.on_inconclusive: expected hold or rollback, got \"stop\" (hold asks a person, rollback takes the release back)",
        ),
        (
            "{ rolling: { batch: 0, min_ready: 5 } }",
            "5:66: environments.p.strategy.rolling.batch: must be at least 1 (write 2 or 20%)\n5:80: environments.p.strategy.rolling.min_ready: 5 is more than the 4 declared by instances (write 2 or 20%)",
        ),
        (
            "{ rolling: { batch: 0%, min_ready: half } }",
            "5:66: environments.p.strategy.rolling.batch: must be above 0% (write 2 or 20%)\n5:81: environments.p.strategy.rolling.min_ready: expected a number of instances or a percentage, got \"half\" (write 2 or 20%)",
        ),
    ];
    compare(strategies.map(|(strategy, expected)| {
        let environment = format!("p: {{ instances: 4, strategy: {strategy} }}");
        (least("").replace("production: {}", &environment), expected.to_string())
    }));
    changes(&[
        (
            "{ production: {} }",
            "{}",
            "5:15: environments: a service needs 1 to 100 environments to be released into (environments: { production: { instances: 2, strategy: canary } })",
        ),
        (
            "environments: { production: {} }\n",
            "",
            "1:1: environments: a service needs an environment to be released into (environments: { production: { instances: 2, strategy: canary } })",
        ),
        (
            "production: {}",
            "\"a b\": {}",
            "5:17: environments[\"a b\"]: the environment \"a b\" may hold only letters, digits, `-` and `_`",
        ),
        (
            "production: {}",
            "production: canary",
            "5:29: environments.production: expected keys and values, got \"canary\" (write { instances: 2, strategy: canary })",
        ),
        (
            "production: {}",
            "production: { instances: 0 }",
            "5:42: environments.production.instances: expected a number from 1 to 1000, got \"0\"",
        ),
        (
            "production: {}",
            "production: { instances: 1001 }",
            "5:42: environments.production.instances: expected a number from 1 to 1000, got \"1001\"",
        ),
        (
            "production: {}",
            "production: { env: { VERSION: 1 } }",
            "5:38: environments.production.env.VERSION: VERSION is set by Slipway for each instance (leave it out)",
        ),
        (
            "production: {}",
            "production: { traffic: { timeout: 1s } }",
            "5:42: environments.production.traffic.timeout: unknown key \"timeout\" (it belongs in health or hooks[] or migrate)",
        ),
    ]);
}
