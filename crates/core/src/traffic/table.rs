//! The routing table as a value.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cohort::CohortRoute;
use super::fault::InjectedFault;
use super::split::Split;
use crate::address::Address;
use crate::names::{EnvironmentName, InstanceId, LaneId, ServiceName, VersionName};
use crate::units::{Millis, Weight};

/// The number of a routing table. A later table has a larger number, whichever control plane made it:
/// the upper 24 bits are the number of the control plane's start, the lower 40 count its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// A stretch of time over which a route's evidence may be added up: it changes with the weight and with every
/// fresh start of a step, and with it the per-user caps begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Everything that a gateway serves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoutingTable {
    /// Larger than that of every table before it.
    pub generation: Generation,
    /// One route for each service in an environment that has traffic. Shared by all the tables that have it.
    #[serde(with = "shared")]
    pub routes: Vec<Arc<Route>>,
}

/// Shared routes as they are written: each for itself.
pub(super) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Route;

    pub(in super::super) fn serialize<S: Serializer>(routes: &[Arc<Route>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(routes.iter().map(|route| &**route))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Arc<Route>>, D::Error> {
        Ok(Vec::<Route>::deserialize(from)?.into_iter().map(Arc::new).collect())
    }
}

/// How the requests of one service in one environment are recognised and split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Any of these makes a request this route's.
    pub matches: Vec<Match>,
    /// The stretch of evidence that requests under this route are counted in.
    pub epoch: Epoch,
    /// Who gets how much.
    pub split: Split,
    /// Where the traffic goes when the lease runs out: present where the split must not outlive a dead control plane.
    pub fallback: Option<Split>,
    /// How long the split may be served without a renewal; goes together with `fallback`.
    pub lease: Option<Millis>,
    /// Mixed into the assignment hash, new for each rollout, so that it is not the same users who go first every time.
    pub salt: String,
    /// Where the assignment key comes from.
    pub sticky: Sticky,
    /// The versions that may be chosen, with their ready instances.
    pub versions: Vec<VersionRoute>,
    /// What the gateway counts for the judge.
    pub objectives: Vec<Counted>,
    /// Limits on requests of this route.
    pub limits: Limits,
    /// Users who go to a version whatever the split says, the first that fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<CohortRoute>,
    /// Nobody is reached; requests are held, then told so.
    #[serde(default)]
    pub maintenance: Option<Maintenance>,
    /// What is done to some requests on purpose, for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<InjectedFault>,
    /// Which requests a version that no user meets yet gets copies of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
}

/// Copies of requests to other versions, whose answers are thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// The version that gets them.
    pub to: VersionName,
    /// How many of the requests, never more.
    pub share: Weight,
    /// Of these methods only.
    pub methods: Vec<String>,
    /// Largest body that is copied; a request with a larger one is not.
    pub body_bytes: u64,
    /// How long an answer may take.
    pub timeout: Millis,
    /// Copies under way at once; beyond them none is made.
    pub at_once: u32,
}

/// What is said while a route reaches nobody on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// How long a request waits for the end before it is told.
    pub hold: Millis,
    /// What it is told: HTML where it begins with `<`, otherwise plain text; a sentence where absent.
    pub page: Option<String>,
    /// When a client is told to come back.
    pub retry_after: Millis,
}

impl Route {
    /// The lane this route belongs to.
    pub fn lane(&self) -> LaneId {
        LaneId { service: self.service.clone(), environment: self.environment.clone() }
    }

    /// The version named `version`, where the route knows it.
    pub fn version(&self, version: &VersionName) -> Option<&VersionRoute> {
        self.versions.iter().find(|v| v.version == *version)
    }
}

/// Why a table cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A split gives traffic to a version that the route does not describe.
    #[error("the route of {lane} sends traffic to version {version}, which it does not describe")]
    UnknownVersion {
        /// Whose route.
        lane: LaneId,
        /// The version.
        version: VersionName,
    },
    /// Only one of `lease` and `fallback` is there.
    #[error("the route of {0} has a lease without a fall-back, or a fall-back without a lease")]
    HalfLease(LaneId),
    /// A path that no request can have.
    #[error("the route of {lane} has the path {path:?}, which does not start with `/`")]
    Path {
        /// Whose route.
        lane: LaneId,
        /// The path.
        path: String,
    },
    /// Two routes for one lane.
    #[error("{0} has two routes")]
    Twice(LaneId),
}

impl RoutingTable {
    /// Whether a gateway can serve this: every share names a version that is described, every lease has its fall-back.
    pub fn check(&self) -> Result<(), TableError> {
        let mut seen = HashSet::with_capacity(self.routes.len());
        for route in &self.routes {
            if !seen.insert((&route.service, &route.environment)) {
                return Err(TableError::Twice(route.lane()));
            }
            route.check()?;
        }
        Ok(())
    }
}

impl Route {
    /// Whether a gateway can serve this.
    fn check(&self) -> Result<(), TableError> {
        if self.lease.is_some() != self.fallback.is_some() {
            return Err(TableError::HalfLease(self.lane()));
        }
        if let Some(m) = self.matches.iter().find(|m| !m.path.starts_with('/')) {
            return Err(TableError::Path { lane: self.lane(), path: m.path.clone() });
        }
        let shares = self.split.shares().iter().chain(self.fallback.iter().flat_map(|f| f.shares()));
        let named = self.cohorts.iter().map(|cohort| &cohort.to).chain(self.mirror.iter().map(|m| &m.to));
        let named = named.chain(shares.map(|share| &share.version));
        match named.into_iter().find(|version| self.version(version).is_none()) {
            Some(version) => Err(TableError::UnknownVersion { lane: self.lane(), version: version.clone() }),
            None => Ok(()),
        }
    }
}

/// A host and a path prefix. An exact host goes before any host, a longer path before a shorter one, and a higher
/// rank before a lower one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Lower case, without a port; any host where absent.
    pub host: Option<String>,
    /// Starts with `/`; matches whole segments, so that `/shop` covers `/shop` and `/shop/cart` but not `/shopping`.
    pub path: String,
    /// Decides between routes that claim the same host and path.
    pub rank: u32,
}

/// Where a request's assignment key comes from: the named header, else the named cookie, else the gateway's own cookie.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sticky {
    /// The user's own cookie, for example a session.
    pub cookie: Option<String>,
    /// The user's own header, lower case.
    pub header: Option<String>,
}

/// Whether a version is the one that serves or the one that is coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The version that serves; never loses its last half to ejection, and takes over where the candidate has nobody left.
    Stable,
    /// The version that is coming.
    Candidate,
}

/// A version that a route may choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRoute {
    /// The version.
    pub version: VersionName,
    /// Stable or candidate.
    pub role: Role,
    /// Its instances that are ready and smoke-tested.
    pub endpoints: Vec<Endpoint>,
    /// What its instances speak.
    #[serde(default)]
    pub protocol: Protocol,
    /// How gateways ask its instances for their health themselves; not at all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Check>,
}

/// How gateways ask instances for their health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// A GET on this path answers 200 to 399. Where absent, a connection that is taken is enough.
    pub path: Option<String>,
    /// From one question to the next.
    pub interval: Millis,
    /// How long an answer may take.
    pub timeout: Millis,
    /// Good answers in a row until an instance that was taken out gets requests again.
    pub healthy_after: u32,
    /// Bad answers in a row until it gets none.
    pub unhealthy_after: u32,
}

/// What instances speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, known beforehand (RFC 9113, section 3.3): what gRPC servers speak.
    H2c,
}

/// One ready instance. The address alone is not an identity: ports are used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The instance.
    pub instance: InstanceId,
    /// Which start of it: 1 for the first, one more after each restart.
    pub incarnation: u32,
    /// Where it listens.
    pub address: Address,
}

/// Something that the gateway counts for the judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The objective's name in the declared file.
    pub name: String,
    /// What makes a request bad.
    pub bad: CountedBad,
}

/// What makes a request bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountedBad {
    /// 5xx, connection failure, time-out or truncated answer of an attempt; not 4xx, not a client that went away.
    Failed,
    /// The response head took longer than this; upgrades and event streams are left out.
    SlowerThan(Millis),
    /// The same with a bound in microseconds, as it was taken from another version's latency.
    SlowerThanUs(u64),
}

impl CountedBad {
    /// What the response head must not take longer than, where that is what counts.
    pub fn bound(self) -> Option<Duration> {
        match self {
            CountedBad::Failed => None,
            CountedBad::SlowerThan(bound) => Some(bound.as_duration()),
            CountedBad::SlowerThanUs(bound) => Some(Duration::from_micros(bound)),
        }
    }
}

/// Limits on the requests of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the request's end to the response head, and from one part of its body to the next.
    pub response: Millis,
    /// How long ordinary requests of a version that is no longer chosen may go on.
    pub drain: Millis,
    /// The same for WebSockets, event streams and other upgraded connections.
    pub drain_long: Millis,
    /// Largest request body in bytes.
    pub body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            response: Millis::from_secs(60),
            drain: Millis::from_secs(30),
            drain_long: Millis::from_secs(300),
            body_bytes: 1 << 30,
        }
    }
}
