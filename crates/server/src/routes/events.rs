//! The journal as it grows, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, Stream, StreamExt};
use slipway_core::journal::Entry;
use slipway_store::{Filter, Store};
use tokio::sync::watch;

use crate::body::Asked;
use crate::problem::Problem;
use crate::routes::journal::JournalQuery;
use crate::state::App;

/// Entries that are read at a time.
const PAGE: u32 = 500;

/// Every new entry of the journal; `id` is its number. `Last-Event-ID` or `after` says where to go on.
#[utoipa::path(get, path = "/api/v1/events", tag = "journal", params(JournalQuery),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(crate) async fn stream(
    State(app): State<App>,
    Asked(query): Asked<JournalQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let mut filter = query.filter()?;
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let store = app.control.store().clone();
    let after = last.or(filter.after).unwrap_or_else(|| store.journal_head());
    filter.after = Some(known(&store, after));
    filter.limit = Some(PAGE);
    // An end of the control plane is the end of the stream; the client calls again.
    let end = async move { app.farewell.closed().await };
    let entries = follow(store, filter).flat_map(stream::iter).map(|entry| Ok(event(&entry)));
    let entries = entries.take_until(Box::pin(end));
    Ok(Sse::new(entries).keep_alive(KeepAlive::new().interval(Duration::from_secs(10))))
}

/// Where to go on for a client that has seen `after`: where that was lost with a database in whose place an older one was put,
/// with the entry that tells of it.
fn known(store: &Store, after: u64) -> u64 {
    match store.put_back() {
        Some(put_back) if after > store.journal_head() => put_back.entry - 1,
        _ => after,
    }
}

fn event(entry: &Entry) -> Event {
    let event = Event::default().id(entry.seq.to_string()).event(entry.fact.kind.clone());
    event.json_data(entry).unwrap_or_else(|error| Event::default().comment(error.to_string()))
}

/// Pages of entries after the filter's, as they come, for ever.
fn follow(store: Store, filter: Filter) -> impl Stream<Item = Vec<Entry>> {
    let head = store.subscribe();
    stream::unfold((store, filter, head), |(store, mut filter, mut head)| async move {
        loop {
            // Marked as seen before reading: what comes in between wakes the next round.
            let newest = *head.borrow_and_update();
            match store.entries(&filter).await {
                Ok(page) if !page.is_empty() => {
                    filter.after = page.last().map(|e| e.seq);
                    return Some((page, (store, filter, head)));
                }
                Ok(_) => filter.after = filter.after.max(Some(newest)),
                Err(error) => tracing::warn!(%error, "the event stream cannot read the journal"),
            }
            wait(&mut head).await?;
        }
    })
}

async fn wait(head: &mut watch::Receiver<u64>) -> Option<()> {
    head.changed().await.ok()
}
