//! The kinds of rollout, as short as they can be and still go through everything.

use serde_json::Value;
use slipway_e2e::until;

use crate::points::Strike;
use crate::stage::Stage;

/// A kind of rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// By steps, each judged.
    Canary,
    /// All at once.
    BlueGreen,
    /// Instance by instance.
    Rolling,
    /// A canary that a person takes back.
    Rollback,
    /// Going back after success, to instances that stand by.
    Standby,
    /// Going back after success, where nobody stands by: instances are started and tested first.
    Cold,
    /// The way back, practised.
    Drill,
}

pub const ALL: [Kind; 7] =
    [Kind::Canary, Kind::BlueGreen, Kind::Rolling, Kind::Rollback, Kind::Standby, Kind::Cold, Kind::Drill];

/// What there is while nothing is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Instances.
    pub instances: usize,
    /// Whether some of them stand by.
    pub standby: bool,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Canary => "canary",
            Kind::BlueGreen => "blue-green",
            Kind::Rolling => "rolling",
            Kind::Rollback => "rollback",
            Kind::Standby => "standby",
            Kind::Cold => "cold",
            Kind::Drill => "drill",
        }
    }

    /// What is declared for production.
    pub fn production(self) -> &'static str {
        match self {
            Kind::Canary => {
                "{ instances: 2, strategy: { canary: { steps: [50%, 100%], min_requests: 5, verify: 300ms, standby: 0s } } }"
            }
            Kind::BlueGreen | Kind::Cold => {
                "{ instances: 2, strategy: { blue-green: { verify: 300ms, standby: 0s } } }"
            }
            Kind::Rolling => "{ instances: 2, strategy: { rolling: { batch: 1, verify: 300ms } } }",
            Kind::Rollback => {
                "{ instances: 2, strategy: { canary: { steps: [50%, 100%], min_requests: 100000000, step_limit: 1h, verify: 300ms, standby: 0s } } }"
            }
            Kind::Standby | Kind::Drill => "{ instances: 1, strategy: { blue-green: { verify: 300ms, standby: 1h } } }",
        }
    }

    /// How one ends, in whose course this happens: a smoke test that fails once is an answer, and taken as one.
    pub fn outcome_of(self, strike: Option<&Strike>) -> &'static str {
        let untested = strike.is_some_and(|strike| strike.way == "fail" && strike.point.starts_with("effect:smoke"));
        match self {
            // There is no way back from a way back.
            Kind::Cold if untested => "failed",
            Kind::Rollback => "rolled_back",
            _ if untested => "rolled_back",
            _ => "succeeded",
        }
    }

    /// What there is before the part that is disturbed.
    pub fn before(self) -> Rest {
        Rest { instances: 2, standby: matches!(self, Kind::Standby | Kind::Drill) }
    }

    /// What there is once everything has settled.
    pub fn after(self) -> Rest {
        // There is no rollback of a rollback: what was left does not stand by.
        if self == Kind::Standby { Rest { instances: 1, standby: false } } else { self.before() }
    }

    /// Whether it goes back from a release that has succeeded.
    pub fn follows_success(self) -> bool {
        matches!(self, Kind::Standby | Kind::Cold)
    }

    /// Whether the version that serves is another afterwards.
    pub fn changes(self) -> bool {
        !matches!(self, Kind::Rollback | Kind::Drill)
    }

    /// Whether this entry records that somebody asked for one.
    pub fn asked_by(self, entry: &Value) -> bool {
        entry["kind"] == if self.follows_success() { "rollback.asked" } else { "rollout.asked" }
    }

    /// Brings what is disturbed under way; the rollout that it is about, if that is begun by this.
    pub async fn prepare(self, stage: &Stage) -> Option<String> {
        if self != Kind::Rollback {
            return None;
        }
        let asked = stage.slipway.cli(&stage.release()).await.expect("it runs").expect(0).expect("it is taken");
        let id = asked.json().expect("a rollout")["rollout"].as_str().expect("an id").to_string();
        until(&format!("{id} waits at its step"), async || {
            let now = stage.slipway.get(&format!("/rollouts/{id}")).await.ok()?;
            now["steps"].as_array()?.iter().any(|s| s["name"] == "50%" && s["state"] == "waiting").then_some(())
        })
        .await
        .expect("the step is reached");
        Some(id)
    }

    /// The command that is disturbed.
    pub fn command(self, stage: &Stage) -> Vec<&str> {
        match self {
            Kind::Canary | Kind::BlueGreen | Kind::Rolling => stage.release().to_vec(),
            Kind::Rollback | Kind::Standby | Kind::Cold => vec!["rollback", "shop", "--env", "production", "--json"],
            Kind::Drill => vec!["drill", "shop", "--env", "production", "--detach", "--json"],
        }
    }
}
