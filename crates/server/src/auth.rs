//! Who asks and what they may: a bearer token, looked up by its hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use slipway_control::By;
use slipway_core::names::Digest;
use slipway_core::rights::{Right, Rights};
use slipway_core::units::{Millis, Timestamp};
use slipway_store::{Error, TokenRecord};

use crate::problem::Problem;
use crate::state::App;

/// Tokens and sessions that are remembered at the most.
const REMEMBERED: usize = 10_000;

/// How long a session lasts that could not be written down.
const UNKEPT: Millis = Millis::from_secs(3600);
/// Such sessions at the most; then the oldest goes.
const MOST_UNKEPT: usize = 100;

/// Whose token or session it was, by its hash, as looked up before: for when the store cannot be read. And the sessions that
/// could not be written down, since whoever signs in then is needed most.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<Remembered>>);

#[derive(Default)]
struct Remembered {
    found: HashMap<Digest, TokenRecord>,
    unkept: Vec<(Digest, TokenRecord, Timestamp)>,
}

impl Known {
    /// Whose secret it is, as `found` says; as it was said before where that fails.
    pub(crate) fn or_before(
        &self,
        secret: &str,
        found: Result<Option<TokenRecord>, Error>,
    ) -> Result<Option<TokenRecord>, Error> {
        let hash = Digest::of(secret.as_bytes());
        let mut remembered = self.remembered();
        let known = &mut remembered.found;
        match found {
            Ok(record) => {
                match &record {
                    Some(record) => {
                        // Sessions come and go: what nobody asked for lately is looked up again.
                        if known.len() >= REMEMBERED && !known.contains_key(&hash) {
                            known.clear();
                        }
                        known.insert(hash, record.clone());
                    }
                    None => drop(known.remove(&hash)),
                }
                Ok(record)
            }
            Err(error) => known.get(&hash).cloned().map(Some).ok_or(error),
        }
    }

    /// Remembers a session that could not be written down: for an hour, and no longer than this process lives.
    pub(crate) fn keep(&self, secret: &str, record: &TokenRecord, now: Timestamp) {
        let mut remembered = self.remembered();
        let unkept = &mut remembered.unkept;
        if unkept.len() >= MOST_UNKEPT {
            unkept.remove(0);
        }
        unkept.push((Digest::of(secret.as_bytes()), record.clone(), now.plus(UNKEPT)));
    }

    /// Whose session it is, if it could not be written down.
    pub(crate) fn kept(&self, secret: &str, now: Timestamp) -> Option<TokenRecord> {
        let hash = Digest::of(secret.as_bytes());
        let remembered = self.remembered();
        let mut lasting = remembered.unkept.iter().filter(|(_, _, until)| *until > now);
        lasting.find(|(session, _, _)| *session == hash).map(|(_, record, _)| record.clone())
    }

    /// Forgets a session that was ended.
    pub(crate) fn forget_secret(&self, secret: &str) {
        let hash = Digest::of(secret.as_bytes());
        let mut remembered = self.remembered();
        remembered.found.remove(&hash);
        remembered.unkept.retain(|(session, _, _)| *session != hash);
    }

    /// Forgets the tokens of a name, so that a store that breaks does not bring a revoked one back.
    pub(crate) fn forget(&self, name: &str) {
        let mut remembered = self.remembered();
        remembered.found.retain(|_, record| record.name != name);
        remembered.unkept.retain(|(_, record, _)| record.name != name);
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets through whoever has a token, and says who it is and what they may.
pub(crate) async fn need_token(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_string());
    let Some(token) = given else {
        return refused(
            "a token is needed: send Authorization: Bearer TOKEN; the first one is in the data folder's file `token`",
        );
    };
    let found = app.control.store().token(&token).await;
    match app.known.or_before(&token, found) {
        Ok(Some(record)) => {
            request.extensions_mut().insert(By::once(&actor(&record)));
            request.extensions_mut().insert(record.rights);
            next.run(request).await
        }
        Ok(None) => refused("the token is not known"),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// As the journal names the holder of a token.
pub(crate) fn actor(record: &TokenRecord) -> String {
    format!("user:{}", record.name)
}

/// Lets through whoever may do this.
pub(crate) async fn need_right(
    State(right): State<Right>,
    Extension(by): Extension<By>,
    Extension(rights): Extension<Rights>,
    request: Request,
    next: Next,
) -> Response {
    match allowed(&by, &rights, right) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether somebody may do this.
pub(crate) fn allowed(by: &By, rights: &Rights, right: Right) -> Result<(), Problem> {
    if rights.may(right) {
        return Ok(());
    }
    let detail = format!("{} may not {right}: the token may {rights}; ask for one that may {right}", by.actor);
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

fn refused(detail: &str) -> Response {
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}

/// 256 random bits as text: what a token is.
pub fn secret() -> String {
    (0..4).map(|_| format!("{:016x}", rand::random::<u64>())).collect()
}
