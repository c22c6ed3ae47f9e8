//! The proxies that are measured: each started in a fresh folder with a configuration written here, ended by its process.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use slipway_core::address::Address;
use slipway_core::traffic::{
    Counted, CountedBad, Endpoint, Epoch, Generation, Limits, Match, Protocol, Role, Route, RoutingTable, Split,
    Sticky, VersionRoute,
};
use slipway_core::units::{Millis, Weight};
use slipway_e2e::process::{Signal, signal};
use slipway_gateway::hub::Hub;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::figures::megabytes;
use crate::proxies::origin::Origins;

/// How long a proxy may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nginx, as Debian has it.
    Nginx,
    /// HAProxy, as Debian has it.
    Haproxy,
    /// Slipway's gateway with the long way only.
    Long,
    /// Slipway's gateway with the short way.
    Short,
    /// nginx with the instances on sockets.
    NginxSockets,
    /// Slipway's gateway with the instances on sockets, the short way.
    Sockets,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [Kind::Nginx, Kind::Haproxy, Kind::Long, Kind::Short, Kind::NginxSockets, Kind::Sockets];

    /// As it stands in the table.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
            Kind::Long => "slipway, long way",
            Kind::Short => "slipway",
            Kind::NginxSockets => "nginx, sockets",
            Kind::Sockets => "slipway, sockets",
        }
    }
}

/// A proxy that runs.
pub struct Proxy {
    /// Which.
    pub kind: Kind,
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
    _hub: Option<Hub>,
}

impl Proxy {
    /// Starts one and waits until it listens.
    pub async fn start(kind: Kind, folder: &Path, origins: &Origins) -> anyhow::Result<Proxy> {
        let folder = folder.join(format!("{kind:?}"));
        fs::create_dir_all(&folder)?;
        let address = free()?;
        let (process, hub) = match kind {
            Kind::Nginx => (nginx(&folder, address, origins.addresses)?, None),
            Kind::NginxSockets => {
                let servers = origins.sockets.each_ref().map(|socket| format!("unix:{}", socket.display()));
                (nginx(&folder, address, servers)?, None)
            }
            Kind::Haproxy => (haproxy(&folder, address, origins)?, None),
            Kind::Long | Kind::Short | Kind::Sockets => {
                let (child, hub) = slipway(&folder, address, origins, kind).await?;
                (child, Some(hub))
            }
        };
        let mut proxy = Proxy { kind, address, process, _hub: hub };
        proxy.listens().await?;
        Ok(proxy)
    }

    async fn listens(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + LISTENS_WITHIN;
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("it ended at once: {status}");
            }
            ensure!(Instant::now() < until, "it does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// It and its children; nginx's worker is one.
    fn pids(&self) -> anyhow::Result<Vec<u32>> {
        let pid = self.process.id().context("it has ended")?;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        Ok(std::iter::once(pid).chain(children.split_whitespace().filter_map(|c| c.parse().ok())).collect())
    }

    /// User and system time of all its threads so far, in nanoseconds.
    pub fn cpu_ns(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for pid in self.pids()? {
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread may end between the list and the look; then it did next to nothing.
                let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
                sum += text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).context("no schedstat")?;
            }
        }
        Ok(sum)
    }

    /// Proportional share of memory.
    pub fn megabytes(&self) -> anyhow::Result<f64> {
        self.pids()?.into_iter().map(megabytes).sum()
    }
}

impl Drop for Proxy {
    /// nginx's worker would outlive its killed master, and share its memory with the next one that is measured.
    fn drop(&mut self) {
        for pid in self.pids().unwrap_or_default() {
            // What has ended already needs no signal.
            let _ = signal(pid, Signal::KILL);
        }
    }
}

/// How busy the processor of the client and the instances is.
pub struct Busy {
    idle: u64,
    all: u64,
}

impl Busy {
    /// Up to now.
    pub fn now() -> anyhow::Result<Busy> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu1 ")).context("there is one processor only")?;
        let ticks: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        // Idle, and waiting for a disk.
        Ok(Busy { idle: ticks.iter().skip(3).take(2).sum(), all: ticks.iter().sum() })
    }

    /// Its share of the time since, in percent.
    pub fn share_since(self) -> anyhow::Result<f64> {
        let now = Busy::now()?;
        Ok(100.0 - (now.idle - self.idle) as f64 * 100.0 / (now.all - self.all).max(1) as f64)
    }
}

/// A program that runs on one processor only.
pub fn pinned(processor: usize, program: impl AsRef<OsStr>) -> std::process::Command {
    let mut command = std::process::Command::new("taskset");
    command.arg("-c").arg(processor.to_string()).arg(program);
    command
}

fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn spawn(program: &str, folder: &Path, arguments: &[&OsStr]) -> anyhow::Result<Child> {
    let log = fs::File::create(folder.join("log"))?;
    let mut command = Command::from(pinned(0, program));
    command.args(arguments).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("{program} cannot be started"))
}

fn nginx(folder: &Path, address: SocketAddr, [one, two]: [impl Display; 2]) -> anyhow::Result<Child> {
    let here = folder.display();
    // A worker of root's that became somebody else would not reach the sockets.
    let file = folder.join("nginx.conf");
    let text = format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {here}/pid;\nerror_log {here}/error.log;\nevents {{ worker_connections 2048; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {here}/body;\n  proxy_temp_path {here}/proxy;\n  \
         fastcgi_temp_path {here}/fastcgi;\n  uwsgi_temp_path {here}/uwsgi;\n  scgi_temp_path {here}/scgi;\n  \
         keepalive_requests 1000000000;\n  \
         upstream shop {{\n    server {one};\n    server {two};\n    keepalive 256;\n    keepalive_requests 1000000000;\n  }}\n  \
         server {{\n    listen {address};\n    location / {{\n      proxy_pass http://shop;\n      proxy_http_version 1.1;\n      \
         proxy_set_header Connection \"\";\n      proxy_set_header Host $http_host;\n      \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n      proxy_set_header X-Forwarded-Proto $scheme;\n    \
         }}\n  }}\n}}\n"
    );
    fs::write(&file, text)?;
    spawn("nginx", folder, &["-e".as_ref(), folder.join("error.log").as_os_str(), "-c".as_ref(), file.as_os_str()])
}

fn haproxy(folder: &Path, address: SocketAddr, origins: &Origins) -> anyhow::Result<Child> {
    let [one, two] = origins.addresses;
    let file = folder.join("haproxy.cfg");
    let text = format!(
        "global\n  nbthread 1\n  maxconn 4096\n\ndefaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  \
         timeout server 60s\n  option forwardfor\n  http-reuse always\n\nfrontend in\n  bind {address}\n  default_backend shop\n\n\
         backend shop\n  balance roundrobin\n  server one {one}\n  server two {two}\n"
    );
    fs::write(&file, text)?;
    spawn("haproxy", folder, &["-db".as_ref(), "-f".as_ref(), file.as_os_str()])
}

async fn slipway(folder: &Path, address: SocketAddr, origins: &Origins, kind: Kind) -> anyhow::Result<(Child, Hub)> {
    let program = std::env::current_exe()?.with_file_name("slipway");
    let hub = Hub::bind(folder.join("control.json"), "secret").await?;
    let listen = address.to_string();
    let program = program.to_str().context("the program's path is no text")?;
    let mut arguments: Vec<&OsStr> =
        vec!["gateway".as_ref(), "--state".as_ref(), folder.as_os_str(), "--traffic".as_ref(), listen.as_ref()];
    if kind == Kind::Long {
        arguments.push("--no-fast-path".as_ref());
    }
    let process = spawn(program, folder, &arguments)?;
    let addresses = match kind {
        Kind::Sockets => [&origins.sockets[0], &origins.sockets[1]].map(|path| Address::unix(&path.to_string_lossy())),
        _ => origins.addresses.map(|address| Ok(address.into())),
    };
    let [one, two] = addresses;
    let table = table([one?, two?])?;
    let generation = table.generation;
    hub.publish(table);
    ensure!(hub.wait_acked(generation, LISTENS_WITHIN).await, "the gateway took no table");
    Ok((process, hub))
}

/// Half of the users on each of two versions, one instance each, with two objectives.
fn table(addresses: [Address; 2]) -> anyhow::Result<RoutingTable> {
    let version = |place: usize, name: &str, role| -> anyhow::Result<VersionRoute> {
        let instance = format!("shop-{name}").parse()?;
        let endpoint = Endpoint { instance, incarnation: 1, address: addresses[place].clone() };
        Ok(VersionRoute {
            version: name.parse()?,
            role,
            endpoints: vec![endpoint],
            protocol: Protocol::Http1,
            health: None,
        })
    };
    let versions = vec![version(0, "1", Role::Stable)?, version(1, "2", Role::Candidate)?];
    let half = Weight::from_bp(5_000).context("half is a weight")?;
    let route = Route {
        service: "shop".parse()?,
        environment: "production".parse()?,
        matches: vec![Match { host: None, path: "/".into(), rank: 0 }],
        epoch: Epoch(1),
        split: Split::between(versions[1].version.clone(), half, versions[0].version.clone()),
        fallback: None,
        lease: None,
        salt: "bench".into(),
        sticky: Sticky::default(),
        versions,
        cohorts: Vec::new(),
        maintenance: None,
        faults: Vec::new(),
        mirror: None,
        objectives: vec![
            Counted { name: "errors".into(), bad: CountedBad::Failed },
            Counted { name: "latency".into(), bad: CountedBad::SlowerThan(Millis(300)) },
        ],
        limits: Limits::default(),
    };
    Ok(RoutingTable { generation: Generation(1), routes: vec![route.into()] })
}
