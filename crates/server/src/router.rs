//! The map of the API: every route, and nothing else. The console has its own beside it.

use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{any, get};
use slipway_core::rights::Right;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::idempotency::Keys;
use crate::problem::{self, Problem};
use crate::routes::{
    artifacts, commands, environments, events, faults, files, gates, gateways, groups, hooks, journal, logs, metrics,
    operating, outcomes, plans, releases, rollouts, services, system, tokens, versions,
};
use crate::state::App;
use crate::{auth, challenges, console, idempotency};

/// Largest JSON body in bytes.
const BODY_LIMIT: usize = 2 << 20;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Slipway",
        description = "Takes a change from build to every user, and takes it back faster than it went out. \
                       Every request needs `Authorization: Bearer TOKEN`, except `GET /api/v1/healthz`. \
                       Errors are problem details (RFC 9457) with a stable `code`."
    ),
    modifiers(&BearerToken)
)]
struct Document;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
        document.security = Some(vec![SecurityRequirement::new("token", [""; 0])]);
    }
}

/// Needs no token.
fn open() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(system::healthz))
}

/// Each makes something new, so it takes an `Idempotency-Key`, and needs a token that may do it.
fn creating() -> Vec<(Right, OpenApiRouter<App>)> {
    let routes = OpenApiRouter::new;
    vec![
        (Right::Release, routes().routes(routes!(releases::create)).routes(routes!(groups::release))),
        (Right::Rollback, routes().routes(routes!(commands::rollback))),
        (Right::Operate, routes().routes(routes!(commands::drill))),
        (Right::Apply, routes().routes(routes!(environments::apply))),
        (Right::Inject, routes().routes(routes!(faults::begin))),
    ]
}

/// Each needs a token that may do it.
fn acting() -> Vec<(Right, OpenApiRouter<App>)> {
    let operate = OpenApiRouter::new()
        .routes(routes!(commands::pause))
        .routes(routes!(commands::resume))
        .routes(routes!(commands::promote))
        .routes(routes!(operating::scale))
        .routes(routes!(operating::restart))
        .routes(routes!(operating::begin, operating::end))
        .routes(routes!(faults::end))
        .routes(routes!(operating::settle));
    let admin = OpenApiRouter::new()
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(gateways::invite))
        .routes(routes!(gateways::forget))
        .routes(routes!(journal::accept))
        .routes(routes!(system::down));
    vec![
        (Right::Release, OpenApiRouter::new().routes(routes!(artifacts::put))),
        (Right::Rollback, OpenApiRouter::new().routes(routes!(commands::abort)).routes(routes!(groups::rollback))),
        (Right::Operate, operate),
        (Right::Approve, OpenApiRouter::new().routes(routes!(gates::approve))),
        (Right::Admin, admin),
        (Right::Report, OpenApiRouter::new().routes(routes!(outcomes::report))),
    ]
}

/// Needs a token, whatever it may do.
fn looking() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(plans::create))
        .routes(routes!(plans::compare))
        .routes(routes!(environments::list))
        .routes(routes!(environments::show))
        .routes(routes!(environments::export))
        .routes(routes!(environments::compare))
        .routes(routes!(groups::plan))
        .routes(routes!(groups::show))
        .routes(routes!(files::check))
        .routes(routes!(files::schema))
        .routes(routes!(artifacts::head))
        .routes(routes!(services::list))
        .routes(routes!(services::show))
        .routes(routes!(services::history))
        .routes(routes!(versions::diff))
        .routes(routes!(gates::of_lane))
        .routes(routes!(gates::of_rollout))
        .routes(routes!(gateways::list))
        .routes(routes!(hooks::list))
        .routes(routes!(hooks::of_environment))
        .routes(routes!(rollouts::show))
        .routes(routes!(rollouts::explain))
        .routes(routes!(rollouts::samples))
        .routes(routes!(journal::list))
        .routes(routes!(journal::verify))
        .routes(routes!(logs::read))
        .routes(routes!(events::stream))
        .routes(routes!(system::version))
        .routes(routes!(metrics::read))
        .routes(routes!(system::openapi))
}

/// The API's OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    let acting = creating().into_iter().chain(acting()).map(|(_, routes)| routes);
    let all = acting.fold(open().merge(looking()), OpenApiRouter::merge);
    document.merge(all.into_openapi());
    document
}

/// The API, and the console.
pub fn router(app: App) -> axum::Router {
    let merged = |groups: Vec<(Right, OpenApiRouter<App>)>| {
        let guarded = |(right, routes): (Right, OpenApiRouter<App>)| {
            axum::Router::from(routes).layer(from_fn_with_state(right, auth::need_right))
        };
        groups.into_iter().map(guarded).fold(axum::Router::new(), axum::Router::merge)
    };
    let once = from_fn_with_state((app.clone(), Keys::default()), idempotency::once);
    let guarded = merged(creating())
        .layer(once)
        .merge(merged(acting()))
        .merge(axum::Router::from(looking()))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(app.clone(), auth::need_token));
    axum::Router::from(open())
        .merge(guarded)
        .method_not_allowed_fallback(problem::not_that_way)
        .route("/api", any(nothing_here))
        .route("/api/", any(nothing_here))
        .route("/api/{*rest}", any(nothing_here))
        .route(challenges::PATH, get(challenges::show))
        .layer(map_response(problem::always))
        .merge(console::router(&app))
        .with_state(app)
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}; see /api/v1/openapi.json", uri.path()))
}
