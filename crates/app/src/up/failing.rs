//! The world behind points at which tests make acts fail, be done twice, or be the last thing that this process does.
//! Only in `slipway-failpoints`. What is only looked at passes through.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use slipway_control::Parts;
use slipway_control::ports::{GatewayView, Receivers, Router};
use slipway_core::hook::Message;
use slipway_core::instance::{InstanceSpec, InstanceStatus, Pending, Stopped, Target, TargetError};
use slipway_core::job::{Job, JobEnd};
use slipway_core::names::InstanceId;
use slipway_core::smoke::{SmokeReport, SmokeResult};
use slipway_core::spec::{Hook, SmokeTest};
use slipway_core::traffic::link::{CountRow, Event};
use slipway_core::traffic::{Generation, RoutingTable};
use slipway_core::units::Millis;
use slipway_store::failpoints::{Moment, Way, pass, pass_next};

/// How long it takes until something that got lost is sent again.
const AGAIN: Duration = Duration::from_millis(500);
const WHY: &str = "a test lets it fail";

/// The same parts, with points around every act.
pub(super) fn through(parts: Parts) -> Parts {
    Parts {
        target: Arc::new(FailingTarget(parts.target)),
        router: Arc::new(FailingRouter(parts.router, Arc::default())),
        receivers: Arc::new(FailingReceivers(parts.receivers)),
        ..parts
    }
}

/// Carries an act out between its two points: not at all, once or twice.
async fn act<'a, T>(name: &str, failure: impl FnOnce() -> T, carry_out: impl Fn() -> Pending<'a, T>) -> T {
    let (way, name) = pass_next(name);
    match way {
        Way::Fail => return failure(),
        Way::Twice => drop(carry_out().await),
        Way::On => {}
    }
    let done = carry_out().await;
    pass(Moment::After, &name);
    done
}

fn transient() -> TargetError {
    TargetError::Transient(WHY.to_string())
}

struct FailingTarget(Arc<dyn Target>);

impl Target for FailingTarget {
    fn start<'a>(&'a self, spec: &'a InstanceSpec, artifact: PathBuf) -> Pending<'a, Result<(), TargetError>> {
        Box::pin(async move { act("effect:start", || Err(transient()), || self.0.start(spec, artifact.clone())).await })
    }

    fn stop<'a>(&'a self, id: &'a InstanceId) -> Pending<'a, Result<Stopped, TargetError>> {
        Box::pin(async move { act("effect:stop", || Err(transient()), || self.0.stop(id)).await })
    }

    fn smoke<'a>(&'a self, id: &'a InstanceId, incarnation: u32, tests: &'a [SmokeTest]) -> Pending<'a, SmokeReport> {
        Box::pin(async move {
            let failed = || {
                let result = SmokeResult { name: WHY.to_string(), took: Millis(0), failure: Some(WHY.to_string()) };
                SmokeReport { instance: id.clone(), incarnation, at: Default::default(), tests: vec![result] }
            };
            act("effect:smoke", failed, || self.0.smoke(id, incarnation, tests)).await
        })
    }

    fn run<'a>(&'a self, job: &'a Job, artifact: Option<PathBuf>) -> Pending<'a, JobEnd> {
        Box::pin(async move {
            let failed = || JobEnd::NotRun { why: WHY.to_string() };
            act("effect:run", failed, || self.0.run(job, artifact.clone())).await
        })
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        self.0.instances()
    }

    fn instance(&self, id: &InstanceId) -> Option<InstanceStatus> {
        self.0.instance(id)
    }

    fn log_files(&self, id: &InstanceId) -> Vec<PathBuf> {
        self.0.log_files(id)
    }

    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        self.0.on_change(nudge);
    }
}

/// The router, and the newest generation that was to be published.
struct FailingRouter(Arc<dyn Router>, Arc<AtomicU64>);

impl Router for FailingRouter {
    fn publish(&self, table: RoutingTable) {
        let name = published(&table);
        self.1.fetch_max(table.generation.0, Relaxed);
        match pass(Moment::Before, &name) {
            Way::Fail => {
                // Lost on its way to the gateways, and sent again by whoever talks to them.
                let (router, newest) = (self.0.clone(), self.1.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(AGAIN).await;
                    if newest.load(Relaxed) == table.generation.0 {
                        router.publish(table);
                    }
                });
                return;
            }
            Way::Twice => self.0.publish(table.clone()),
            Way::On => {}
        }
        self.0.publish(table);
        pass(Moment::After, &name);
    }

    fn renew(&self, generation: Generation, term: Millis) {
        match pass(Moment::Before, "effect:renew") {
            Way::Fail => return,
            Way::Twice => self.0.renew(generation, term),
            Way::On => {}
        }
        self.0.renew(generation, term);
        pass(Moment::After, "effect:renew");
    }

    fn gateways(&self) -> Vec<GatewayView> {
        self.0.gateways()
    }

    fn counts(&self) -> Vec<CountRow> {
        self.0.counts()
    }

    fn counted(&self) -> (Vec<CountRow>, Vec<CountRow>) {
        self.0.counted()
    }

    fn take_events(&self) -> Vec<(String, Event)> {
        self.0.take_events()
    }

    fn called_at(&self, address: Option<&str>) -> Result<String, String> {
        self.0.called_at(address)
    }

    fn invite(&self, name: &str, address: &str) -> Result<serde_json::Value, String> {
        self.0.invite(name, address)
    }

    fn invited(&self) -> Vec<String> {
        self.0.invited()
    }

    fn forget(&self, name: &str) -> Result<(), String> {
        self.0.forget(name)
    }

    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        self.0.on_change(nudge);
    }
}

/// A publication by what each route gives, in percent, and whether it has a lease: `effect:publish 50+50 leased`.
fn published(table: &RoutingTable) -> String {
    let given = |route: &Arc<slipway_core::traffic::Route>| {
        let shares = route.split.shares().iter().map(|share| (share.weight.bp() / 100).to_string());
        let leased = if route.lease.is_some() { " leased" } else { "" };
        format!("{}{leased}", shares.collect::<Vec<_>>().join("+"))
    };
    format!("effect:publish {}", table.routes.iter().map(given).collect::<Vec<_>>().join(", "))
}

struct FailingReceivers(Arc<dyn Receivers>);

impl Receivers for FailingReceivers {
    fn deliver<'a>(&'a self, hook: &'a Hook, message: &'a Message) -> Pending<'a, Result<Vec<u8>, String>> {
        Box::pin(async move { act("effect:deliver", || Err(WHY.to_string()), || self.0.deliver(hook, message)).await })
    }
}
