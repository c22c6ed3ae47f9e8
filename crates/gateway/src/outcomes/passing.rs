//! The last stretch of a report's way: to the API, from the machine that it is on, and to the control plane's hub from any
//! other. How many reports go it at once, and what is said to those that cannot.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use slipway_core::traffic::link::{Answer, FromGateway, LINE_LIMIT, Report, ToGateway};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::api::{self, Passing, Place, Trouble};
use crate::invitation::Invitation;
use crate::wire::{self, LineReader};

/// Largest batch in bytes, as the API has it.
pub(crate) const BODY_LIMIT: usize = 2 << 20;
/// Bytes of batches that are coming, of all of them together.
const ROOM: usize = 32 << 20;
/// How long one may take to come, and how long its answer may.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Why a batch cannot be passed on.
pub(crate) type Refused = (StatusCode, Cow<'static, str>);

/// Too many are on their way.
pub(crate) const BUSY: Refused =
    (StatusCode::TOO_MANY_REQUESTS, Cow::Borrowed("too many reports at once; send it again in a second"));
/// It is more than one batch may be.
pub(crate) const TOO_LARGE: Refused =
    (StatusCode::PAYLOAD_TOO_LARGE, Cow::Borrowed("a batch has at most 2 MiB and 1,000 outcomes"));
/// It took too long to come.
pub(crate) const LATE: Refused = (StatusCode::REQUEST_TIMEOUT, Cow::Borrowed("the batch did not come in time"));
/// It did not come whole.
pub(crate) const BROKEN_OFF: Refused = (StatusCode::BAD_REQUEST, Cow::Borrowed("the request broke off"));

/// Reports on their way, of one gateway.
#[derive(Debug)]
pub(crate) struct Reports {
    passing: Passing,
    /// What those that are coming may hold: who sends little holds little, however long he takes.
    room: Semaphore,
}

impl Default for Reports {
    fn default() -> Reports {
        Reports { passing: Passing::default(), room: Semaphore::new(ROOM) }
    }
}

impl Reports {
    /// Room for so many bytes.
    pub(crate) fn room(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Refused> {
        let bytes = u32::try_from(bytes).map_err(|_| TOO_LARGE)?;
        self.room.try_acquire_many(bytes).map_err(|_| BUSY)
    }

    /// One of the places of those that are passed on.
    pub(crate) fn place(&self) -> Result<Place<'_>, Refused> {
        self.passing.place().ok_or(BUSY)
    }
}

/// The API's answer to a batch.
pub(crate) async fn to_api(
    api: SocketAddr,
    authorization: Option<&HeaderValue>,
    batch: impl Into<Bytes>,
) -> Result<Answer, Refused> {
    let batch = batch.into();
    answered(async {
        let mut request = Request::post("/api/v1/outcomes").header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer = api::ask(api, request.body(Full::new(batch))?, BODY_LIMIT).await?;
        let header = |name| answer.headers().get(name).and_then(|value| Some(value.to_str().ok()?.to_string()));
        let (content_type, retry_after) = (header(CONTENT_TYPE), header(RETRY_AFTER));
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        Ok(Ok(Answer { status: answer.status().as_u16(), content_type, retry_after, body }))
    })
    .await
}

/// The same by way of the hub of the control plane that has invited.
pub(crate) async fn to_hub(
    invitation: &Invitation,
    authorization: Option<&HeaderValue>,
    batch: &[u8],
) -> Result<Answer, Refused> {
    let size = u32::try_from(batch.len()).ok().filter(|_| batch.len() <= BODY_LIMIT).ok_or(TOO_LARGE)?;
    let (token, gateway) = (invitation.token.clone(), invitation.name.clone());
    let authorization = authorization.and_then(|value| Some(value.to_str().ok()?.to_string()));
    let report = FromGateway::Report(Report { token, gateway, authorization, size });
    answered(async {
        let (read, mut write) = tokio::io::split(invitation.connect().await?);
        write.write_all(&wire::line(&report)?).await?;
        write.write_all(batch).await?;
        write.flush().await?;
        let line = LineReader::new(read, LINE_LIMIT).next().await?;
        let line = line.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        match serde_json::from_slice(&line)? {
            ToGateway::Answered(answer) => Ok(Ok(answer)),
            ToGateway::NotPassedOn { status, why } => Ok(Err((StatusCode::from_u16(status)?, why.into()))),
            ToGateway::Refused { why } => {
                tracing::debug!(why, "the control plane takes no reports of this gateway");
                Ok(Err((StatusCode::SERVICE_UNAVAILABLE, "the control plane turns this gateway away".into())))
            }
            _ => Err("that is no answer to a report".into()),
        }
    })
    .await
}

async fn answered(asking: impl Future<Output = Result<Result<Answer, Refused>, Trouble>>) -> Result<Answer, Refused> {
    let late = "no answer in time; send it again, each counts once";
    let answer = tokio::time::timeout(LIMIT, asking).await.map_err(|_| (StatusCode::GATEWAY_TIMEOUT, late.into()))?;
    answer.unwrap_or_else(|error| {
        tracing::debug!(%error, "a report could not be passed on");
        Err((StatusCode::SERVICE_UNAVAILABLE, "the control plane does not answer; send it again".into()))
    })
}
