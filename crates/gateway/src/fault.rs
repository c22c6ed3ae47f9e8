//! What a client is told when the gateway itself answers: a status, `Proxy-Status` (RFC 9209) with an error type of
//! that document, and a small JSON body. What an instance answers passes through untouched and never comes here.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::grpc;
use crate::response::ResponseBody;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Why a request got no answer of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No table has come yet.
    NoTable,
    /// No route covers the host and path.
    NoRoute,
    /// The route has no usable instance.
    NoInstance,
    /// No instance took the connection.
    Refused,
    /// No instance took the connection in time.
    ConnectTimeout,
    /// The gateway could not open a connection, by no fault of an instance.
    Internal,
    /// The instance closed before its response head was complete.
    Terminated,
    /// The instance's answer is not HTTP.
    Protocol,
    /// The response head took too long.
    ResponseTimeout,
    /// Cut because the drain limit of a version that no longer serves was over.
    Drained,
    /// The request's body broke off.
    BrokeOff,
    /// The request can be read in more than one way; why.
    Malformed(&'static str),
    /// A version of HTTP that is not spoken here.
    Version,
    /// The method is for proxies of another kind.
    MethodRefused,
    /// The header fields are too large.
    HeadersTooLarge,
    /// The target is too long.
    UriTooLong,
    /// The body is larger than the route allows.
    BodyTooLarge,
    /// The client stopped sending its body.
    BodyTimeout,
}

impl Fault {
    /// Status, error type of RFC 9209, and a sentence for people.
    fn facts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Fault::NoTable => {
                (S::SERVICE_UNAVAILABLE, "destination_unavailable", "the gateway has not been told any routes yet")
            }
            Fault::NoRoute => (S::NOT_FOUND, "destination_not_found", "no service is routed for this host and path"),
            Fault::NoInstance => {
                (S::SERVICE_UNAVAILABLE, "destination_unavailable", "the service has no instance that is ready")
            }
            Fault::Refused => (S::BAD_GATEWAY, "connection_refused", "the service's instance takes no connections"),
            Fault::ConnectTimeout => {
                (S::GATEWAY_TIMEOUT, "connection_timeout", "the service's instance takes no connections in time")
            }
            Fault::Internal => {
                (S::SERVICE_UNAVAILABLE, "proxy_internal_error", "the gateway could not open a connection")
            }
            Fault::Terminated => {
                (S::BAD_GATEWAY, "connection_terminated", "the service closed the connection before it answered")
            }
            Fault::Protocol => (S::BAD_GATEWAY, "http_protocol_error", "the service's answer is not valid HTTP"),
            Fault::ResponseTimeout => {
                (S::GATEWAY_TIMEOUT, "http_response_timeout", "the service did not answer in time")
            }
            Fault::Drained => (
                S::BAD_GATEWAY,
                "connection_terminated",
                "the request was still running when the drain limit of its version was over",
            ),
            Fault::BrokeOff => (S::BAD_REQUEST, "http_request_error", "the request broke off"),
            Fault::Malformed(why) => (S::BAD_REQUEST, "http_request_error", why),
            Fault::Version => (
                S::HTTP_VERSION_NOT_SUPPORTED,
                "http_request_error",
                "this gateway speaks HTTP/1.0, HTTP/1.1 and HTTP/2",
            ),
            Fault::MethodRefused => {
                (S::METHOD_NOT_ALLOWED, "http_request_denied", "this gateway does not tunnel by CONNECT")
            }
            Fault::HeadersTooLarge => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "http_request_denied", "the request's headers are too large")
            }
            Fault::UriTooLong => (S::URI_TOO_LONG, "http_request_denied", "the request's target is too long"),
            Fault::BodyTooLarge => {
                (S::PAYLOAD_TOO_LARGE, "http_request_denied", "the request's body is larger than this route allows")
            }
            Fault::BodyTimeout => (S::REQUEST_TIMEOUT, "http_request_error", "the request's body stopped coming"),
        }
    }

    /// The error type of RFC 9209.
    pub(crate) fn error_type(self) -> &'static str {
        self.facts().1
    }

    /// The status.
    pub(crate) fn status(self) -> StatusCode {
        self.facts().0
    }

    /// The JSON body.
    pub(crate) fn body(self) -> String {
        let (status, error, sentence) = self.facts();
        format!("{{\"error\":\"{error}\",\"status\":{},\"message\":\"{sentence}\"}}\n", status.as_u16())
    }

    /// The value of `Proxy-Status`.
    pub(crate) fn proxy_status(self) -> String {
        let (_, error, sentence) = self.facts();
        format!("slipway; error={error}; details=\"{sentence}\"")
    }

    /// The answer that the client gets.
    pub(crate) fn response(self, grpc: bool) -> Response<ResponseBody> {
        let (status, error, sentence) = self.facts();
        if grpc {
            return self.in_grpc(status, error, sentence);
        }
        let mut response = Response::new(ResponseBody::own(self.body()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        explain(headers, error, sentence);
        response
    }

    /// The same for who speaks gRPC: the answer is fine, and its trailers, which are all there is, say what is not.
    fn in_grpc(self, status: StatusCode, error: &str, sentence: &str) -> Response<ResponseBody> {
        let code = match self {
            Fault::ResponseTimeout => grpc::DEADLINE_EXCEEDED,
            Fault::BodyTooLarge | Fault::HeadersTooLarge | Fault::UriTooLong => grpc::RESOURCE_EXHAUSTED,
            Fault::NoRoute => grpc::UNIMPLEMENTED,
            _ if status.is_server_error() => grpc::UNAVAILABLE,
            _ => grpc::INTERNAL,
        };
        let mut response = Response::new(ResponseBody::own(""));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(grpc::STATUS, HeaderValue::from(code));
        if let Ok(value) = HeaderValue::try_from(sentence) {
            headers.insert(grpc::MESSAGE, value);
        }
        explain(headers, error, sentence);
        response
    }

    /// Whether it counts as failed by Slipway: what a client suffers that is neither an instance's answer, its
    /// silence or its death in the middle of a request, nor the client's own doing.
    pub(crate) fn is_slipways(self) -> bool {
        matches!(self, Fault::NoInstance | Fault::Refused | Fault::ConnectTimeout | Fault::Internal | Fault::Drained)
    }
}

fn explain(headers: &mut HeaderMap, error: &str, sentence: &str) {
    if let Ok(value) = HeaderValue::try_from(format!("slipway; error={error}; details=\"{sentence}\"")) {
        headers.insert(PROXY_STATUS, value);
    }
}
