//! What became of users' business, as somebody reports it.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use slipway_core::outcome::{Outcome, Taken};
use slipway_core::units::Millis;

use crate::body::Body;
use crate::problem::{Problem, WireProblem};
use crate::state::App;
use crate::wire::{NewOutcome, NewOutcomes, RefusedOutcome, Reported};

/// Most outcomes of one batch.
const BATCH: usize = 1_000;

/// Reports business events and complaints, in a batch. What is wrong with one is told; the others count.
#[utoipa::path(post, path = "/api/v1/outcomes", tag = "outcomes", request_body = NewOutcomes,
    responses((status = 200, body = Reported), (status = 413, body = WireProblem), (status = 429, body = WireProblem)))]
pub(crate) async fn report(State(app): State<App>, Body(new): Body<NewOutcomes>) -> Result<Response, Problem> {
    let sent = new.outcomes.len();
    if sent > BATCH {
        let detail = format!("{sent} outcomes in one batch: send at most {BATCH}, in several");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", detail));
    }
    let now = app.control.now();
    let mut reported = Reported::default();
    let mut places = Vec::new();
    let mut batch: Vec<Outcome> = Vec::new();
    for (index, outcome) in new.outcomes.into_iter().enumerate() {
        let id = outcome["id"].as_str().unwrap_or_default().chars().take(80).collect();
        match NewOutcome::of(outcome).and_then(|outcome| outcome.read(now)) {
            Ok(outcome) => {
                places.push((index, id));
                batch.push(outcome);
            }
            Err(why) => reported.refused.push(RefusedOutcome { index, id, code: "malformed".to_string(), why }),
        }
    }
    let came = match app.control.report_outcomes(&batch) {
        Ok(came) => came,
        Err(wait) => return Ok(too_many(wait)),
    };
    for ((index, id), came) in places.into_iter().zip(came) {
        match came {
            Ok(Taken::New) => reported.taken += 1,
            Ok(Taken::Again) => reported.again += 1,
            Err(refused) => {
                let (code, why) = (refused.code().to_string(), refused.to_string());
                reported.refused.push(RefusedOutcome { index, id, code, why });
            }
        }
    }
    reported.refused.sort_by_key(|r| r.index);
    Ok(Json(reported).into_response())
}

fn too_many(wait: Millis) -> Response {
    let detail = "more outcomes than are taken; none of this batch was: send it again after the time in Retry-After";
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_outcomes", detail).into_response();
    let seconds = wait.0.div_ceil(1_000).max(1);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
