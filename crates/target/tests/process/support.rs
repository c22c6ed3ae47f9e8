//! A target over a folder of its own, and the waiting that every test does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use slipway_core::instance::{Health, InstanceSpec, InstanceState, InstanceStatus, Target, TargetError};
use slipway_core::names::{Digest, InstanceId};
use slipway_core::spec::{HealthCheck, HealthProbe};
use slipway_core::units::{Millis, Timestamp};
use slipway_target::process::ProcessTarget;
use tokio::sync::Notify;

pub const HELPER: &str = env!("CARGO_BIN_EXE_target-test-helper");

/// How long anything may take before the test is given up.
const LIMIT: Duration = Duration::from_secs(120);

pub struct World {
    pub home: tempfile::TempDir,
    /// How often a part of the path to the instances is repeated.
    depth: usize,
    target: Option<ProcessTarget>,
    changed: Arc<Notify>,
}

impl World {
    pub fn new() -> World {
        // Longer than a socket's path may be.
        World::as_deep_as(30)
    }

    /// Where sockets fit into the instances' folders.
    pub fn shallow() -> World {
        World::as_deep_as(1)
    }

    fn as_deep_as(depth: usize) -> World {
        let home = tempfile::tempdir().unwrap();
        let mut world = World { home, depth, target: None, changed: Arc::default() };
        world.restart();
        world
    }

    /// What a restart of the control plane does: the old target goes, a new one finds everything again.
    pub fn restart(&mut self) {
        self.target = None;
        let now = Arc::new(|| Timestamp(1_000));
        let target = ProcessTarget::new(self.root(), HELPER.into(), vec!["shim".into()], now).unwrap();
        let changed = self.changed.clone();
        target.on_change(Arc::new(move || changed.notify_waiters()));
        self.target = Some(target);
    }

    pub fn down(&mut self) {
        self.target = None;
    }

    pub fn root(&self) -> PathBuf {
        self.home.path().join("data".repeat(self.depth)).join("instances")
    }

    pub fn folder(&self, id: &InstanceId) -> PathBuf {
        self.root().join(id.as_str())
    }

    pub fn target(&self) -> &ProcessTarget {
        self.target.as_ref().unwrap()
    }

    /// An artifact with these files; scripts are executable.
    pub fn artifact(&self, files: &[(&str, &str)]) -> PathBuf {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(if text.starts_with("#!") { 0o755 } else { 0o644 });
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let path = self.home.path().join(Digest::of(&bytes).hex());
        fs::write(&path, bytes).unwrap();
        path
    }

    pub async fn start(&self, spec: &InstanceSpec) -> Result<(), TargetError> {
        self.target().start(spec, self.artifact(&[("readme", "hello")])).await
    }

    pub fn status(&self, id: &InstanceId) -> Option<InstanceStatus> {
        self.target().instances().into_iter().find(|status| status.id == *id)
    }

    /// The first status of `id` that is as wanted.
    pub async fn until(&self, id: &InstanceId, wanted: impl Fn(&InstanceStatus) -> bool) -> InstanceStatus {
        let seen = tokio::time::timeout(LIMIT, async {
            loop {
                let change = self.changed.notified();
                if let Some(status) = self.status(id).filter(&wanted) {
                    return status;
                }
                change.await;
            }
        });
        match seen.await {
            Ok(status) => status,
            Err(_) => panic!("{id} never got there: {:?}", self.status(id)),
        }
    }

    pub async fn healthy(&self, id: &InstanceId) -> InstanceStatus {
        self.until(id, |s| s.state == InstanceState::Running && s.health == Health::Healthy).await
    }

    /// The first reason given for not being healthy that holds `text`.
    pub async fn complaint(&self, id: &InstanceId, text: &str) -> InstanceStatus {
        self.until(id, |s| why(s).contains(text)).await
    }

    pub fn state_json(&self, id: &InstanceId) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.folder(id).join("state.json")).unwrap()).unwrap()
    }

    pub fn shim_pid(&self, id: &InstanceId) -> u32 {
        self.state_json(id)["shim"]["pid"].as_u64().unwrap() as u32
    }
}

pub fn why(status: &InstanceStatus) -> &str {
    match &status.health {
        Health::Unknown { why } => why.as_deref().unwrap_or(""),
        Health::Unhealthy { why } => why,
        Health::Healthy => "",
    }
}

/// Waits for a condition that nothing tells of.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let met = tokio::time::timeout(LIMIT, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(met.await.is_ok(), "never: {what}");
}

pub fn id(name: &str) -> InstanceId {
    InstanceId::new(name).unwrap()
}

/// An instance that runs `command`, asked often.
pub fn spec(name: &str, command: &[&str]) -> InstanceSpec {
    InstanceSpec {
        id: id(name),
        service: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        version: "1.2.3".parse().unwrap(),
        artifact: Digest::of(b""),
        command: command.iter().map(|part| part.to_string()).collect(),
        env: BTreeMap::from([("COLOUR".to_string(), "blue".to_string())]),
        files: Default::default(),
        env_file: None,
        health: HealthCheck {
            probe: HealthProbe::Http("/healthz".to_string()),
            interval: Millis(50),
            timeout: Millis(5_000),
            healthy_after: 2,
            unhealthy_after: 3,
            start_limit: Millis(60_000),
        },
        stop_grace: Millis(20_000),
        stop_signal: Default::default(),
        stop_alone: false,
    }
}

/// An instance that serves as it should.
pub fn server(name: &str, traits: &[&str]) -> InstanceSpec {
    let mut command = vec![HELPER, "serve", "{port}"];
    command.extend(traits);
    spec(name, &command)
}

/// The same on a socket.
pub fn socket_server(name: &str) -> InstanceSpec {
    spec(name, &[HELPER, "serve", "{socket}"])
}

/// Whether a process runs; one that only waits to be reaped does not.
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Every process whose working folder is below `folder`.
pub fn processes_in(folder: &Path) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| runs(*pid) && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder)))
        .collect()
}
