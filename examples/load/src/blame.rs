//! Whose failure an answer is, judged by what a client can see.

use hyper::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

/// Who failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The service: its own 5xx, or an instance that died, fell silent or talked nonsense in the middle of a request.
    Service,
    /// Slipway: everything else that a client suffers.
    Slipway,
}

/// RFC 9209 error types that tell of an instance's end, silence or nonsense after it had the request.
const OF_THE_INSTANCE: [&str; 3] = ["connection_terminated", "http_response_timeout", "http_protocol_error"];

/// Blame and a short name for the failure that this response head is, if it is one.
pub(crate) fn of_head(status: StatusCode, headers: &HeaderMap) -> Option<(Blame, String)> {
    if let Some(status) = headers.get("proxy-status").and_then(|value| value.to_str().ok())
        && let Some(error) = proxy_error(status)
    {
        // A request that was cut by the gateway's own drain limit is called terminated as well.
        let of_the_instance = OF_THE_INSTANCE.contains(&error) && !status.contains("drain");
        return Some((if of_the_instance { Blame::Service } else { Blame::Slipway }, error.to_string()));
    }
    if !status.is_server_error() {
        return None;
    }
    let signed = headers.contains_key("x-version");
    Some((if signed { Blame::Service } else { Blame::Slipway }, format!("status_{}", status.as_u16())))
}

/// The `error` parameter of a `Proxy-Status` value.
fn proxy_error(value: &str) -> Option<&str> {
    let mut parameters = value.split([';', ',']).filter_map(|part| part.trim().split_once('='));
    parameters.find(|(name, _)| *name == "error").map(|(_, error)| error.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blame(status: u16, headers: &[(&'static str, &'static str)]) -> Option<(Blame, String)> {
        let headers = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        of_head(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn an_answer_of_the_service_is_the_services() {
        assert_eq!(blame(200, &[("x-version", "1")]), None);
        assert_eq!(blame(404, &[]), None);
        assert_eq!(blame(503, &[("x-version", "1")]), Some((Blame::Service, "status_503".into())));
        assert_eq!(blame(500, &[]), Some((Blame::Slipway, "status_500".into())), "nobody signed it");
    }

    #[test]
    fn what_the_gateway_says_of_itself_is_believed() {
        let said = |value| blame(502, &[("proxy-status", value)]).unwrap().0;
        assert_eq!(said("slipway; error=connection_terminated; details=\"closed\""), Blame::Service);
        assert_eq!(said("slipway; error=http_response_timeout"), Blame::Service);
        assert_eq!(said("slipway; error=connection_refused"), Blame::Slipway);
        assert_eq!(said("slipway; error=connection_terminated; details=\"the drain limit was over\""), Blame::Slipway);
        let not_found = blame(404, &[("proxy-status", "slipway; error=\"destination_not_found\"")]);
        assert_eq!(not_found, Some((Blame::Slipway, "destination_not_found".into())));
        assert_eq!(blame(200, &[("proxy-status", "slipway; received-status=200")]), None);
    }
}
