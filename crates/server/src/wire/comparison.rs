//! Strategies side by side, for the wire.

use serde::{Deserialize, Serialize};
use slipway_core::rollout::choice::{Comparison, Way};
use utoipa::ToSchema;

/// The strategies side by side for one release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireComparison {
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// The version.
    pub version: String,
    /// Requests per second today, where any were seen.
    pub requests_per_second: Option<f64>,
    /// Instances that are declared.
    pub instances: u32,
    /// The strategy that is declared.
    pub declared: String,
    /// Each of them.
    pub strategies: Vec<WireWay>,
    /// The one that fits best; null where none does.
    pub advice: Option<String>,
    /// Why.
    pub why: String,
}

/// One strategy for one release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireWay {
    /// Its name.
    pub strategy: String,
    /// Whether nothing stands against it.
    pub fits: bool,
    /// What stands against it.
    pub misfits: Vec<String>,
    /// What should be known before it is taken.
    pub cautions: Vec<String>,
    /// How long it takes at best.
    pub best_ms: u64,
    /// How long before every limit has run out.
    pub worst_ms: u64,
    /// How long at today's traffic, where there is any to go by.
    pub today_ms: Option<u64>,
    /// The share of the users that meets the version before the judge can have spoken, in basis points.
    pub exposed_bp: u16,
    /// Instances beyond the declared number, at the most.
    pub extra_instances: u32,
    /// How long going back takes, in words.
    pub rollback: String,
    /// The same as figures; null where there is no way back.
    pub back: Option<WireBack>,
    /// What a version does of which one request in ten fails; null where no traffic is known.
    pub harm: Option<WireHarm>,
}

/// How long going back takes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireBack {
    /// From the first step that users meet.
    pub first_ms: u64,
    /// From the last step.
    pub last_ms: u64,
    /// What these two rest on: `measured` by the last way back of this kind, `estimated` from the plan, or `at_most` where
    /// they are a declared limit.
    pub basis: String,
    /// How long it took the last time that this service went back in this way; null where it never did.
    pub measured_ms: Option<u64>,
}

/// What a bad version does until it is taken back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireHarm {
    /// Requests that fail.
    pub failed: u64,
    /// How long it takes from its first users until everybody is back; null where it would pass unnoticed.
    pub after_ms: Option<u64>,
}

impl From<Way> for WireWay {
    fn from(way: Way) -> WireWay {
        WireWay {
            fits: way.fits(),
            strategy: way.strategy,
            misfits: way.misfits,
            cautions: way.cautions,
            best_ms: way.best.0,
            worst_ms: way.worst.0,
            today_ms: way.today.map(|t| t.0),
            exposed_bp: way.exposed.bp(),
            extra_instances: way.extra_instances,
            rollback: way.rollback,
            back: way.back.map(|back| WireBack {
                first_ms: back.first.0,
                last_ms: back.last.0,
                basis: back.basis.as_str().to_string(),
                measured_ms: back.measured.map(|took| took.0),
            }),
            harm: way.harm.map(|harm| WireHarm { failed: harm.failed, after_ms: harm.after.map(|t| t.0) }),
        }
    }
}

impl WireComparison {
    /// What was compared, and for what.
    pub fn new(
        (service, environment, version): (String, String, String),
        instances: u32,
        rate: Option<f64>,
        comparison: Comparison,
    ) -> WireComparison {
        WireComparison {
            service,
            environment,
            version,
            requests_per_second: rate,
            instances,
            declared: comparison.declared,
            strategies: comparison.ways.into_iter().map(WireWay::from).collect(),
            advice: comparison.advice,
            why: comparison.why,
        }
    }
}
