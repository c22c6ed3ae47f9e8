//! Sends a service's declared probe to instances of candidate and stable alike, and counts what comes of it.
//!
//! Each beat sends one probe to each version, to its instances in turn, at the same moment: whatever hits both cancels.
//! Probes go to the instances themselves and not through a gateway, so no gateway can take one for a user's request.
//! Counts are cumulative since the start of this process. Decides nothing: it is told what to probe ([`Probing`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use slipway_core::address::Address;
use slipway_core::names::{LaneId, VersionName};
use slipway_core::rollout::Probing;
use slipway_core::spec::ProbeRequest;
use slipway_core::traffic::link::{CountRow, ObjectiveCount};
use slipway_core::traffic::{Counted, Epoch};
use tokio_util::task::AbortOnDropHandle;

use crate::http;

/// Stretches of evidence of a lane that are remembered.
const EPOCHS_KEPT: usize = 8;
/// Probes of a lane that may wait for their answers; a beat that would go beyond is left out for both versions.
const WAITING: usize = 128;

/// Latency is kept as upper bounds in microseconds that grow by an eighth.
const FINENESS: f64 = 8.0;

type Nudge = Arc<dyn Fn() + Send + Sync>;
type Rows = BTreeMap<(Epoch, VersionName), CountRow>;

/// What sends probes.
#[derive(Clone, Default)]
pub struct Prober(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lanes: Mutex<BTreeMap<LaneId, Beating>>,
    rows: Mutex<BTreeMap<LaneId, Rows>>,
    nudge: Mutex<Option<Nudge>>,
}

struct Beating {
    probing: Probing,
    _task: AbortOnDropHandle<()>,
}

impl Prober {
    /// Probes this from now on in a lane, or nothing. The same again changes nothing.
    pub fn set(&self, lane: &LaneId, probing: Option<Probing>) {
        let mut lanes = lock(&self.0.lanes);
        match probing {
            None => drop(lanes.remove(lane)),
            Some(probing) if lanes.get(lane).is_some_and(|now| now.probing == probing) => {}
            Some(probing) => {
                self.0.make_room(&probing);
                let task = tokio::spawn(beat(self.0.clone(), probing.clone()));
                lanes.insert(lane.clone(), Beating { probing, _task: AbortOnDropHandle::new(task) });
            }
        }
    }

    /// What came of probes so far, cumulative.
    pub fn counts(&self) -> Vec<CountRow> {
        lock(&self.0.rows).values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Calls `nudge` whenever an answer was counted.
    pub fn on_change(&self, nudge: Nudge) {
        *lock(&self.0.nudge) = Some(nudge);
    }
}

impl Shared {
    fn make_room(&self, probing: &Probing) {
        let mut rows = lock(&self.rows);
        let kept = rows.entry(probing.lane.clone()).or_default();
        let mut epochs: Vec<Epoch> = kept.keys().map(|(epoch, _)| *epoch).chain([probing.epoch]).collect();
        epochs.sort_unstable();
        epochs.dedup();
        let oldest = epochs[epochs.len().saturating_sub(EPOCHS_KEPT)];
        kept.retain(|(epoch, _), _| *epoch >= oldest);
    }

    fn count(&self, probing: &Probing, version: &VersionName, outcome: &Outcome) {
        let mut rows = lock(&self.rows);
        let rows = rows.entry(probing.lane.clone()).or_default();
        let key = (probing.epoch, version.clone());
        let row = rows.entry(key).or_insert_with(|| empty(probing, version));
        row.assigned += 1;
        row.attempts += 1;
        row.failed += u64::from(outcome.failed);
        for (objective, count) in probing.objectives.iter().zip(&mut row.objectives) {
            if let Some(bad) = outcome.is_bad(objective) {
                count.n += 1;
                count.bad += u64::from(bad);
                // Nobody stands behind a probe: each is its own.
                count.bad_keys += u64::from(bad);
            }
        }
        if outcome.answered {
            let upper = upper(outcome.took);
            match row.latency_us.binary_search_by_key(&upper, |(bound, _)| *bound) {
                Ok(at) => row.latency_us[at].1 += 1,
                Err(at) => row.latency_us.insert(at, (upper, 1)),
            }
        }
    }
}

/// What came of one probe.
struct Outcome {
    failed: bool,
    answered: bool,
    took: Duration,
}

impl Outcome {
    /// Whether it is bad by an objective; `None` where it says nothing about it.
    fn is_bad(&self, objective: &Counted) -> Option<bool> {
        match objective.bad.bound() {
            None => Some(self.failed),
            Some(bound) if self.answered => Some(self.took > bound),
            // Nobody waits for the answer any more: slow by every bound that has passed.
            Some(bound) => (self.took > bound).then_some(true),
        }
    }
}

fn empty(probing: &Probing, version: &VersionName) -> CountRow {
    let count = |o: &Counted| ObjectiveCount { name: o.name.clone(), n: 0, bad: 0, bad_keys: 0 };
    CountRow {
        service: probing.lane.service.clone(),
        environment: probing.lane.environment.clone(),
        epoch: probing.epoch,
        version: version.clone(),
        cohort: None,
        assigned: 0,
        users: 0,
        attempts: 0,
        failed: 0,
        failed_by_slipway: 0,
        injected: 0,
        mirrored: false,
        objectives: probing.objectives.iter().map(count).collect(),
        latency_us: Vec::new(),
    }
}

/// Sends probes until it is dropped. Those that still wait then are not counted, of either version.
async fn beat(shared: Arc<Shared>, probing: Probing) {
    let probing = Arc::new(probing);
    let mut beats = tokio::time::interval(probing.probe.interval());
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut waiting = tokio::task::JoinSet::new();
    let turn = AtomicUsize::new(0);
    loop {
        tokio::select! {
            _ = beats.tick() => {
                if waiting.len() + probing.versions.len() > WAITING {
                    continue;
                }
                let turn = turn.fetch_add(1, Relaxed);
                for (version, endpoints) in &probing.versions {
                    let Some(endpoint) = endpoints.get(turn % endpoints.len().max(1)) else { continue };
                    let (probing, version, address) = (probing.clone(), version.clone(), endpoint.address.clone());
                    waiting.spawn(async move { (version, send(&probing, &address).await) });
                }
            }
            Some(Ok((version, outcome))) = waiting.join_next() => {
                shared.count(&probing, &version, &outcome);
                let nudge = lock(&shared.nudge).clone();
                if let Some(nudge) = nudge {
                    nudge();
                }
            }
        }
    }
}

async fn send(probing: &Probing, address: &Address) -> Outcome {
    let begun = Instant::now();
    let host = probing.host.clone().unwrap_or_else(|| address.host());
    let answer = match request(&probing.probe.request, &host) {
        Ok(request) => tokio::time::timeout(probing.probe.timeout.as_duration(), http::head(address, request)).await,
        Err(why) => Ok(Err(why)),
    };
    let took = begun.elapsed();
    match answer {
        Ok(Ok(head)) => Outcome { failed: head.status.is_server_error(), answered: true, took },
        Ok(Err(_)) | Err(_) => Outcome { failed: true, answered: false, took },
    }
}

fn request(probe: &ProbeRequest, host: &str) -> Result<Request<Full<Bytes>>, String> {
    let has = |name: &str| probe.headers.keys().any(|key| key.eq_ignore_ascii_case(name));
    let mut request = Request::builder().method(probe.method.as_str()).uri(&probe.path);
    if !has("host") {
        request = request.header("host", host);
    }
    if !has("user-agent") {
        request = request.header("user-agent", "slipway-probe");
    }
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    let body = probe.body.clone().unwrap_or_default();
    let built = request.header("slipway-synthetic", "probe").body(Full::new(Bytes::from(body)));
    built.map_err(|e| e.to_string())
}

/// The upper bound of the bucket that a latency falls into.
fn upper(took: Duration) -> u64 {
    let us = took.as_micros().max(1) as f64;
    let step = (us.log2() * FINENESS).ceil();
    (step / FINENESS).exp2().ceil() as u64
}

/// The lock, also where a panic left it: every value here is whole between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_core::traffic::{CountedBad, Endpoint};
    use slipway_core::units::Millis;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers every request with this status, and keeps what it was asked.
    async fn answering(status: u16, asked: Arc<Mutex<Vec<String>>>) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = vec![0; 4096];
                let n = stream.read(&mut buffer).await.unwrap_or(0);
                lock(&asked).push(String::from_utf8_lossy(&buffer[..n]).into_owned());
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address.into()
    }

    fn probing(versions: Vec<(&str, Address)>) -> Probing {
        let endpoint =
            |address| Endpoint { instance: "shop-production-1".parse().expect("an id"), incarnation: 1, address };
        let request = ProbeRequest {
            method: "POST".into(),
            path: "/x?y=z".into(),
            headers: BTreeMap::from([("x-a".into(), "b".into())]),
            body: Some("hello".into()),
        };
        Probing {
            lane: LaneId { service: "shop".parse().expect("a name"), environment: "e".parse().expect("a name") },
            epoch: Epoch(3),
            // A machine that stalls is not taken for an instance that does.
            probe: slipway_core::spec::Probe { rate: 50.0, request, timeout: Millis(30_000) },
            host: Some("shop.local".into()),
            versions: versions.into_iter().map(|(v, a)| (v.parse().expect("a version"), vec![endpoint(a)])).collect(),
            objectives: vec![
                Counted { name: "errors".into(), bad: CountedBad::Failed },
                Counted { name: "slow".into(), bad: CountedBad::SlowerThan(Millis(20_000)) },
            ],
        }
    }

    #[tokio::test]
    async fn both_versions_are_asked_alike_and_say_that_it_is_synthetic() {
        let attempts = |rows: &[CountRow], version: &str| {
            rows.iter().filter(|row| row.version.as_str() == version).map(|row| row.attempts).sum::<u64>()
        };
        let asked = Arc::default();
        let (good, bad) = (answering(200, Arc::clone(&asked)).await, answering(503, Arc::default()).await);
        let probing = probing(vec![("2", bad), ("1", good)]);
        let prober = Prober::default();
        // With as many answers of either: on a slow machine those of several beats are under way at once.
        let (tell, told) = tokio::sync::watch::channel(Vec::new());
        let counting = prober.clone();
        prober.on_change(Arc::new(move || {
            let rows = counting.counts();
            if attempts(&rows, "1") >= 5 && attempts(&rows, "1") == attempts(&rows, "2") {
                tell.send_replace(rows);
            }
        }));
        prober.set(&probing.lane, Some(probing.clone()));
        let mut told = told;
        let enough = told.wait_for(|rows| !rows.is_empty());
        let rows = tokio::time::timeout(Duration::from_secs(60), enough)
            .await
            .expect("ten probes")
            .expect("it probes")
            .clone();
        prober.set(&probing.lane, None);
        let row = |version: &str| rows.iter().find(|r| r.version.as_str() == version).expect("a row");
        assert_eq!((row("1").failed, row("2").failed), (0, row("2").attempts));
        let errors = &row("2").objectives[0];
        assert_eq!((errors.n, errors.bad), (row("2").attempts, row("2").attempts));
        assert_eq!(row("2").objectives[1].bad, 0, "a failure is not slow");
        assert_eq!(row("1").epoch, Epoch(3));
        let first = lock(&asked).first().cloned().expect("a request");
        assert!(first.starts_with("POST /x?y=z HTTP/1.1\r\n"), "{first}");
        for header in ["host: shop.local", "x-a: b", "user-agent: slipway-probe", "slipway-synthetic: probe"] {
            assert!(first.to_ascii_lowercase().contains(header), "{header}: {first}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_a_failure() {
        // Nobody listens there, and nobody else gets it.
        let held = tokio::net::TcpSocket::new_v4().expect("a socket");
        held.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let gone = Address::from(held.local_addr().expect("an address"));
        let outcome = send(&probing(vec![("1", gone.clone())]), &gone).await;
        assert!(outcome.failed && !outcome.answered);
        let objectives = probing(vec![("1", gone)]).objectives;
        assert_eq!((outcome.is_bad(&objectives[0]), outcome.is_bad(&objectives[1])), (Some(true), None));
    }

    #[test]
    fn latency_falls_into_buckets_an_eighth_wide() {
        for us in [1u64, 2, 7, 100, 1_234, 60_000_000] {
            let bound = upper(Duration::from_micros(us));
            assert!(bound >= us && (bound as f64) <= us as f64 * 1.1 + 1.0, "{us} {bound}");
        }
    }
}
