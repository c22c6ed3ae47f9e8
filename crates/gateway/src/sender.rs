//! A connection to an instance as one that takes requests, by HTTP/1.1 or HTTP/2. Over either one request is under way
//! at a time: an instance's death or its drain limit is then one request's business.

use http::{HeaderValue, Method, Request, Response, Uri, Version, header, uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::either::Either;

use slipway_core::traffic::Protocol;

use crate::body::RequestBody;

/// Streams that an instance's connection may have reset before it is closed.
const RESETS: usize = 20;

/// Longest head of an answer; also what may wait of a request for the instance.
pub(crate) const HEAD_BYTES: usize = 128 << 10;
/// Bytes of a request that may wait for an instance that speaks HTTP/2.
const STREAM_BYTES: usize = 64 << 10;

/// Takes requests.
#[derive(Debug)]
pub(crate) enum Sender {
    /// By HTTP/1.1.
    One(http1::SendRequest<RequestBody>),
    /// By HTTP/2.
    Two(http2::SendRequest<RequestBody>),
}

impl Sender {
    /// Begins to speak `protocol`: what takes requests, and what has to be driven for it to go on.
    pub(crate) async fn handshake(
        protocol: Protocol,
        stream: TokioIo<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    ) -> hyper::Result<(Sender, impl Future<Output = hyper::Result<()>> + Send)> {
        match protocol {
            Protocol::Http1 => {
                let (sender, driver) = http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(stream).await?;
                Ok((Sender::One(sender), Either::Left(driver.with_upgrades())))
            }
            Protocol::H2c => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder
                    .timer(TokioTimer::new())
                    .max_pending_accept_reset_streams(RESETS)
                    .max_send_buf_size(STREAM_BYTES);
                let (sender, driver) = builder.handshake(stream).await?;
                Ok((Sender::Two(sender), Either::Right(driver)))
            }
        }
    }

    /// Whether it can take a request, once that is known.
    pub(crate) async fn ready(&mut self) -> bool {
        match self {
            Sender::One(sender) => sender.ready().await.is_ok(),
            Sender::Two(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Sender::One(sender) => sender.is_closed(),
            Sender::Two(sender) => sender.is_closed(),
        }
    }

    /// Hands over a request.
    pub(crate) fn try_send_request(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<> {
        match self {
            Sender::One(sender) => Either::Left(sender.try_send_request(for_one(request))),
            Sender::Two(sender) => Either::Right(sender.try_send_request(for_two(request))),
        }
    }
}

/// HTTP/2 says in the target what HTTP/1.1 says in `Host`.
fn for_two(mut request: Request<RequestBody>) -> Request<RequestBody> {
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(header::TRANSFER_ENCODING);
    if request.uri().authority().is_some() {
        return request;
    }
    let host = request.headers_mut().remove(header::HOST);
    let mut target = uri::Parts::default();
    target.scheme = Some(uri::Scheme::HTTP);
    let named = host.and_then(|host| uri::Authority::try_from(host.as_bytes()).ok());
    target.authority = Some(named.unwrap_or_else(|| uri::Authority::from_static("localhost")));
    target.path_and_query = request.uri().path_and_query().cloned();
    if let Ok(target) = Uri::from_parts(target) {
        *request.uri_mut() = target;
    }
    request
}

/// A request that was made for HTTP/2 and never sent goes to an instance of HTTP/1.1 as one of that.
fn for_one(mut request: Request<RequestBody>) -> Request<RequestBody> {
    *request.version_mut() = Version::HTTP_11;
    // The client of HTTP/1 takes a body of no known length for none where the method seldom has one.
    let seldom = matches!(*request.method(), Method::GET | Method::HEAD);
    if seldom && !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let Some(host) = request.uri().authority().and_then(|a| HeaderValue::try_from(a.as_str()).ok()) else {
        return request;
    };
    request.headers_mut().insert(header::HOST, host);
    if let Some(target) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = Uri::from(target);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_the_same_after_it_was_made_for_either() {
        let mut given = Request::get("/x?y=1").header("host", "shop.local:8080").body(RequestBody::empty()).unwrap();
        for _ in 0..2 {
            given = for_two(for_two(given));
            assert_eq!((given.uri().to_string().as_str(), given.headers().len()), ("http://shop.local:8080/x?y=1", 0));
            given = for_one(for_one(given));
            assert_eq!(
                (given.uri().to_string().as_str(), &given.headers()["host"]),
                ("/x?y=1", &HeaderValue::from_static("shop.local:8080"))
            );
        }
    }
}
