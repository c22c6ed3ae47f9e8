//! How the shop is to behave, good or bad, read once at its start from arguments, environment and `./shop.env`.
//! Decides nothing; [`crate::service`] acts on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};

/// The file of `KEY=VALUE` lines in the working folder that goes before the environment.
const FILE: &str = "shop.env";

pub const HELP: &str = "\
shop: a small HTTP service to release with Slipway, and to break on purpose

Usage: shop [--port PORT | --socket PATH]

    GET  /                       a greeting, with the version
    GET  /healthz                200 as long as the process can answer
    GET  /ready                  200 when it can serve customers
    GET  /version                {\"version\", \"instance\"}
    POST /login {\"user\": U}      {\"ok\": true, \"token\": T}
    GET  /cart                   needs `Authorization: Bearer T`
    POST /checkout               {\"ok\": true, \"order\": N}
    GET  /slow?ms=N              answers after N milliseconds
    GET  /download?mb=N&seconds=S  N MiB in chunks at a steady pace
    GET  /events                 server-sent events, one each 100 ms
    GET  /ws                     WebSocket, says back what it is told

Every answer carries X-Version and X-Instance.

Environment (a file `shop.env` of KEY=VALUE lines in the working folder goes before it):
    PORT or SOCKET               where it listens: a port of 127.0.0.1, or the path of a Unix socket
    VERSION, INSTANCE            what it calls itself

Customers' paths (/, /checkout, /slow) only, so that a bad build can pass its smoke tests:
    FAIL_RATE=0.3                this share of requests gets a 500
    FAIL_FOR_USER=alice          every request with the cookie session=alice gets a 500
    SLOW_MS=800 SLOW_RATE=0.1    this share of requests (default: all) is answered so much later
    CRASH_AFTER=100              exits with code 3 in the middle of that request
    CRASH_RATE=0.01              exits with code 3 in the middle of this share of requests

    LOSE_ORDERS=0.2              this share of orders is lost: answered with 200, reported as failed, never completed
    OUTCOMES_URL=http://HOST:PORT/PATH  where POST /checkout reports what became of orders, with OUTCOMES_TOKEN,
                                 of OUTCOMES_ENVIRONMENT (default: production); silent where absent
    OUTCOMES_BY_KEY=1            reports name the user and not the version

    SMOKE_FAIL=1                 nobody can log in
    OUTAGE_FILE=/tmp/outage      while that file exists, all but /healthz and /version get a 503
    NEVER_HEALTHY=1              /healthz gets a 503
    START_DELAY_MS=5000          listens only after so long
    EXIT_AT_START=1              exits with code 1 at once
    IGNORE_PORT=1                listens on a port that nobody asked for
    LOG_MB=100                   writes so many MiB to standard output before it listens
    FORK_CHILDREN=3              starts so many children that do nothing
    IGNORE_SIGTERM=1             does not end when it is asked to
";

/// Where the shop listens.
#[derive(Debug, Clone, PartialEq)]
pub enum Listen {
    /// On a port of 127.0.0.1.
    Port(u16),
    /// On a socket with this path.
    Socket(PathBuf),
}

impl Default for Listen {
    fn default() -> Self {
        Listen::Port(0)
    }
}

/// See [`HELP`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Behaviour {
    pub listen: Listen,
    pub version: String,
    pub instance: String,
    pub fail_rate: f64,
    pub fail_for_user: Option<String>,
    pub slow_ms: u64,
    pub slow_rate: f64,
    pub crash_after: Option<u64>,
    pub crash_rate: f64,
    pub lose_orders: f64,
    pub outcomes_url: Option<String>,
    pub outcomes_token: String,
    pub outcomes_environment: String,
    pub outcomes_by_key: bool,
    pub smoke_fail: bool,
    pub outage_file: Option<PathBuf>,
    pub never_healthy: bool,
    pub start_delay_ms: u64,
    pub exit_at_start: bool,
    pub ignore_port: bool,
    pub log_mb: u64,
    pub fork_children: u32,
    pub ignore_sigterm: bool,
}

impl Behaviour {
    /// Reads arguments, the environment and `./shop.env`.
    pub fn read(arguments: &[String]) -> anyhow::Result<Self> {
        let mut values: BTreeMap<String, String> = std::env::vars().collect();
        match std::fs::read_to_string(FILE) {
            Ok(text) => values.extend(parse_file(&text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("cannot read shop.env"),
        }
        match arguments {
            [] => {}
            [flag, port] if flag == "--port" => {
                values.remove("SOCKET");
                values.insert("PORT".into(), port.clone());
            }
            [flag, path] if flag == "--socket" => drop(values.insert("SOCKET".into(), path.clone())),
            _ => bail!("unknown arguments {arguments:?}; try --help"),
        }
        Self::from_values(&values)
    }

    fn from_values(values: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let text = |key: &str| values.get(key).filter(|v| !v.is_empty()).cloned();
        let flag = |key: &str| text(key).is_some_and(|v| v != "0" && v != "false");
        let share = |key: &str, default: f64| -> anyhow::Result<f64> {
            let share = number(values, key)?.unwrap_or(default);
            ensure!((0.0..=1.0).contains(&share), "{key}={share} is not a share from 0 to 1");
            Ok(share)
        };
        Ok(Self {
            listen: match (text("SOCKET"), number(values, "PORT")?) {
                (Some(path), _) => Listen::Socket(path.into()),
                (None, port) => Listen::Port(port.context("no port: set PORT or give --port")?),
            },
            version: text("VERSION").unwrap_or_else(|| "unknown".into()),
            instance: text("INSTANCE").unwrap_or_else(|| format!("shop-{}", std::process::id())),
            fail_rate: share("FAIL_RATE", 0.0)?,
            fail_for_user: text("FAIL_FOR_USER"),
            slow_ms: number(values, "SLOW_MS")?.unwrap_or(0),
            slow_rate: share("SLOW_RATE", 1.0)?,
            crash_after: number(values, "CRASH_AFTER")?,
            crash_rate: share("CRASH_RATE", 0.0)?,
            lose_orders: share("LOSE_ORDERS", 0.0)?,
            outcomes_url: text("OUTCOMES_URL"),
            outcomes_token: text("OUTCOMES_TOKEN").unwrap_or_default(),
            outcomes_environment: text("OUTCOMES_ENVIRONMENT").unwrap_or_else(|| "production".into()),
            outcomes_by_key: flag("OUTCOMES_BY_KEY"),
            smoke_fail: flag("SMOKE_FAIL"),
            outage_file: text("OUTAGE_FILE").map(PathBuf::from),
            never_healthy: flag("NEVER_HEALTHY"),
            start_delay_ms: number(values, "START_DELAY_MS")?.unwrap_or(0),
            exit_at_start: flag("EXIT_AT_START"),
            ignore_port: flag("IGNORE_PORT"),
            log_mb: number(values, "LOG_MB")?.unwrap_or(0),
            fork_children: number(values, "FORK_CHILDREN")?.unwrap_or(0),
            ignore_sigterm: flag("IGNORE_SIGTERM"),
        })
    }
}

fn number<T: FromStr>(values: &BTreeMap<String, String>, key: &str) -> anyhow::Result<Option<T>> {
    match values.get(key).map(|v| v.trim()).filter(|v| !v.is_empty()) {
        None => Ok(None),
        Some(value) => value.parse().map(Some).map_err(|_| anyhow::anyhow!("{key}={value} is not a fitting number")),
    }
}

fn parse_file(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(n, line)| {
            let (key, value) = line.split_once('=').with_context(|| format!("{FILE}:{}: no `=` in {line:?}", n + 1))?;
            Ok((key.trim().to_string(), value.trim().to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviour(text: &str) -> Result<Behaviour, String> {
        let values = parse_file(text).map_err(|e| e.to_string())?;
        Behaviour::from_values(&values).map_err(|e| e.to_string())
    }

    #[test]
    fn lines_are_read_and_comments_and_blanks_are_not() {
        let read =
            behaviour("# bad\n\nPORT=81\n FAIL_RATE = 0.5 \nIGNORE_SIGTERM=1\nSMOKE_FAIL=0\nFAIL_FOR_USER=\n").unwrap();
        assert_eq!(
            (read.listen.clone(), read.fail_rate, read.ignore_sigterm, read.smoke_fail),
            (Listen::Port(81), 0.5, true, false)
        );
        assert_eq!((read.slow_rate, read.fail_for_user, read.crash_after), (1.0, None, None));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(behaviour("").unwrap_err(), "no port: set PORT or give --port");
        assert_eq!(behaviour("PORT=80\nFAIL_RATE=30%").unwrap_err(), "FAIL_RATE=30% is not a fitting number");
        assert_eq!(behaviour("PORT=80\nFAIL_RATE=30").unwrap_err(), "FAIL_RATE=30 is not a share from 0 to 1");
        assert_eq!(behaviour("PORT").unwrap_err(), "shop.env:1: no `=` in \"PORT\"");
    }

    #[test]
    fn every_variable_is_in_the_help() {
        let source = include_str!("behaviour.rs");
        let (_, reading) = source.split_once("fn from_values").unwrap();
        let (reading, _) = reading.split_once("\n    }\n").unwrap();
        let keys: Vec<&str> = reading
            .split('"')
            .filter(|w| w.len() > 3 && w.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            .collect();
        assert!(keys.len() > 15, "{keys:?}");
        for key in keys {
            assert!(HELP.contains(key), "{key} is not in the help");
            assert!(include_str!("../README.md").contains(key), "{key} is not in the README");
        }
    }
}
