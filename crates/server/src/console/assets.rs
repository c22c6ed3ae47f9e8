//! Style, script and sign: three files in the binary, named by what is in them, so that a browser may keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use slipway_core::names::Digest;

use crate::problem::Problem;

struct Asset {
    kind: &'static str,
    text: &'static str,
    href: LazyLock<String>,
}

const STYLE: &str = include_str!("../../assets/console.css");
const SCRIPT: &str = include_str!("../../assets/console.js");
const SIGN: &str = include_str!("../../assets/sign.svg");

static ALL: [Asset; 3] = [
    Asset { kind: "text/css; charset=utf-8", text: STYLE, href: LazyLock::new(|| named(STYLE, "css")) },
    Asset { kind: "text/javascript; charset=utf-8", text: SCRIPT, href: LazyLock::new(|| named(SCRIPT, "js")) },
    Asset { kind: "image/svg+xml", text: SIGN, href: LazyLock::new(|| named(SIGN, "svg")) },
];

fn named(text: &str, kind: &str) -> String {
    let digest = Digest::of(text.as_bytes());
    let short = digest.as_str().rsplit(':').next().unwrap_or_default().get(..16).unwrap_or_default();
    format!("/assets/console-{short}.{kind}")
}

/// Address of the style.
pub(super) fn style() -> &'static str {
    &ALL[0].href
}

/// Address of the script.
pub(super) fn script() -> &'static str {
    &ALL[1].href
}

/// Address of the sign.
pub(super) fn sign() -> &'static str {
    &ALL[2].href
}

/// One of them.
pub(super) async fn read(Path(name): Path<String>) -> Result<Response, Problem> {
    let found = ALL.iter().find(|asset| asset.href.trim_start_matches("/assets/") == name);
    let asset = found.ok_or_else(|| Problem::not_found(format!("there is no file {name}")))?;
    let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, asset.text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most that a browser is given beside a page, in bytes.
    const SCRIPT_LIMIT: usize = 60 << 10;
    const STYLE_LIMIT: usize = 40 << 10;

    #[test]
    fn script_and_style_stay_small() {
        let of = |kind: &str| ALL.iter().filter(|a| a.kind.starts_with(kind)).map(|a| a.text.len()).sum::<usize>();
        let (script, style) = (of("text/javascript"), of("text/css"));
        assert!(0 < script && script <= SCRIPT_LIMIT, "{script} bytes of script");
        assert!(0 < style && style <= STYLE_LIMIT, "{style} bytes of style");
    }
}
