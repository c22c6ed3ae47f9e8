//! The pages of environments as pure functions of what the API tells.

use std::collections::BTreeMap;

use askama::Template;

use super::super::asking::Asking;
use super::super::button::Button;
use super::super::frame::{Frame, Here, Living};
use super::super::overview;
use super::super::rollout::approval;
use super::super::session::Viewer;
use super::super::when::When;
use super::Told;
use crate::wire::words::services;
use crate::wire::{WireEnvironment, WireGate, WireGates};

/// All environments.
#[derive(Template)]
#[template(path = "environments.html", blocks = ["live"])]
pub(in crate::console) struct ListView {
    frame: Frame,
    environments: Vec<(String, String)>,
}

/// One environment.
#[derive(Template)]
#[template(path = "environment.html", blocks = ["live"])]
pub(in crate::console) struct View {
    frame: Frame,
    environment: String,
    waiting: Vec<Waiting>,
    services: Vec<Service>,
    file: Option<File>,
}

/// A release that waits, with everything that whoever approves it must see.
#[derive(Debug, Clone, PartialEq)]
struct Waiting {
    rollout: String,
    service: String,
    from: Option<String>,
    version: String,
    asked_by: String,
    strategy: String,
    asking: Asking,
    gates: Vec<WireGate>,
    approvals: Vec<String>,
    approve: Option<Button>,
}

/// A service there.
#[derive(Debug, Clone, PartialEq)]
struct Service {
    name: String,
    version: String,
    rollout: Option<String>,
    /// Gates that do not hold, each as a sentence; absent where they were not looked up.
    blocked: Option<Vec<String>>,
    /// A freeze that comes, as a sentence.
    coming: Option<String>,
    drift: Vec<String>,
}

/// What the environment's file says.
#[derive(Debug, Clone, PartialEq)]
struct File {
    applied_by: String,
    applied_at: When,
    heal: bool,
    differences: Vec<String>,
}

impl Living for ListView {
    fn living(&self) -> askama::Result<String> {
        self.as_live().render()
    }
}

impl Living for View {
    fn living(&self) -> askama::Result<String> {
        self.as_live().render()
    }
}

/// All environments for somebody.
pub(in crate::console) fn list(viewer: &Viewer, told: &[overview::Told]) -> ListView {
    // Services, and of these those that need a look, change, or have something that waits.
    let mut counts: BTreeMap<&str, (usize, usize, usize, usize)> = BTreeMap::new();
    for (lane, open) in told {
        let of = counts.entry(&lane.environment).or_default();
        let (rank, (word, _), _) = overview::standing(lane, open.as_ref());
        of.0 += 1;
        of.1 += usize::from(rank == 0 && word != overview::WAITS);
        of.2 += usize::from(rank == 1);
        of.3 += usize::from(!lane.queue.is_empty());
    }
    let said = |(name, (all, trouble, moving, waiting)): (&str, (usize, usize, usize, usize))| {
        let look = if trouble == 1 { "needs a look" } else { "need a look" };
        let busy = [(trouble, look), (moving, "changing"), (waiting, "waiting to begin")];
        let busy: Vec<String> = busy.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let busy = if busy.is_empty() { "calm".to_string() } else { busy.join(", ") };
        (name.to_string(), format!("{}: {busy}", services(all)))
    };
    ListView {
        frame: Frame::at("Environments", Here::Environments, viewer),
        environments: counts.into_iter().map(said).collect(),
    }
}

/// One environment for somebody.
pub(in crate::console) fn view(viewer: &Viewer, environment: &str, told: &Told) -> View {
    let waits = told.gates.iter().filter(|gates| gates.rollout.is_some());
    let mut waits: Vec<Waiting> = waits.map(|gates| waiting(viewer, gates)).collect();
    // What waits for the viewer's own word comes first.
    waits.sort_by_key(|waits| waits.approve.as_ref().is_none_or(|approve| approve.refused.is_some()));
    View {
        frame: Frame::of(environment, Here::Environments, viewer),
        environment: environment.to_string(),
        waiting: waits,
        services: told.lanes.iter().map(|lane| service(lane, &told.gates)).collect(),
        file: told.file.as_ref().map(file),
    }
}

fn waiting(viewer: &Viewer, gates: &WireGates) -> Waiting {
    Waiting {
        rollout: gates.rollout.clone().unwrap_or_default(),
        service: gates.service.clone(),
        from: gates.plan.from.clone(),
        version: gates.version.clone(),
        asked_by: gates.asked_by.clone().unwrap_or_default(),
        strategy: gates.plan.strategy.clone(),
        asking: Asking::of(gates),
        gates: gates.gates.clone(),
        approvals: gates.approvals.iter().filter(|a| a.counts).map(|a| a.by.clone()).collect(),
        approve: approval(viewer, gates, gates.rollout.as_deref().unwrap_or_default()),
    }
}

fn service((lane, _): &overview::Told, gates: &[WireGates]) -> Service {
    let stands = gates.iter().find(|g| g.service == lane.service);
    let shut = |gate: &&WireGate| matches!(gate.standing.as_str(), "waiting" | "blocking");
    let said = |gate: &WireGate| match &gate.remedy {
        Some(remedy) => format!("{}: {}; {remedy}", gate.name, gate.sentence),
        None => format!("{}: {}", gate.name, gate.sentence),
    };
    // A freeze that is not on says when it will be.
    let freeze = stands.and_then(|g| g.gates.iter().find(|g| g.name == "freeze" && g.standing == "met"));
    Service {
        coming: freeze.map(|gate| format!("freeze: {}", gate.sentence)),
        name: lane.service.clone(),
        version: lane.stable.as_ref().map_or_else(|| "nothing yet".to_string(), |s| s.version.clone()),
        rollout: lane.rollout.clone(),
        blocked: stands.map(|g| g.gates.iter().filter(shut).map(said).collect()),
        drift: lane.drift.clone(),
    }
}

fn file(file: &WireEnvironment) -> File {
    File {
        applied_by: file.applied_by.clone(),
        applied_at: When::at(file.applied_at),
        heal: file.heal,
        differences: file.differences.iter().map(|d| d.sentence.clone()).collect(),
    }
}
