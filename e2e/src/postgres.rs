//! A PostgreSQL server of a test's own, in a folder of its own on a free port. Killed when dropped.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use tokio::process::{Child, Command};

use crate::wait::until;

/// Nobody: the server refuses to run as root.
const NOBODY: u32 = 65_534;

/// A server that runs.
pub struct Postgres {
    port: u16,
    _server: Child,
    _folder: tempfile::TempDir,
}

impl Postgres {
    /// Starts one and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let root = rustix::process::geteuid().is_root();
        if root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let made = command(&programs()?.join("initdb"), root)
            .args(["--username=slipway", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output()
            .await?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = command(&programs()?.join("postgres"), root)
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c"])
            .arg(format!("unix_socket_directories={}", folder.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let postgres = Postgres { port, _server: server, _folder: folder };
        until("PostgreSQL answers", async || postgres.query("SELECT 1").await.ok()).await?;
        Ok(postgres)
    }

    /// Where it is, as clients write it.
    pub fn url(&self) -> String {
        format!("postgres://slipway@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs statements through `psql`; returns the rows of the last one, columns parted by `|`.
    pub async fn query(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let output = Command::new("psql")
            .args([&self.url(), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
            .await
            .context("psql")?;
        ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.lines().map(str::to_string).collect())
    }
}

/// A program of the server, as nobody where this is root.
fn command(program: &Path, root: bool) -> Command {
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program).current_dir("/");
    command
}

/// Where Debian keeps the server's programs: the newest version there is.
fn programs() -> anyhow::Result<PathBuf> {
    let folders =
        std::fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed: scripts/setup --tools")?;
    let mut found: Vec<(u32, PathBuf)> = folders
        .filter_map(|folder| Some((folder.as_ref().ok()?.file_name().to_str()?.parse().ok()?, folder.ok()?.path())))
        .filter(|(_, folder): &(u32, PathBuf)| folder.join("bin/postgres").is_file())
        .collect();
    found.sort();
    match found.pop() {
        Some((_, folder)) => Ok(folder.join("bin")),
        None => bail!("PostgreSQL is not installed: scripts/setup --tools"),
    }
}
