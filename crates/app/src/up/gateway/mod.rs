//! The gateway's process: started beside the control plane, watched, and left alone when the control plane ends.

use std::io::{Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, kill_process};
use slipway_core::units::Millis;
use slipway_gateway::hub::Hub;
use slipway_gateway::lock::{Lock, holder};
use slipway_gateway::tls::Tls;
use slipway_gateway::upgrade::processes;
use tokio::time::Instant;

use crate::args::Up;
use crate::folder::{Folder, replace};
use crate::program;

mod watch;

/// Bytes at the end of the gateway's log that its last words are looked for in.
const LAST_WORDS: u64 = 8 << 10;
/// How long the gateway may take to call.
const CALLS_WITHIN: Duration = Duration::from_secs(10);
/// How long it takes at most to see that a gateway of this machine listens.
const CONNECTS_WITHIN: Duration = Duration::from_secs(1);
/// How long a gateway that does not call may take to say that it is well.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// The name of the gateway that is started here.
pub(crate) const OWN: &str = slipway_control::OWN_GATEWAY;

/// How the gateway is started.
#[derive(Debug, Clone)]
pub(super) struct Starter {
    program: PathBuf,
    folder: Folder,
    listen: SocketAddr,
    access_log: bool,
    no_fast_path: bool,
    upgrade_drain: Millis,
    tls: Option<Tls>,
    /// How long the gateway's log was when it was started last.
    log_before: u64,
}

impl Starter {
    /// A starter for a gateway that listens where `up` says; where the port is left open, at the one it had before.
    pub fn new(folder: &Folder, up: &Up) -> Result<Starter> {
        let listen = up.traffic;
        let program = program::own()?;
        let before =
            std::fs::read_to_string(address_file(folder)).ok().and_then(|t| t.trim().parse::<SocketAddr>().ok());
        let listen = match before {
            Some(before) if listen.port() == 0 && before.ip() == listen.ip() => before,
            _ => listen,
        };
        // The gateway is a process of its own: it finds the folder from wherever it is started.
        let obtained = up.acme.directory.is_some();
        let certificates = match (up.secure.tls, &up.secure.certificates) {
            (Some(_), None) if !obtained => {
                bail!("--tls needs certificates: name their folder with --certificates, or obtain them with --acme")
            }
            (_, Some(named)) => std::path::absolute(named)?,
            (_, None) => folder.certificates(),
        };
        let tls = up.secure.tls.map(|listen| Tls { listen, certificates, obtained });
        let Up { access_log, no_fast_path, upgrade_drain, .. } = *up;
        Ok(Starter {
            program,
            folder: folder.clone(),
            listen,
            access_log,
            no_fast_path,
            upgrade_drain,
            tls,
            log_before: 0,
        })
    }

    fn lock(&self) -> PathBuf {
        self.folder.gateway().join("lock")
    }

    /// Says at once that somebody else has the port, where no gateway of this folder runs.
    pub fn check_port(&self) -> Result<()> {
        let taken = |e: std::io::Error| e.kind() == std::io::ErrorKind::AddrInUse;
        if !Lock::held(&self.lock()) && std::net::TcpListener::bind(self.listen).is_err_and(taken) {
            bail!(
                "the gateway cannot listen at {}: another program has the port; choose another with --traffic",
                self.listen
            );
        }
        Ok(())
    }

    /// Where TLS is spoken, and with what.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Says at once what is wrong with the certificates, where somebody is there to read it.
    pub fn check_certificates(&self) -> Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let mistakes: Vec<String> = slipway_gateway::tls::mistakes(tls).iter().map(ToString::to_string).collect();
        if !mistakes.is_empty() {
            bail!("{}", mistakes.join("\n"));
        }
        Ok(())
    }

    /// Where the gateway that runs speaks TLS.
    pub fn speaks_tls_at(&self) -> Option<SocketAddr> {
        self.admin()?.get("tls")?.as_str()?.parse().ok()
    }

    /// What the gateway that runs has written down of itself.
    fn admin(&self) -> Option<serde_json::Value> {
        let admin = std::fs::read(self.folder.gateway().join("admin.json")).ok()?;
        serde_json::from_slice(&admin).ok()
    }

    /// A gateway that ran before keeps to what it was started with.
    fn check_tls(&self) -> Result<()> {
        let asked = self.tls.as_ref().map(|tls| (tls.listen, tls.obtained));
        let admin = self.admin();
        let obtained = admin.as_ref().and_then(|admin| admin.get("obtained")?.as_bool()).unwrap_or_default();
        let is = self.speaks_tls_at().map(|is| (is, obtained));
        let fits = match (asked, is) {
            (Some(asked), Some(is)) => (asked.0 == is.0 || asked.0.port() == 0) && asked.1 == is.1,
            (asked, is) => asked.is_some() == is.is_some(),
        };
        let say = |tls: Option<(SocketAddr, bool)>| match tls {
            Some((address, true)) => format!("with TLS at {address} and certificates that are obtained"),
            Some((address, false)) => format!("with TLS at {address} and certificates that are brought"),
            None => "without TLS".to_string(),
        };
        if !fits {
            bail!(
                "the gateway of this data folder already runs {}, not {}; stop it with slipway down first",
                say(is),
                say(asked)
            );
        }
        Ok(())
    }

    /// Has the hub wait for a gateway that runs already.
    pub fn expect(&self, hub: &Hub) {
        if let Some(pid) = holder(&self.lock()) {
            hub.expect(OWN, pid.as_raw_nonzero().get().unsigned_abs(), self.listen);
        }
    }

    /// Starts the gateway unless one runs.
    pub fn ensure(&mut self) -> Result<Option<tokio::process::Child>> {
        std::fs::create_dir_all(self.folder.gateway())?;
        let Some(lock) = Lock::try_take(&self.lock())? else { return Ok(None) };
        std::fs::create_dir_all(self.folder.logs())?;
        let log = self.log();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("{} cannot be written", log.display()))?;
        self.log_before = log.metadata().map_or(0, |log| log.len());
        let mut command = std::process::Command::new(&self.program);
        command.arg("gateway").arg("--state").arg(self.folder.gateway()).arg("--traffic").arg(self.listen.to_string());
        command.arg("--upgrade-drain").arg(self.upgrade_drain.to_string());
        if self.access_log {
            command.arg("--access-log").arg(self.folder.logs().join("access.log"));
        }
        if self.no_fast_path {
            command.arg("--no-fast-path");
        }
        if let Some(tls) = &self.tls {
            command.arg("--tls").arg(tls.listen.to_string()).arg("--certificates").arg(&tls.certificates);
            if tls.obtained {
                command.arg("--obtained");
            }
        }
        // A process group of its own: an interrupt at the terminal is the control plane's business.
        // What the database is opened with is not the data plane's business.
        // Nor is it the gateway that a service manager waits for.
        for variable in [crate::database::VARIABLE, "PGPASSWORD", "NOTIFY_SOCKET"] {
            command.env_remove(variable);
        }
        command.stdin(lock.hand_over()?).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut command = tokio::process::Command::from(command);
        let child = command.kill_on_drop(false).spawn().context("the gateway cannot be started")?;
        lock.name(child.id().unwrap_or_default());
        Ok(Some(child))
    }

    /// Waits until the gateway has called, and notes where it listens.
    pub async fn called(&mut self, hub: &Hub, child: &mut Option<tokio::process::Child>) -> Result<SocketAddr> {
        let (mut begun, mut replaced) = (Instant::now(), false);
        loop {
            if let Some(state) = hub.gateways().into_iter().find(|g| g.connected && g.name == OWN) {
                if self.listen.port() != 0 && state.traffic != self.listen {
                    return Err(elsewhere(&state.traffic.to_string(), self.listen));
                }
                self.check_tls()?;
                self.listen = state.traffic;
                replace(&address_file(&self.folder), &state.traffic.to_string())?;
                return Ok(state.traffic);
            }
            if let Some(child) = child.as_mut()
                && let Some(status) = child.try_wait()?
            {
                bail!("the gateway ended at once ({status}): {}", self.last_words());
            }
            if begun.elapsed() > CALLS_WITHIN && !replaced && child.is_none() && self.end_hanging().await? {
                (*child, begun, replaced) = (self.ensure()?, Instant::now(), true);
                continue;
            }
            if begun.elapsed() > CALLS_WITHIN {
                let pid = holder(&self.lock())
                    .map(|pid| format!("; where its process hangs, kill -KILL {} ends it", pid.as_raw_nonzero()));
                bail!(
                    "the gateway did not call within {} seconds: {}{}",
                    CALLS_WITHIN.as_secs(),
                    self.last_words(),
                    pid.unwrap_or_default()
                );
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Kills the gateway that ran before where it does not answer either. Whether nobody is the gateway any more.
    async fn end_hanging(&self) -> Result<bool> {
        let Some(pid) = holder(&self.lock()) else { return Ok(false) };
        let answers = async {
            let url = format!("http://{}/healthz", self.admin()?.get("address")?.as_str()?);
            reqwest::Client::builder().no_proxy().build().ok()?.get(url).send().await.ok()
        };
        if tokio::time::timeout(ANSWERS_WITHIN, answers).await.is_ok_and(|answer| answer.is_some()) {
            return Ok(false);
        }
        tracing::error!(pid = pid.as_raw_nonzero(), "the gateway hangs: it neither calls nor answers; it is killed");
        kill_process(pid, Signal::KILL).context("the gateway hangs and cannot be killed")?;
        let begun = Instant::now();
        while Lock::held(&self.lock()) {
            if begun.elapsed() > CALLS_WITHIN {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(true)
    }

    fn log(&self) -> PathBuf {
        self.folder.logs().join("gateway.log")
    }

    /// What the gateway has said last since it was started.
    fn last_words(&self) -> String {
        let read = || {
            let mut log = std::fs::File::open(self.log())?;
            let from = self.log_before.max(log.metadata()?.len().saturating_sub(LAST_WORDS));
            log.seek(SeekFrom::Start(from))?;
            let mut said = Vec::new();
            log.read_to_end(&mut said)?;
            std::io::Result::Ok(String::from_utf8_lossy(&said).into_owned())
        };
        let said = read().unwrap_or_default();
        said.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing").trim().to_string()
    }
}

/// Where the gateway listens that another control plane has started, for one that asks for `asked`; empty where that is
/// not known yet. A gateway that is gone keeps nobody from another address.
pub(super) fn of_driver(folder: &Folder, asked: SocketAddr) -> Result<String> {
    let is = address(folder);
    match is.parse::<SocketAddr>() {
        Ok(at) if asked.port() != 0 && at != asked && TcpStream::connect_timeout(&at, CONNECTS_WITHIN).is_ok() => {
            Err(elsewhere(&is, asked))
        }
        _ => Ok(is),
    }
}

/// Why another address for traffic is refused.
fn elsewhere(is: &str, asked: SocketAddr) -> anyhow::Error {
    anyhow::anyhow!(
        "the gateway of this data folder already listens at {is}, not at {asked}; stop it with slipway down, or ask for {is}"
    )
}

/// Where the gateway of a data folder listens, as it was noted down; empty where it was not yet.
pub(super) fn address(folder: &Folder) -> String {
    std::fs::read_to_string(address_file(folder)).unwrap_or_default().trim().to_string()
}

fn address_file(folder: &Folder) -> PathBuf {
    folder.gateway().join("address")
}

/// Ends the gateway of a data folder, with processes that drain after an upgrade: asks them by signal, and kills those that
/// do not listen. Whether there were any.
pub(super) async fn stop(folder: &Folder, patience: Duration) -> Result<bool> {
    let state = folder.gateway();
    let (mut told, begun) = (Vec::new(), Instant::now());
    // One may give way to another, or take its place back, while it is told.
    loop {
        let run = processes(&state);
        if run.is_empty() && !Lock::held(&state.join("lock")) {
            return Ok(!told.is_empty());
        }
        for pid in run {
            // It may have ended meanwhile: the lock tells, as it tells that it is still the same process.
            if begun.elapsed() > patience {
                let _ = kill_process(pid, Signal::KILL);
            } else if !told.contains(&pid) {
                told.push(pid);
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_address_is_refused_while_a_gateway_listens() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::find(Some(data.path())).unwrap();
        let [own, other, open] = [1, 2, 0].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(of_driver(&folder, own).unwrap(), "", "none was started yet");
        let gateway = std::net::TcpListener::bind(open).unwrap();
        let is = gateway.local_addr().unwrap();
        std::fs::create_dir_all(folder.gateway()).unwrap();
        std::fs::write(address_file(&folder), format!("{is}\n")).unwrap();
        let refused = of_driver(&folder, other).unwrap_err().to_string();
        assert!(refused.contains(&format!("listens at {is}, not at {other}")), "{refused}");
        for fits in [is, open] {
            assert_eq!(of_driver(&folder, fits).unwrap(), is.to_string());
        }
        drop(gateway);
        assert_eq!(of_driver(&folder, other).unwrap(), is.to_string(), "it is gone");
    }
}
