//! What a proxy before Slipway says of whoever asks: their address, and whether they speak TLS with it.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

/// The address of whoever asks. A proxy on this machine is believed: what it was told is the last of
/// `X-Forwarded-For`. Others are not, since anybody may send that header.
pub fn client(peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = peer.map(|address| address.ip().to_canonical());
    let told = || {
        let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?.rsplit(',').next()?;
        last.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical())
    };
    match peer {
        Some(address) if address.is_loopback() => told().or(peer),
        _ => peer,
    }
}

/// Whether they speak TLS, by `X-Forwarded-Proto` or `Forwarded` (RFC 7239): the first of either is the browser's.
pub(crate) fn speaks_tls(headers: &HeaderMap) -> bool {
    let first = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).and_then(|v| v.split(',').next());
    let proto = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("proto").then(|| value.trim().trim_matches('"').to_string())
    };
    let plain = first("x-forwarded-proto").map(|v| v.trim().to_string());
    let said = plain.or_else(|| first("forwarded").and_then(|v| v.split(';').find_map(proto)));
    said.is_some_and(|said| said.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn tls_is_known_however_the_proxy_says_it() {
        for said in [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "HTTPS, http"),
            ("forwarded", "for=192.0.2.7;proto=https;by=203.0.113.43"),
            ("forwarded", "For=\"[2001:db8::1]\"; Proto=\"https\", for=10.0.0.1;proto=http"),
        ] {
            assert!(speaks_tls(&headers(&[said])), "{said:?}");
        }
        for said in [("x-forwarded-proto", "http, https"), ("forwarded", "for=192.0.2.7"), ("host", "https")] {
            assert!(!speaks_tls(&headers(&[said])), "{said:?}");
        }
    }

    #[test]
    fn only_a_proxy_on_this_machine_says_whose_address_it_is() {
        let said = headers(&[("x-forwarded-for", "198.51.100.9, 192.0.2.7")]);
        let (near, far) = ("127.0.0.1:9".parse().unwrap(), "203.0.113.5:9".parse().unwrap());
        assert_eq!(client(Some(near), &said), "192.0.2.7".parse().ok());
        assert_eq!(client(Some(far), &said), "203.0.113.5".parse().ok(), "a header that anybody may send");
        assert_eq!(client(Some(near), &headers(&[("x-forwarded-for", "unknown")])), "127.0.0.1".parse().ok());
        assert_eq!(client(None, &said), None);
    }
}
