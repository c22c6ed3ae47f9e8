//! One Slipway: started on a folder of its own, talked to, killed, started again, taken down.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::ports::free_port;
use crate::process::{self, Process, Signal};
use crate::programs::program;
use crate::shop::declaration;
use crate::wait::until_within;

/// How long a start may take, on a machine that is busy with other tests.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long one command may take: a whole rollout.
const COMMAND_LIMIT: Duration = Duration::from_secs(600);
/// How long a process may take to end once it was told to, on such a machine.
const END_LIMIT: Duration = Duration::from_secs(90);

/// How to start it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder; one in a fresh temporary folder where absent.
    pub data: Option<PathBuf>,
    /// Where the API is to listen. Default: a free port of 127.0.0.1, which nobody takes while it is killed and started again.
    pub api: SocketAddr,
    /// Where the gateway is to listen. Default: such a port.
    pub traffic: SocketAddr,
    /// The database on a server; the data folder's own where absent.
    pub database: Option<String>,
    /// The program; the one that was built beside this one where absent.
    pub slipway: Option<PathBuf>,
    /// Further arguments of `slipway up`.
    pub further: Vec<String>,
    /// Further variables of `slipway up`.
    pub variables: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        let free = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (further, variables) = (Vec::new(), Vec::new());
        Self { data: None, api: free(), traffic: free(), database: None, slipway: None, further, variables }
    }
}

/// What `slipway up --json` prints once it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Ready {
    api: String,
    traffic: String,
    #[serde(default)]
    tls: Option<String>,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// Exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// The last line of standard output as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        let line = self.stdout.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
        serde_json::from_str(line).with_context(|| format!("no JSON at the end of its output\n{self}"))
    }

    /// Itself, if it exited with this code.
    pub fn expect(self, code: i32) -> anyhow::Result<Self> {
        ensure!(self.code == code, "exit code {code} was expected\n{self}");
        Ok(self)
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr } = self;
        write!(f, "{command}\nexit code {code}\nstandard output: {}\nstandard error: {}", stdout.trim(), stderr.trim())
    }
}

/// A running Slipway. Dropping it kills everything that belongs to its data folder.
pub struct Slipway {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where the gateway listens.
    pub traffic: SocketAddr,
    /// Where it speaks TLS, if it does.
    pub tls: Option<SocketAddr>,
    /// Its data folder.
    pub data: PathBuf,
    /// Its database on a server, if it has one; what the next start is given.
    pub database: Option<String>,
    program: PathBuf,
    up: Option<Child>,
    further: Vec<String>,
    variables: Vec<(String, String)>,
    folder: Option<tempfile::TempDir>,
    starts: u32,
}

impl Slipway {
    /// Starts one and waits until it is ready.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("slipway-").tempdir()?;
        let data = options.data.unwrap_or_else(|| folder.path().join("data"));
        let program = options.slipway.map_or_else(|| program("slipway"), Ok)?;
        let Options { api, traffic, database, further, variables, .. } = options;
        let folder = Some(folder);
        let mut slipway =
            Self { api, traffic, tls: None, data, database, program, up: None, further, variables, folder, starts: 0 };
        slipway.up().await?;
        Ok(slipway)
    }

    /// Starts it again, after it was killed or has ended, on the same data and the same addresses.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        ensure!(self.control_plane().is_none_or(|pid| !process::runs(pid)), "it still runs");
        self.up().await
    }

    /// A folder beside the data folder, for builds and declarations; gone when this is dropped.
    pub fn scratch(&self) -> &Path {
        self.folder.as_ref().map_or(&self.data, |folder| folder.path())
    }

    /// The address of the traffic as a URL.
    pub fn traffic_url(&self) -> String {
        format!("http://{}/", self.traffic)
    }

    /// The first token.
    pub fn token(&self) -> anyhow::Result<String> {
        let path = self.data.join("token");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// A command line of `slipway` that is pointed at this one, not started yet.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.scratch()).stdin(Stdio::null()).kill_on_drop(true);
        command.env("SLIPWAY_SERVER", format!("http://{}", self.api)).env("SLIPWAY_TOKEN", self.token()?);
        Ok(command)
    }

    /// Runs `slipway` with these arguments to its end, whatever its exit code.
    pub async fn cli(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let line = format!("slipway {}", arguments.join(" "));
        let run = self.command(arguments)?.output();
        let output =
            tokio::time::timeout(COMMAND_LIMIT, run).await.with_context(|| format!("{line} does not end"))??;
        Ok(Output {
            command: line,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command that must succeed, with `--json`, and gives what it printed last.
    pub async fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        self.cli(&[arguments, &["--json"]].concat()).await?.expect(0)?.json()
    }

    /// Writes the shop's `slipway.yaml`, with these environments, where [`Slipway::release`] finds it.
    pub fn declare(&self, environments: &str) -> anyhow::Result<()> {
        Ok(fs::write(self.scratch().join("slipway.yaml"), declaration(environments))?)
    }

    /// `release --json` of a build into an environment, with further arguments; waits for its end.
    pub async fn release(
        &self,
        version: &str,
        build: &Path,
        environment: &str,
        further: &[&str],
    ) -> anyhow::Result<Output> {
        let path = build.to_string_lossy();
        let arguments =
            ["release", "-f", "slipway.yaml", "--version", version, "--path", &path, "--env", environment, "--json"];
        self.cli(&[&arguments, further].concat()).await
    }

    /// `status --json` for one service in one environment; `None` where it is not known.
    pub async fn lane(&self, service: &str, environment: &str) -> anyhow::Result<Option<Value>> {
        let all = self.json(&["status"]).await?;
        let lanes = all.as_array().context("status is not a list")?;
        Ok(lanes.iter().find(|lane| lane["service"] == service && lane["environment"] == environment).cloned())
    }

    /// GET of an API path below `/api/v1`.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("http://{}/api/v1{path}", self.api);
        let answer = client().get(url).bearer_auth(self.token()?).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Process id of the control plane that was started last.
    pub fn control_plane(&self) -> Option<u32> {
        self.up.as_ref().and_then(Child::id)
    }

    /// Everything that runs for this Slipway: control plane, gateway, shims, instances.
    pub fn processes(&self) -> Vec<Process> {
        process::belonging_to(&self.data)
    }

    /// Process id of the gateway, found by its command line.
    pub fn gateway(&self) -> Option<u32> {
        self.subcommand("gateway").first().map(|process| process.pid)
    }

    /// The shims, one for each instance.
    pub fn shims(&self) -> Vec<Process> {
        self.subcommand("run-instance")
    }

    /// The shops that run as its instances.
    pub fn shops(&self) -> Vec<Process> {
        let mut all = self.processes();
        all.retain(|process| process.command.starts_with("./shop"));
        all
    }

    /// SIGKILL to the control plane; returns when it is gone. Gateway and instances go on.
    pub async fn kill_control_plane(&mut self) -> anyhow::Result<()> {
        let mut up = self.up.take().context("it was not started")?;
        up.start_kill()?;
        up.wait().await?;
        Ok(())
    }

    /// Waits until the control plane has ended of itself, with everything that it held.
    pub async fn control_plane_ended(&mut self) -> anyhow::Result<()> {
        let mut up = self.up.take().context("it was not started")?;
        // Not by its state in /proc: its other threads may hold ports and locks for a moment longer.
        tokio::time::timeout(END_LIMIT, up.wait()).await.context("`up` does not end")??;
        Ok(())
    }

    /// SIGTERM to the control plane; returns when it has ended as it should. Gateway and instances go on.
    pub async fn end_control_plane(&mut self) -> anyhow::Result<()> {
        let mut up = self.up.take().context("it was not started")?;
        process::signal(up.id().context("it has ended already")?, Signal::TERM)?;
        let ended = tokio::time::timeout(END_LIMIT, up.wait()).await.context("`up` does not end at SIGTERM")??;
        ensure!(ended.success(), "`up` ended with {ended}\n{}", self.said());
        Ok(())
    }

    /// SIGKILL to the gateway; returns when that process is gone, not when another has taken its place.
    pub async fn kill_gateway(&self) -> anyhow::Result<()> {
        let pid = self.gateway().context("there is no gateway")?;
        kill(pid).await
    }

    /// `slipway down`; then nothing may be left.
    pub async fn down(mut self) -> anyhow::Result<()> {
        self.cli(&["down"]).await?.expect(0)?;
        if let Some(mut up) = self.up.take() {
            let ended =
                tokio::time::timeout(END_LIMIT, up.wait()).await.context("`up` does not end after `down`")??;
            ensure!(ended.success(), "`up` ended with {ended}\n{}", self.said());
        }
        let left = self.processes();
        ensure!(left.is_empty(), "`down` left behind {left:#?}");
        Ok(())
    }

    /// Lets it run on after this program has ended, and keeps its folder.
    pub fn keep(mut self) {
        if let Some(folder) = self.folder.take() {
            let _ = folder.keep();
        }
        // Neither killed nor waited for from here on.
        std::mem::forget(self.up.take());
    }

    /// What `up` wrote, for messages.
    pub fn said(&self) -> String {
        let read = |stream| fs::read_to_string(self.log(stream)).unwrap_or_default();
        format!("{}{}", read("out"), read("err"))
    }

    async fn up(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        let mut command = Command::new(&self.program);
        command.args(["up", "--json", "--api", &self.api.to_string(), "--traffic", &self.traffic.to_string()]);
        // First by the variable, later by the option: both must do.
        match &self.database {
            Some(database) if self.starts == 1 => command.env("SLIPWAY_DATABASE", database),
            database => command.args(database.iter().flat_map(|database| ["--database", database])),
        };
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(&self.further).arg("--data").arg(&self.data).current_dir(self.scratch()).stdin(Stdio::null());
        // Files, not pipes: it may outlive this program. A group of its own: an interrupt at the keyboard is for us.
        command.stdout(File::create(self.log("out"))?).stderr(File::create(self.log("err"))?).process_group(0);
        let mut up = command.spawn().context("cannot start slipway")?;
        let log = self.log("out");
        let ready = until_within(START_LIMIT, "slipway is ready", async || {
            let ended = up.try_wait().ok().flatten();
            let text = fs::read_to_string(&log).unwrap_or_default();
            let line = text.split_once('\n').map(|(line, _)| line.to_string());
            line.map(Ok).or(ended.map(Err))
        })
        .await;
        // It says why it ends before it has ended.
        if let Ok(Ok(line)) = &ready
            && line.starts_with("{\"error\"")
        {
            tokio::time::timeout(END_LIMIT, up.wait())
                .await
                .with_context(|| format!("after {line} it does not end"))??;
        }
        self.up = Some(up);
        let line = match ready {
            Ok(Ok(line)) => line,
            Ok(Err(status)) => bail!("slipway up ended with {status}\n{}", self.said()),
            Err(error) => bail!("{error}\n{}", self.said()),
        };
        let ready: Ready = serde_json::from_str(&line).with_context(|| format!("slipway up printed {line}"))?;
        self.api = address(&ready.api)?;
        self.traffic = address(&ready.traffic)?;
        self.tls = ready.tls.as_deref().map(address).transpose()?;
        Ok(())
    }

    fn log(&self, stream: &str) -> PathBuf {
        self.scratch().join(format!("up-{}.{stream}", self.starts))
    }

    fn subcommand(&self, name: &str) -> Vec<Process> {
        let mut processes = self.processes();
        processes.retain(|process| {
            let words: Vec<&str> = process.command.split(' ').collect();
            let is_slipway = |word: &str| word.rsplit('/').next().is_some_and(|file| file.starts_with("slipway"));
            words.windows(2).any(|pair| is_slipway(pair[0]) && pair[1] == name)
        });
        processes
    }
}

impl Drop for Slipway {
    fn drop(&mut self) {
        if self.folder.is_none() {
            return;
        }
        if let Some(pid) = self.control_plane() {
            let _ = process::signal(pid, Signal::KILL);
        }
        // Shims may start what they watch once more while they are being killed one by one.
        for _ in 0..10 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for process in left {
                let _ = process::signal(process.pid, Signal::KILL);
            }
        }
    }
}

/// A client of HTTP that keeps no connection: who it speaks to may be killed between two requests. One for all, since making
/// one takes longer than a request does.
pub fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> =
        LazyLock::new(|| reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client of HTTP"));
    &CLIENT
}

/// SIGKILL to one process; returns when it is gone.
pub async fn kill(pid: u32) -> anyhow::Result<()> {
    process::signal(pid, Signal::KILL)?;
    until_within(END_LIMIT, "a killed process is gone", async || (!process::runs(pid)).then_some(())).await
}

/// An address as it stands, or as a URL.
fn address(text: &str) -> anyhow::Result<SocketAddr> {
    let text = text.trim_start_matches("http://").trim_start_matches("https://").trim_end_matches('/');
    text.parse().with_context(|| format!("{text} is no address"))
}
