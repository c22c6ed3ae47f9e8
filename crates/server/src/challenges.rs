//! What an issuer of certificates finds at a host, so that it knows whose the host is (HTTP-01, RFC 8555, section 8.3).
//! Gateways ask here, and no token is needed: the answer is for everybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};

use crate::problem::Problem;
use crate::state::App;

/// Where it is asked for.
pub(crate) const PATH: &str = "/.well-known/acme-challenge/{token}";

/// The answers that are found at present. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<Mutex<HashMap<String, String>>>);

/// An answer that is found until this is dropped.
#[derive(Debug)]
pub struct Offered {
    all: Challenges,
    token: String,
}

impl Challenges {
    /// Whoever asks for `token` finds `answer` from now on.
    pub fn offer(&self, token: &str, answer: &str) -> Offered {
        self.lock().insert(token.to_string(), answer.to_string());
        Offered { all: self.clone(), token: token.to_string() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.all.lock().remove(&self.token);
    }
}

/// The answer to a token.
pub(crate) async fn show(State(app): State<App>, Path(token): Path<String>) -> Result<String, Problem> {
    let found = app.challenges.lock().get(&token).cloned();
    found.ok_or_else(|| Problem::not_found("no certificate is being obtained with this token"))
}
