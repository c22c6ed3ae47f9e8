//! Gateways: how they are, who may join, who is not waited for any more.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::Value;
use slipway_control::By;

use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::state::App;
use crate::wire::{NewInvitation, WireGateway};

/// Longest name: a label of a DNS name, which it is in its certificate.
const NAME_LIMIT: usize = 63;
/// Longest address.
const ADDRESS_LIMIT: usize = 260;

/// Every gateway, by name.
#[utoipa::path(get, path = "/api/v1/gateways", tag = "gateways", responses((status = 200, body = Vec<WireGateway>)))]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<WireGateway>> {
    Json(app.control.gateways().into_iter().map(WireGateway::from).collect())
}

/// Invites a gateway of this name. What it needs is in the answer and nowhere else; an earlier invitation of the name is
/// worth nothing from then on.
#[utoipa::path(post, path = "/api/v1/gateways/{name}/invitation", tag = "gateways", request_body = NewInvitation,
    params(("name" = String, Path)), responses((status = 201, body = Object), (status = 409, body = WireProblem)))]
pub(crate) async fn invite(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(name): Path<String>,
    Body(new): Body<NewInvitation>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    named(&name)?;
    let address = new.address.as_deref();
    if let Some(address) = address {
        addressed(address)?;
    }
    Ok((StatusCode::CREATED, Json(app.control.invite_gateway(&name, address, &by).await?)))
}

/// Forgets a gateway and its invitation; how it was.
#[utoipa::path(delete, path = "/api/v1/gateways/{name}", tag = "gateways", params(("name" = String, Path)),
    responses((status = 200, body = WireGateway), (status = 404, body = WireProblem), (status = 409, body = WireProblem)))]
pub(crate) async fn forget(
    State(app): State<App>,
    Extension(by): Extension<By>,
    Path(name): Path<String>,
) -> Result<Json<WireGateway>, Problem> {
    Ok(Json(app.control.forget_gateway(&name, &by).await?.into()))
}

fn named(name: &str) -> Result<(), Problem> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = name.starts_with('-') || name.ends_with('-');
    match !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().all(fits) && !ends {
        true => Ok(()),
        false => {
            let detail = format!(
                "a gateway's name has 1 to {NAME_LIMIT} lower-case letters, digits and inner hyphens, for example edge-2"
            );
            Err(Problem::bad_request(detail))
        }
    }
}

fn addressed(address: &str) -> Result<(), Problem> {
    let (host, port) = address.rsplit_once(':').unwrap_or(("", ""));
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    match address.len() <= ADDRESS_LIMIT && !host.is_empty() && host.chars().all(fits) && port.parse::<u16>().is_ok() {
        true => Ok(()),
        false => Err(Problem::bad_request("an address is HOST:PORT, for example slipway.internal:7071")),
    }
}
