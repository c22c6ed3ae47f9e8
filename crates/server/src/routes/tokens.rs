//! Tokens: whose they are and what they may. The text of one is told once, when it is made.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use slipway_control::By;
use slipway_store::TokenRecord;

use crate::auth::secret;
use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::state::App;
use crate::wire::{MadeToken, NewToken, WireToken};

/// Whose token is in the data folder.
const FIRST: &str = "first";
/// Longest name.
const NAME_LIMIT: usize = 100;

/// Every token, without its text.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", responses((status = 200, body = Vec<WireToken>)))]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<WireToken>>, Problem> {
    let tokens = app.control.store().tokens().await?;
    Ok(Json(tokens.into_iter().map(WireToken::from).collect()))
}

/// Makes a token. Its text is in the answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = MadeToken), (status = 409, body = WireProblem)))]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    named(&new.name)?;
    let rights = new.rights()?;
    let record = TokenRecord { name: new.name.clone(), rights, created_at: app.control.now() };
    let token = secret();
    if !app.control.store().create_token(&record, &token, &by.actor).await? {
        let detail = format!("there is a token of {} already; revoke it first, or take another name", new.name);
        return Err(Problem::new(StatusCode::CONFLICT, "token_exists", detail));
    }
    Ok((StatusCode::CREATED, Json(MadeToken { about: record.into(), token })))
}

/// Revokes a token.
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "tokens", params(("name" = String, Path)),
    responses((status = 200, body = WireToken), (status = 404, body = WireProblem)))]
pub(crate) async fn revoke(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(name): Path<String>,
) -> Result<Json<WireToken>, Problem> {
    if name == FIRST {
        let detail = "the first token is made known again at every start, from the data folder's file `token`: \
                      to be rid of it, stop Slipway, remove that file and start it again";
        return Err(Problem::bad_request(detail));
    }
    let record = app.control.store().tokens().await?.into_iter().find(|record| record.name == name);
    let known = app.control.store().revoke_token(&name, &by.actor, app.control.now()).await?;
    app.known.forget(&name);
    match record.filter(|_| known) {
        Some(record) => Ok(Json(record.into())),
        None => Err(Problem::not_found(format!("there is no token of {name:?}"))),
    }
}

fn named(name: &str) -> Result<(), Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.@+".contains(c);
    match !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().all(fits) {
        true => Ok(()),
        false => {
            let detail = format!("a token's name has 1 to {NAME_LIMIT} letters, digits and -_.@+, for example alice");
            Err(Problem::bad_request(detail))
        }
    }
}
