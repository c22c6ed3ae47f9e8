//! A request on the long way from its head to its answer and its line in the log: what is no service's is answered here, the
//! rest by an exchange with an instance (`proxy`).

use std::sync::Arc;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::challenges;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::grpc;
use crate::inject::{Reset, Unanswered};
use crate::maintenance;
use crate::outcomes;
use crate::proxy::Exchange;
use crate::response::ResponseBody;

/// Answers a request.
pub(crate) async fn handle(
    gateway: &Arc<Gateway>,
    client: &Client,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Reset> {
    if let Some(fault) = client.refusal(&request) {
        return Ok(fault.response(false));
    }
    // Another one may wait behind it that does.
    let asks = request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE);
    let mut response = answer(gateway, client, request).await?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => client.switch(),
        // What follows on this connection was not looked at.
        _ if asks && client.is_opaque() => {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    Ok(response)
}

/// What is no service's to answer; the request again where it is.
async fn answer_itself(
    gateway: &Arc<Gateway>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Request<Incoming>> {
    if request.uri().path() == outcomes::PATH {
        return Ok(outcomes::handle(gateway, request).await);
    }
    challenges::answer(gateway, &request).await.ok_or(request)
}

async fn answer(
    gateway: &Arc<Gateway>,
    client: &Client,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Reset> {
    let grpc = grpc::is(request.headers());
    let mut log = gateway.access_log.as_ref().map(|log| log.begin(client.address, &request));
    let request = match answer_itself(gateway, request).await {
        Ok(mut response) => {
            if let Some(mut log) = log {
                log.answered(response.status());
                response.body_mut().log(log);
            }
            return Ok(response);
        }
        Err(request) => request,
    };
    let mut response = match Exchange::open(gateway, client, request) {
        Ok((mut exchange, request)) => {
            let answered = match maintenance::wait(gateway, &exchange.course.host, &exchange.course.path).await {
                Some(told) => Ok(told),
                None => exchange.run(request).await,
            };
            if let Some(log) = &mut log {
                exchange.describe(log);
            }
            match answered {
                Ok(response) => response,
                Err(Unanswered::Reset) => return Err(Reset),
                Err(Unanswered::Faulty(fault)) => {
                    exchange.course.blame(fault);
                    fault.response(grpc)
                }
            }
        }
        Err(fault) => fault.response(grpc),
    };
    if let Some(mut log) = log {
        log.answered(response.status());
        response.body_mut().log(log);
    }
    Ok(response)
}
