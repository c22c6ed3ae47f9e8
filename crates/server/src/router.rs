//! The map of the API: every route, and nothing else.

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Problem;
use crate::routes::{artifacts, commands, events, files, journal, logs, plans, releases, rollouts, services, system};
use crate::state::App;
use crate::{auth, idempotency};

/// Largest JSON body in bytes.
const BODY_LIMIT: usize = 2 << 20;

#[derive(OpenApi)]
#[openapi(info(
    title = "Slipway",
    description = "Takes a change from build to every user, and takes it back faster than it went out. \
                   Every request needs `Authorization: Bearer TOKEN`, except `GET /api/v1/healthz`."
))]
struct Document;

fn guarded() -> OpenApiRouter<App> {
    let creating = OpenApiRouter::new().routes(routes!(releases::create)).routes(routes!(commands::rollback));
    OpenApiRouter::new()
        .routes(routes!(plans::create))
        .routes(routes!(files::check))
        .routes(routes!(files::schema))
        .routes(routes!(artifacts::put, artifacts::head))
        .routes(routes!(services::list))
        .routes(routes!(services::show))
        .routes(routes!(services::history))
        .routes(routes!(commands::pause))
        .routes(routes!(commands::resume))
        .routes(routes!(commands::promote))
        .routes(routes!(commands::abort))
        .routes(routes!(rollouts::show))
        .routes(routes!(rollouts::explain))
        .routes(routes!(journal::list))
        .routes(routes!(journal::verify))
        .routes(routes!(logs::read))
        .routes(routes!(events::stream))
        .routes(routes!(system::down))
        .routes(routes!(system::version))
        .merge(creating)
}

/// The API's OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, paths) = guarded().routes(routes!(system::healthz)).split_for_parts();
    let mut document = Document::openapi();
    document.merge(paths);
    document
}

/// The API.
pub fn router(app: App) -> axum::Router {
    let (guarded, _) = guarded().split_for_parts();
    let guarded = guarded
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(app.clone(), idempotency::once))
        .layer(from_fn_with_state(app.clone(), auth::need_token));
    axum::Router::new()
        .merge(guarded)
        .route("/api/v1/healthz", get(system::healthz))
        .route("/api/v1/openapi.json", get(|| async { axum::Json(document()) }))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_that_way)
        .with_state(app)
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}; see /api/v1/openapi.json", uri.path()))
}

async fn not_that_way(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
