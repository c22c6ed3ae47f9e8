//! How the courier is to behave, good or bad, read once at its start from the environment and `./courier.env`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;

/// The file of `KEY=VALUE` lines in the working folder that goes before the environment.
const FILE: &str = "courier.env";

/// How it is to behave.
#[derive(Debug, Clone)]
pub struct Behaviour {
    pub version: String,
    pub instance: String,
    pub queue: PathBuf,
    pub job: Duration,
    pub job_in_child: bool,
    pub lose_share: f64,
    pub exit_after: Option<Duration>,
    pub exit_file: Option<PathBuf>,
    pub exit_at_start: bool,
    pub ignore_sigterm: bool,
    pub unhealthy_file: Option<PathBuf>,
    pub outcomes_url: Option<String>,
    pub outcomes_token: String,
    pub outcomes_environment: String,
}

impl Behaviour {
    /// Reads the environment and `./courier.env`.
    pub fn read() -> anyhow::Result<Self> {
        let mut values: BTreeMap<String, String> = std::env::vars().collect();
        match std::fs::read_to_string(FILE) {
            Ok(text) => {
                let pairs = text.lines().filter_map(|line| line.split_once('='));
                values.extend(pairs.map(|(key, value)| (key.trim().to_string(), value.trim().to_string())));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(FILE),
        }
        let text = |key: &str| values.get(key).cloned();
        let flag = |key: &str| values.get(key).is_some_and(|value| value == "1");
        let millis = |key| Ok::<_, anyhow::Error>(number::<u64>(&values, key)?.map(Duration::from_millis));
        Ok(Self {
            version: text("VERSION").unwrap_or_else(|| "0".to_string()),
            instance: text("INSTANCE").unwrap_or_else(|| format!("pid-{}", std::process::id())),
            queue: PathBuf::from(text("QUEUE").unwrap_or_else(|| "queue".to_string())),
            job: millis("JOB_MS")?.unwrap_or(Duration::from_millis(300)),
            job_in_child: flag("JOB_IN_CHILD"),
            lose_share: number(&values, "LOSE_SHARE")?.unwrap_or(0.0),
            exit_after: millis("EXIT_AFTER_MS")?,
            exit_file: text("EXIT_FILE").map(PathBuf::from),
            exit_at_start: flag("EXIT_AT_START"),
            ignore_sigterm: flag("IGNORE_SIGTERM"),
            unhealthy_file: text("UNHEALTHY_FILE").map(PathBuf::from),
            outcomes_url: text("OUTCOMES_URL"),
            outcomes_token: text("OUTCOMES_TOKEN").unwrap_or_default(),
            outcomes_environment: text("OUTCOMES_ENVIRONMENT").unwrap_or_else(|| "production".to_string()),
        })
    }
}

fn number<T: FromStr>(values: &BTreeMap<String, String>, key: &str) -> anyhow::Result<Option<T>> {
    let read = |text: &String| text.parse().map_err(|_| anyhow::anyhow!("{key}: {text:?} is no number"));
    values.get(key).map(read).transpose()
}
