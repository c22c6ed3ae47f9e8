//! What a gateway and a control plane say to each other, one JSON object a line, over one connection that the
//! gateway opens. Everything is either idempotent or cumulative, so a repeated or a late message does no harm.

use serde::{Deserialize, Serialize};

use super::change::TableChange;
use super::table::{Epoch, Generation, RoutingTable};
use crate::names::{EnvironmentName, InstanceId, LaneId, ServiceName, VersionName};
use crate::units::Millis;

/// Longest line that either side accepts, in bytes.
pub const LINE_LIMIT: usize = 16 << 20;

/// Users of one epoch that a gateway tells apart; those beyond are not counted as users.
pub const USERS_KEPT: usize = 4_096;

/// Lapses, and ejections, that one line of a hello holds at most.
const SAID_IN_A_PART: usize = 500;

/// From a gateway to the control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromGateway {
    /// The first line of a connection.
    Hello(Hello),
    /// What its hello had no room for. Follows it at once where [`Hello::more`] says so.
    More {
        /// Further lapses.
        lapsed: Vec<Lapse>,
        /// Further instances that it does not use.
        ejected: Vec<Ejection>,
        /// More follows.
        more: bool,
    },
    /// From now on no new request is routed by an older table.
    Ack {
        /// The table that is now served.
        generation: Generation,
    },
    /// Counts, cumulative since this gateway's start. Only rows that changed since the last report.
    Counts {
        /// The rows.
        rows: Vec<CountRow>,
    },
    /// Requests that are still being answered by instances that have left the table: all of them, each time. An
    /// instance that is absent has none. Said before the acknowledgement of the table that they left with.
    Leaving {
        /// Instances and their requests in flight.
        in_flight: Vec<(InstanceId, u64)>,
        /// The others follow at once.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// Something that the control plane should know at once.
    Event(Event),
    /// Fewer of its predecessors still run.
    Predecessors {
        /// Those that do.
        running: Vec<Predecessor>,
    },
    /// It was started to take the place of a process of its name, and has: said once on each connection.
    Follows(Follows),
    /// What a person should mend there: said where it changes, nothing where all is well again.
    Trouble {
        /// In a sentence or two.
        trouble: Option<String>,
    },
    /// It was draining and has nothing left: it ends now. The last that it says.
    Gone,
    /// In the place of a hello: the connection is for this alone.
    Report(Report),
    /// It is there; asks for the same number back.
    Here {
        /// Grows with each.
        beat: u64,
    },
}

/// Who is calling and what it serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The shared secret that the control plane wrote for its gateways.
    pub token: String,
    /// The gateway's name, stable over its restarts.
    pub gateway: String,
    /// New at every start of the gateway's process.
    pub boot: String,
    /// Its process id.
    pub pid: u32,
    /// Where it listens for traffic.
    pub traffic: std::net::SocketAddr,
    /// The table it serves; zero where it has none, or not all of it.
    pub serves: Generation,
    /// The table of which it serves a part, where an earlier release of it could not read all; zero otherwise. It may send
    /// requests to the instances of that one.
    #[serde(default)]
    pub serves_part: Generation,
    /// Routes whose lease ran out: their fall-back is being served.
    pub lapsed: Vec<Lapse>,
    /// Instances of the table that it does not use at present.
    pub ejected: Vec<Ejection>,
    /// Where its process is known by its id; see [`Machine`]. Absent from gateways that say nothing while they have
    /// nothing to say.
    #[serde(default)]
    pub machine: Option<Machine>,
    /// Whether it takes tables as [`ToGateway::Change`]; one that outlived an older control plane may not.
    #[serde(default)]
    pub takes_changes: bool,
    /// What of a table it can read; see [`super::READS`].
    #[serde(default)]
    pub reads: u32,
    /// The rest of `lapsed` and `ejected` follows, as [`FromGateway::More`].
    #[serde(default)]
    pub more: bool,
    /// The version of its program; absent from gateways that do not say.
    #[serde(default)]
    pub program: Option<String>,
    /// Whether another process of its name serves in its place: it accepts nothing, and ends with its connections.
    #[serde(default)]
    pub draining: bool,
    /// Processes of its name that have given way to it, or are about to, and still run.
    #[serde(default)]
    pub predecessors: Vec<Predecessor>,
}

impl Hello {
    /// It and what it has no room for, as lines that are no long ones.
    pub fn parts(mut self) -> Vec<FromGateway> {
        let (lapsed, ejected) = (std::mem::take(&mut self.lapsed), std::mem::take(&mut self.ejected));
        let mut lapsed: Vec<_> = lapsed.chunks(SAID_IN_A_PART).map(<[_]>::to_vec).collect();
        let mut ejected: Vec<_> = ejected.chunks(SAID_IN_A_PART).map(<[_]>::to_vec).collect();
        let mut parts = Vec::new();
        let mut more = false;
        // The last part is made first: it is the one that nothing follows.
        while lapsed.len() > 1 || ejected.len() > 1 {
            let lapsed = if lapsed.len() > 1 { lapsed.pop() } else { None };
            let ejected = if ejected.len() > 1 { ejected.pop() } else { None };
            let (lapsed, ejected) = (lapsed.unwrap_or_default(), ejected.unwrap_or_default());
            parts.push(FromGateway::More { lapsed, ejected, more });
            more = true;
        }
        self.lapsed = lapsed.pop().unwrap_or_default();
        self.ejected = ejected.pop().unwrap_or_default();
        self.more = more;
        parts.push(FromGateway::Hello(self));
        parts.reverse();
        parts
    }
}

/// A batch of outcomes that somebody reported at a gateway which does not know where the API is. The batch follows as so many
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// As in its [`Hello`].
    pub token: String,
    /// As in its [`Hello`].
    pub gateway: String,
    /// Whose batch it is, as the API is told: the header `Authorization`.
    pub authorization: Option<String>,
    /// How many bytes of JSON follow.
    pub size: u32,
}

/// What the API said to a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header `Content-Type`.
    pub content_type: Option<String>,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body.
    pub body: String,
}

/// A process that gives way to a newer one of its gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// As in its [`Hello`].
    pub boot: String,
    /// Its process id.
    pub pid: u32,
}

/// The process that has given way to another of its gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follows {
    /// As in its [`Hello`].
    pub boot: String,
    /// Its process id.
    pub pid: u32,
    /// The version of its program.
    pub program: String,
}

/// A place where process ids mean something: one boot of a machine, and one of its name spaces of processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Machine(pub String);

/// A route whose lease ran out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lapse {
    /// Whose route.
    pub lane: LaneId,
    /// The epoch of the split that lapsed. A table with the same epoch does not bring it back; a newer epoch does.
    pub epoch: Epoch,
}

/// An instance that a gateway stopped using.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ejection {
    /// Whose instance.
    pub lane: LaneId,
    /// Its version.
    pub version: VersionName,
    /// The instance.
    pub instance: InstanceId,
    /// Which start of it.
    pub incarnation: u32,
    /// What happened, for people.
    pub why: String,
}

/// Something that happened at a gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Connections to an instance fail; it gets no requests until they work again.
    Ejected(Ejection),
    /// An ejected instance answers again and gets requests.
    Readmitted(Ejection),
    /// A candidate has no usable instance left; its share goes to stable.
    CandidateLost {
        /// Whose candidate.
        lane: LaneId,
        /// The version.
        version: VersionName,
        /// The epoch in which it happened.
        epoch: Epoch,
        /// What happened to the last one, for people.
        why: String,
    },
    /// A lease ran out; the fall-back is being served.
    Lapsed(Lapse),
}

/// What one version did for one route in one epoch, since the gateway started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountRow {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The epoch that the requests started in.
    pub epoch: Epoch,
    /// The version that they were sent to.
    pub version: VersionName,
    /// Whose requests, where they were a cohort's that went to a version of its own; everybody else's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<String>,
    /// Requests whose assignment was this version, whether or not it answered: what the measured split is made of.
    pub assigned: u64,
    /// Distinct assignment keys among them, of the first [`USERS_KEPT`] that the gateway met in the epoch. Each is one
    /// fresh draw of the split, however often it comes back.
    #[serde(default)]
    pub users: u64,
    /// Attempts that ended: answered, failed, or cut by the client after the response head.
    pub attempts: u64,
    /// Attempts that failed (see [`super::CountedBad::Failed`]), every one of them, without the per-user cap.
    pub failed: u64,
    /// Requests that failed by Slipway's own doing: neither an instance's answer nor its death.
    pub failed_by_slipway: u64,
    /// Requests into which a fault was injected on purpose: among the others, failed or not.
    #[serde(default)]
    pub injected: u64,
    /// Whether these are copies of requests at the version that gets them, and the requests that were copied at the others:
    /// synthetic, and never to be added to anything else.
    #[serde(default)]
    pub mirrored: bool,
    /// For each objective of the route, under the per-user cap.
    pub objectives: Vec<ObjectiveCount>,
    /// Time to the response head: pairs of upper bound in microseconds and count, only buckets that hold something.
    pub latency_us: Vec<(u64, u64)>,
}

/// One objective's count: a key counts, good and bad, until its third bad event in an epoch and then not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectiveCount {
    /// The objective.
    pub name: String,
    /// Events counted.
    pub n: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// Distinct assignment keys with a bad event.
    pub bad_keys: u64,
}

/// From the control plane to a gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToGateway {
    /// Serve this, if it is newer than what is served. Renews the leases of its routes that have not lapsed.
    Table(RoutingTable),
    /// The same of the table that comes of this, and of the parts that follow it at once where more are announced. One
    /// that changes another table than the gateway has been given is answered by calling anew: the first table of a
    /// connection is whole.
    Change(TableChange),
    /// The leases of the splits in this table hold for another term.
    Renew {
        /// The table that must be served for the renewal to count.
        generation: Generation,
        /// The term, the same for all.
        term: Millis,
    },
    /// Whom it has called: the first line to a gateway that says where it runs itself.
    Welcome {
        /// Where the control plane and the instances run.
        machine: Machine,
        /// Whether it passes reports on to the API, of which it is told as [`FromGateway::Report`].
        #[serde(default)]
        takes_reports: bool,
    },
    /// What came of a report: the only line that answers one that was passed on.
    Answered(Answer),
    /// A report was not passed on: the only line that answers it.
    NotPassedOn {
        /// The status to answer with.
        status: u16,
        /// Why, for people.
        why: String,
    },
    /// It is not let in, and hung up on. Said only to one that says the version of its program: the others cannot read it.
    Refused {
        /// Why, and what to do, for people.
        why: String,
    },
    /// Everything that was said before a gateway's [`FromGateway::Here`] has been answered; the newest table first.
    Here {
        /// The gateway's number.
        beat: u64,
    },
    /// The control plane goes away for good: finish what is in flight, then end.
    Shutdown {
        /// How long in-flight requests may go on.
        drain: Millis,
    },
}
