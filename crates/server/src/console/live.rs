//! What changed, as server-sent events without content: a page that hears one fetches its own part again.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use slipway_core::names::{Digest, LaneId};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::session;
use crate::body::Asked;
use crate::problem::Problem;
use crate::state::App;

/// One page is told at most so often.
const SPACING: Duration = Duration::from_millis(500);
/// How often it is looked whether whoever listens may still.
const RECHECK: Duration = Duration::from_secs(5);
/// How often a page hears that the stream is there, where nothing else is said. A comment would not reach its script.
const ALIVE: Duration = Duration::from_secs(15);
/// Pages of one session that listen at the same time, at the most.
const STREAMS: usize = 256;
/// What a page listens to at the most.
const TOPICS: usize = 20;

/// What a page listens to.
#[derive(Debug, Deserialize)]
pub(super) struct Listening {
    /// `lanes` for every service in every environment, `lane:SERVICE/ENVIRONMENT`, `service:SERVICE`,
    /// `environment:ENVIRONMENT`, `journal`; separated by spaces.
    topics: String,
}

/// How many streams each session has open. Cheap to clone; clones share one count.
#[derive(Clone, Default)]
pub(super) struct Listeners(Arc<Mutex<HashMap<Digest, usize>>>);

/// One open stream of a session; gone with it.
struct Listener {
    all: Listeners,
    session: Digest,
}

impl Listeners {
    /// One more stream of a session, if it may have one.
    fn one_more(&self, secret: &str) -> Option<Listener> {
        let session = Digest::of(secret.as_bytes());
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = counts.entry(session.clone()).or_default();
        if *open >= STREAMS {
            return None;
        }
        *open += 1;
        Some(Listener { all: self.clone(), session })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = counts.get_mut(&self.session) {
            *open -= 1;
            if *open == 0 {
                counts.remove(&self.session);
            }
        }
    }
}

struct Ears {
    topics: BTreeSet<String>,
    lanes: broadcast::Receiver<LaneId>,
    journal: watch::Receiver<u64>,
    told: Option<Instant>,
    /// Counts as long as somebody listens.
    _listener: Listener,
}

/// Tells a page which of its topics changed.
pub(super) async fn stream(
    State(app): State<App>,
    Extension(listeners): Extension<Listeners>,
    headers: HeaderMap,
    Asked(query): Asked<Listening>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let topics: BTreeSet<String> = query.topics.split_whitespace().map(str::to_string).collect();
    if topics.len() > TOPICS {
        return Err(Problem::bad_request(format!("a page listens to {TOPICS} topics at the most")));
    }
    let secret = session::secret(&headers).unwrap_or_default();
    let listener = listeners.one_more(&secret).ok_or_else(|| {
        let detail = format!("this session has {STREAMS} pages open that listen already: close some");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", detail)
    })?;
    let ears = Ears {
        topics,
        lanes: app.control.changes(),
        journal: app.control.store().subscribe(),
        told: None,
        _listener: listener,
    };
    let end = async move {
        tokio::select! {
            () = app.farewell.closed() => {}
            () = session_ends(&app, &secret) => {}
        }
    };
    let changes = stream::unfold(ears, |mut ears| async move { ears.next().await.map(|changed| (changed, ears)) });
    let events = changes.flat_map(|changed| stream::iter(changed.into_iter().map(event)));
    let hello = stream::once(async { Ok(said("listening")) });
    let events = hello.chain(events).take_until(Box::pin(end));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE).event(said("alive"))))
}

/// Waits until a session is over, by its time, by signing out, or because its token was revoked.
async fn session_ends(app: &App, secret: &str) {
    loop {
        tokio::time::sleep(RECHECK).await;
        let now = app.control.now();
        // A store that cannot be read ends nobody's session.
        if app.known.kept(secret, now).is_none()
            && let Ok(None) = app.control.store().session(secret, now).await
        {
            return;
        }
    }
}

/// An event that carries nothing. One without any data never reaches the script: browsers drop it.
fn said(what: &str) -> Event {
    Event::default().event(what).data("-")
}

fn event(topic: String) -> Result<Event, Infallible> {
    Ok(Event::default().event("changed").data(topic))
}

impl Ears {
    /// The topics that changed since the last time, once there are any and the page may be told again.
    async fn next(&mut self) -> Option<BTreeSet<String>> {
        let mut changed = BTreeSet::new();
        let may = self.told.map(|told| told + SPACING);
        loop {
            let ready = !changed.is_empty();
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(may.unwrap_or_else(Instant::now)), if ready => break,
                lane = self.lanes.recv() => match lane {
                    Ok(lane) => changed.extend(self.of(&lane)),
                    Err(broadcast::error::RecvError::Lagged(_)) => changed.extend(self.topics.iter().cloned()),
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                head = self.journal.changed() => {
                    head.ok()?;
                    changed.extend(self.topics.get("journal").cloned());
                }
            }
        }
        self.told = Some(Instant::now());
        Some(changed)
    }

    fn of(&self, lane: &LaneId) -> Vec<String> {
        let all = [
            "lanes".to_string(),
            format!("lane:{}/{}", lane.service, lane.environment),
            format!("service:{}", lane.service),
            format!("environment:{}", lane.environment),
        ];
        all.into_iter().filter(|topic| self.topics.contains(topic)).collect()
    }
}
