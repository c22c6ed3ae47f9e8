//! The journal.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use slipway_control::By;
use slipway_core::units::Timestamp;
use slipway_store::Filter;

use crate::body::{Asked, Body};
use crate::problem::{Problem, WireProblem};
use crate::routes::releases::reasonable;
use crate::state::App;
use crate::wire::NewAcceptance;

/// Which entries.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct JournalQuery {
    /// Of this service.
    service: Option<String>,
    /// In this environment.
    environment: Option<String>,
    /// Of this rollout.
    rollout: Option<String>,
    /// Of this kind, or of every kind that begins with it and a dot.
    kind: Option<String>,
    /// By this actor: `user:ada`, `slipway`.
    actor: Option<String>,
    /// Not before this time, milliseconds since 1970.
    since: Option<u64>,
    /// Before this time, milliseconds since 1970.
    until: Option<u64>,
    /// After this entry, oldest first.
    after: Option<u64>,
    /// Before this entry, newest first.
    before: Option<u64>,
    /// At most so many; 100 if absent.
    limit: Option<u32>,
}

impl JournalQuery {
    pub(crate) fn filter(self) -> Result<Filter, Problem> {
        Ok(Filter {
            service: self.service.map(|s| s.parse()).transpose()?,
            environment: self.environment.map(|e| e.parse()).transpose()?,
            rollout: self.rollout.map(|r| r.parse()).transpose()?,
            kind: self.kind,
            actor: self.actor,
            since: self.since.map(Timestamp),
            until: self.until.map(Timestamp),
            after: self.after,
            before: self.before,
            limit: self.limit,
        })
    }
}

/// Entries of the journal.
#[utoipa::path(get, path = "/api/v1/journal", tag = "journal", params(JournalQuery),
    responses((status = 200, body = Vec<Object>)))]
pub(crate) async fn list(State(app): State<App>, Asked(query): Asked<JournalQuery>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!(app.control.store().entries(&query.filter()?).await?)))
}

/// Checks the whole chain against the anchor outside the database.
#[utoipa::path(post, path = "/api/v1/journal/verification", tag = "journal", responses((status = 200, body = Object)))]
pub(crate) async fn verify(State(app): State<App>) -> Result<Json<Value>, Problem> {
    Ok(Json(match app.control.store().verify_journal().await {
        Ok(Ok(verified)) => json!({ "ok": true, "entries": verified.entries, "head": verified.head }),
        Ok(Err(broken)) => json!({ "ok": false, "error": broken.to_string() }),
        Err(slipway_store::Error::Damaged(why)) => json!({ "ok": false, "error": why }),
        Err(error) => return Err(error.into()),
    }))
}

/// Takes the journal as it is for the whole one from now on, after an older database was put back.
#[utoipa::path(post, path = "/api/v1/journal/acceptance", tag = "journal", request_body = NewAcceptance,
    responses((status = 200, body = Object), (status = 409, body = WireProblem)))]
pub(crate) async fn accept(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Body(new): Body<NewAcceptance>,
) -> Result<Json<Value>, Problem> {
    reasonable("acceptance", &new.reason)?;
    app.control.accept_journal(&new.reason, &by).await?;
    verify(State(app)).await
}
