//! What the gateway knows of gRPC: how a call is told, and what its status means for the version that gave it.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName};

/// The trailer in which a call's status stands.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The trailer with a sentence about it.
pub(crate) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The header in which a call says how long it may take.
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The answer did not come in time.
pub(crate) const DEADLINE_EXCEEDED: u16 = 4;
/// More than is allowed.
pub(crate) const RESOURCE_EXHAUSTED: u16 = 8;
/// Nobody serves this.
pub(crate) const UNIMPLEMENTED: u16 = 12;
/// The call could not be understood.
pub(crate) const INTERNAL: u16 = 13;
/// Nobody can answer now.
pub(crate) const UNAVAILABLE: u16 = 14;

/// Whether a request or an answer is one of gRPC.
pub(crate) fn is(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map_or(&[][..], |v| v.as_bytes());
    let rest = value.strip_prefix(b"application/grpc");
    // Not `application/grpc-web`, whose trailers are a part of its body.
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// How long a call may take, as its client says (a number of at most eight digits, and a unit).
pub(crate) fn time_limit(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// How a call ended, as its trailers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// They do not say.
    Unknown,
    /// With this status.
    Status(u16),
}

impl Outcome {
    /// What these trailers, or headers that are all there is, say.
    pub(crate) fn of(trailers: &HeaderMap) -> Outcome {
        let status = trailers.get(STATUS).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        status.map_or(Outcome::Unknown, Outcome::Status)
    }

    /// Whether it counts as failed: those that stand for 5xx by gRPC's own table (UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED,
    /// INTERNAL, UNAVAILABLE, DATA_LOSS), what is no status of gRPC's, and a call that ended without one.
    pub(crate) fn is_failure(self) -> bool {
        !matches!(self, Outcome::Status(0 | 1 | 3 | 5..=11 | 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_counts_as_its_twin_in_http_does() {
        let failed = |text: &'static str| {
            let mut trailers = HeaderMap::new();
            trailers.insert(STATUS, text.parse().unwrap());
            Outcome::of(&trailers).is_failure()
        };
        let bad: Vec<u16> = (0..=17).filter(|code| failed(Box::leak(code.to_string().into_boxed_str()))).collect();
        assert_eq!(bad, [2, 4, 12, 13, 14, 15, 17]);
        assert!(failed("ok") && failed("") && Outcome::of(&HeaderMap::new()).is_failure());
    }

    #[test]
    fn a_call_says_in_its_own_units_how_long_it_may_take() {
        let limit = |text: &'static str| time_limit(&[(TIMEOUT, text.parse().unwrap())].into_iter().collect());
        assert_eq!(limit("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!((limit("3M"), limit("90S")), (Some(Duration::from_secs(180)), Some(Duration::from_secs(90))));
        assert_eq!((limit("1m"), limit("5u")), (Some(Duration::from_millis(1)), Some(Duration::from_micros(5))));
        assert_eq!(limit("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "1", "1s", "-1S", "123456789S", "1.5S"] {
            assert_eq!(limit(bad), None, "{bad}");
        }
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (kind, yes) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = [(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect();
            assert_eq!(is(&headers), yes, "{kind}");
        }
    }
}
