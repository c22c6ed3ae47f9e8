//! Who asks: a bearer token, looked up by its hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use slipway_control::By;
use slipway_core::names::Digest;
use slipway_store::Error;

use crate::problem::Problem;
use crate::state::App;

/// Whose token it was, by its hash, as looked up before: for when the store cannot be read. Tokens are never taken back
/// while the control plane runs.
#[derive(Clone, Default)]
pub(crate) struct Known(Arc<Mutex<HashMap<Digest, String>>>);

impl Known {
    async fn name(&self, app: &App, token: &str) -> Result<Option<String>, Error> {
        let hash = Digest::of(token.as_bytes());
        let found = app.control.store().token_name(token).await;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(name) => {
                if let Some(name) = &name {
                    known.insert(hash, name.clone());
                }
                Ok(name)
            }
            Err(error) => known.get(&hash).cloned().map(Some).ok_or(error),
        }
    }
}

/// Lets through whoever has a token, and says who it is.
pub(crate) async fn need_token(State((app, known)): State<(App, Known)>, mut request: Request, next: Next) -> Response {
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
    match known.name(&app, &token).await {
        Ok(Some(name)) => {
            request.extensions_mut().insert(By::once(&format!("user:{name}")));
            next.run(request).await
        }
        Ok(None) => refused("the token is not known"),
        Err(error) => Problem::from(error).into_response(),
    }
}

fn refused(detail: &str) -> Response {
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}
