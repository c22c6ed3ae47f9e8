//! Places in the API. What people name becomes part of them here and nowhere else, escaped, so that no name leads to
//! another place than the one that was meant.

use reqwest::Url;

use crate::args::Lane;
use crate::exit::Usage;

/// Longest path segment that is shown in an error, in characters.
const SHOWN: usize = 80;

/// A place in the API: the segments of its path, and what is asked there.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    segments: Vec<String>,
    query: Vec<(&'static str, String)>,
}

/// The place below `/api/v1` with this path.
pub(crate) fn at(segments: &[&str]) -> Place {
    Place { segments: segments.iter().map(ToString::to_string).collect(), query: Vec::new() }
}

/// The place of these words below a service in an environment.
pub(crate) fn at_lane(lane: &Lane, words: &[&str]) -> Place {
    at(&[&["services", &lane.service, "environments", &lane.env], words].concat())
}

impl Place {
    /// Asks for this there.
    pub fn asking(mut self, key: &'static str, value: impl ToString) -> Place {
        self.query.push((key, value.to_string()));
        self
    }

    /// Asks for this there, where it is given.
    pub fn asking_if(self, key: &'static str, value: Option<impl ToString>) -> Place {
        match value {
            Some(value) => self.asking(key, value),
            None => self,
        }
    }

    /// The place at a server. Names that no escape keeps from being steps of a path are refused.
    pub fn of(&self, server: &Url) -> Result<Url, Usage> {
        if let Some(step) = self.segments.iter().find(|segment| is_step(segment)) {
            let shown: String = step.chars().take(SHOWN).collect();
            return Err(Usage(format!("`{}` is no name", shown.escape_debug())));
        }
        let mut url = server.clone();
        let Ok(mut path) = url.path_segments_mut() else {
            return Err(Usage(format!("{server} is no address of a server, such as http://127.0.0.1:7070")));
        };
        path.pop_if_empty().extend(["api", "v1"]).extend(&self.segments);
        drop(path);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

/// Whether a URL's reader drops it or a part of it, or goes up by it.
fn is_step(segment: &str) -> bool {
    segment.is_empty() || segment == "." || segment == ".." || segment.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(place: &Place) -> Result<String, String> {
        let server = Url::parse("http://127.0.0.1:7070/").expect("an address");
        place.of(&server).map(|url| url.to_string()).map_err(|usage| usage.to_string())
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for (name, becomes) in [
            ("shop", "shop"),
            ("zzz/../shop", "zzz%2F..%2Fshop"),
            ("../gateways/foo", "..%2Fgateways%2Ffoo"),
            ("a?b=c#d", "a%3Fb=c%23d"),
            ("%2e%2e", "%252e%252e"),
            ("a b", "a%20b"),
        ] {
            let expected = format!("http://127.0.0.1:7070/api/v1/services/{becomes}");
            assert_eq!(place(&at(&["services", name])), Ok(expected), "{name}");
        }
        for name in ["", ".", "..", "shop\n"] {
            assert_eq!(place(&at(&["tokens", name])), Err(format!("`{}` is no name", name.escape_debug())));
        }
    }

    #[test]
    fn what_is_asked_is_escaped_and_a_path_before_the_api_is_kept() {
        let asked =
            at(&["logs"]).asking("service", "a&b").asking_if("version", Some("1.0+2")).asking_if("x", None::<u8>);
        let server = Url::parse("http://ops.example/slipway").expect("an address");
        let url = asked.of(&server).map(|url| url.to_string()).map_err(|usage| usage.to_string());
        assert_eq!(url, Ok("http://ops.example/slipway/api/v1/logs?service=a%26b&version=1.0%2B2".to_string()));
    }
}
