//! The configuration digest: what, beside the artifact, makes a version that version.
//!
//! It covers `run`, `config`, `needs_schema`, `migrate` and every environment's overlay of them, and nothing else: the number of instances, health checks,
//! smoke tests, objectives, traffic and strategies may change without a new version.
//!
//! The bytes that are hashed are the compact JSON of [`Canonical`], and their rules keep a digest for ever:
//! - The first member names the format. It changes only if the meaning of the others does.
//! - Members stand in the order in which `Canonical` declares them, which new ones join at the end of their object;
//!   map keys stand in the order of their UTF-8 bytes.
//! - What has its default value is left out, and so is an environment without an overlay. A key that is added later
//!   therefore changes no digest of a file that does not use it, and a default never changes within a format.
//! - Values of environment variables are the text that was written.

use std::collections::BTreeMap;

use serde::Serialize;

use super::config::Config;
use super::model::ServiceSpec;
use super::worker::StopSignal;
use crate::names::Digest;

const FORMAT: &str = "slipway-configuration-1";
const DEFAULT_STOP_GRACE_MS: u64 = 10_000;
const DEFAULT_MIGRATE_TIMEOUT_MS: u64 = 600_000;

#[derive(Serialize)]
struct Canonical<'s> {
    format: &'static str,
    run: Run<'s>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environments: BTreeMap<&'s str, Overlay<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Files<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs_schema: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    migrate: Option<Migrate<'s>>,
}

#[derive(Serialize)]
struct Migrate<'s> {
    expand: &'s [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    revert: Option<&'s [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<&'s [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

#[derive(Serialize)]
struct Files<'s> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    values: &'s BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    files: &'s BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env_file: Option<&'s str>,
}

impl<'s> Files<'s> {
    fn of(config: &'s Config) -> Option<Files<'s>> {
        let empty = config.values.is_empty() && config.files.is_empty() && config.env_file.is_none();
        (!empty).then_some(Files { values: &config.values, files: &config.files, env_file: config.env_file.as_deref() })
    }
}

#[derive(Serialize)]
struct Run<'s> {
    command: &'s [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: &'s BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_grace_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<&'static str>,
}

#[derive(Serialize)]
struct Overlay<'s> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: &'s BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Files<'s>>,
}

/// The digest of the configuration that `spec` declares.
pub fn config_digest(spec: &ServiceSpec) -> Digest {
    Digest::of(&canonical(spec))
}

fn canonical(spec: &ServiceSpec) -> Vec<u8> {
    let run = Run {
        command: &spec.run.command,
        env: &spec.run.env,
        stop_grace_ms: Some(spec.run.stop_grace.0).filter(|ms| *ms != DEFAULT_STOP_GRACE_MS),
        stop_signal: Some(spec.run.stop_signal).filter(|s| *s != StopSignal::default()).map(StopSignal::name),
    };
    let environments = spec
        .environments
        .iter()
        .map(|e| (e.name.as_str(), Overlay { env: &e.env, config: Files::of(&e.config) }))
        .filter(|(_, overlay)| !overlay.env.is_empty() || overlay.config.is_some())
        .collect();
    let migrate = spec.migrate.as_ref().map(|migrate| Migrate {
        expand: &migrate.expand,
        revert: migrate.revert.as_deref(),
        contract: migrate.contract.as_deref(),
        timeout_ms: Some(migrate.timeout.0).filter(|ms| *ms != DEFAULT_MIGRATE_TIMEOUT_MS),
    });
    // Texts, numbers and maps with text keys always become JSON; there is nothing here that could fail.
    serde_json::to_vec(&Canonical {
        format: FORMAT,
        run,
        environments,
        config: Files::of(&spec.config),
        needs_schema: spec.needs_schema,
        migrate,
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse;

    const FILE: &str = r#"
service: checkout
run:
  command: ["./checkout", "--port", "{port}"]
  env: { LOG_LEVEL: info, API: "1.10" }
health: { http: /healthz }
environments:
  staging: { instances: 2 }
  production: { env: { LOG_LEVEL: warn } }
"#;

    fn digest(text: &str) -> Digest {
        config_digest(&parse(text).unwrap().spec)
    }

    /// If this fails, every version that anybody has released changes its identity: do not mend the numbers.
    #[test]
    fn the_digest_stays_what_it_was() {
        let spec = parse(FILE).unwrap().spec;
        assert_eq!(
            String::from_utf8(canonical(&spec)).unwrap(),
            concat!(
                r#"{"format":"slipway-configuration-1","run":{"command":["./checkout","--port","{port}"],"#,
                r#""env":{"API":"1.10","LOG_LEVEL":"info"}},"environments":{"production":{"env":{"LOG_LEVEL":"warn"}}}}"#
            )
        );
        assert_eq!(
            config_digest(&spec).as_str(),
            "sha256:c3fc43b2a2f2f4c8499710ab9e9c5c2b7e8eded67828ffe2e33ac4aea28592e2"
        );
    }

    #[test]
    fn what_is_no_configuration_does_not_count() {
        for (from, to) in [
            ("instances: 2", "instances: 7, strategy: rolling, traffic: { host: staging.local }"),
            ("service: checkout", "owner: somebody\nservice: checkout"),
            ("health: { http: /healthz }", "health: { tcp: true, interval: 5s }\nsmoke: [{ name: a, tcp: true }]"),
            (
                "environments:",
                "traffic: { timeout: 5s }\nobjectives: [{ name: e, bad: failed, at_most: 2% }]\nenvironments:\n  more:",
            ),
            ("env: { LOG_LEVEL: info, API: \"1.10\" }", "env: { API: 1.10, LOG_LEVEL: info }\n  stop_grace: 10s"),
        ] {
            assert!(FILE.contains(from), "{from}");
            assert_eq!(digest(&FILE.replace(from, to)), digest(FILE), "{to}");
        }
    }

    #[test]
    fn what_is_configuration_counts() {
        for (from, to) in [
            ("\"--port\"", "\"--prt\""),
            ("LOG_LEVEL: info", "LOG_LEVEL: debug"),
            ("\"1.10\"", "\"1.1\""),
            ("LOG_LEVEL: warn", "LOG_LEVEL: info"),
            ("health:", "  stop_grace: 11s\nhealth:"),
            ("{ instances: 2 }", "{ env: { A: b } }"),
            ("{ instances: 2 }", "{ config: { values: { A: b } } }"),
            ("health:", "config: { values: { A: b } }\nhealth:"),
            ("health:", "config: { files: { a.conf: b } }\nhealth:"),
            ("health:", "config: { env_file: /etc/a.env }\nhealth:"),
            ("health:", "needs_schema: 2\nhealth:"),
            ("health:", "needs_schema: 2\nmigrate: { expand: [up] }\nhealth:"),
        ] {
            assert!(FILE.contains(from), "{from}");
            assert_ne!(digest(&FILE.replace(from, to)), digest(FILE), "{to}");
        }
    }
}
