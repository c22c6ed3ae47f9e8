//! Builds of the shop to release, its declaration, and a shop that runs without Slipway.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::programs::program;

const EXAMPLE: &str = include_str!("../../examples/shop/slipway.yaml");

/// Makes a build of the shop, a folder `name` in `folder`, that behaves as `variables` say. `BUILD` is among them, so
/// that two builds are never the same bytes.
pub fn build(folder: &Path, name: &str, variables: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
    let build = folder.join(name);
    fs::create_dir_all(&build)?;
    fs::copy(program("shop")?, build.join("shop")).context("cannot copy the shop")?;
    let lines = variables.iter().map(|(key, value)| format!("{key}={value}\n"));
    fs::write(build.join("shop.env"), format!("BUILD={name}\n{}", lines.collect::<String>()))?;
    Ok(build)
}

/// The example's `slipway.yaml` with other environments: lines as they stand below `environments:`, unindented. What counts
/// as slow is slower than in the example, and health checks wait longer: a machine that is busy with several stories, or stands
/// still for a second or two, must not take part in them.
pub fn declaration(environments: &str) -> String {
    let example = EXAMPLE.replace("slower_than 300ms", "slower_than 3s").replace("timeout: 1s", "timeout: 10s");
    let (above, _) = example.split_once("environments:\n").unwrap_or((&example, ""));
    let lines = environments.lines().map(|line| format!("  {line}\n"));
    format!("{above}environments:\n{}", lines.collect::<String>())
}

/// A shop that runs by itself. Killed when dropped.
pub struct Standalone {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub process: Child,
    _folder: tempfile::TempDir,
}

impl Standalone {
    /// Starts one that behaves as `variables` say, and waits until it listens.
    pub async fn start(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(program("shop")?);
        command.env("PORT", "0").envs(variables.iter().copied()).current_dir(folder.path());
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut said = BufReader::new(process.stdout.take().context("no standard output")?).lines();
        while let Some(line) = said.next_line().await? {
            if let Some((_, address)) = line.split_once("listens on ") {
                let address = address.parse()?;
                // Somebody has to listen to what it says later.
                tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
                return Ok(Self { address, process, _folder: folder });
            }
        }
        anyhow::bail!("the shop ended before it listened")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_keeps_the_example_and_changes_the_environments() {
        let text = declaration("production:\n  instances: 2\n  strategy: { rolling: { batch: 1 } }");
        assert!(text.starts_with("service: shop\n"));
        assert!(
            text.ends_with("environments:\n  production:\n    instances: 2\n    strategy: { rolling: { batch: 1 } }\n")
        );
        assert_eq!(text.matches("instances:").count(), 1);
        assert!(text.contains("slower_than 3s,") && text.contains("timeout: 10s,"), "{text}");
    }
}
