//! `objectives`: what counts as good enough.

use super::super::mistake::{Wrong, quoted};
use super::super::model::{Bad, Objective, Tolerate};
use super::super::reader::{Keys, Reader};
use super::super::scalar;
use super::{label, reported, worker};

const KEYS: Keys = Keys { known: &["name", "bad", "of", "after", "at_most", "tolerate"], later: &["query", "window"] };
const EXAMPLE: &str = "for example - { name: errors, bad: failed, at_most: 1% }";
/// No larger multiple of stable's rate can be tolerated.
const MOST_TIMES: f64 = 100.0;
/// Kinds of bad events that come later.
const LATER: [&str; 2] = ["gauge", "query"];

/// What holds where nothing is declared.
pub(super) fn default() -> Objective {
    Objective { name: "errors".to_string(), bad: Bad::Failed, at_most: 0.01, tolerate: Tolerate::Share(0.005) }
}

pub(super) fn objectives(reader: &Reader, worker: bool) -> Option<Vec<Objective>> {
    let items = reader.items(50, EXAMPLE)?;
    let mut all: Vec<Objective> = Vec::new();
    for item in &items {
        let Some(objective) = objective(item, worker) else { continue };
        if all.iter().any(|other| other.name == objective.name) {
            item.mistake(
                Wrong::new(format!("a second objective is called {}", quoted(&objective.name))).hint("name it anew"),
            );
        }
        all.push(objective);
    }
    Some(all)
}

fn objective(reader: &Reader, worker: bool) -> Option<Objective> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let name = fields.required("name", "an objective needs a name", "for example name: errors");
    let name = name.and_then(|r| r.typed("a name", "for example errors", label));
    let bad_events =
        fields.required("bad", "says nothing of what a bad event is", "bad: failed, or bad: slower_than 300ms");
    let bad_events = bad_events.and_then(|r| r.typed("what a bad event is", "failed, or slower_than 300ms", bad));
    let bad_events = bad_events.and_then(|bad| reported::complete(reader, &fields, bad));
    let bad_events = bad_events.filter(|bad| !worker || worker::countable(&fields, bad));
    let at_most =
        fields.required("at_most", "says nothing of how many bad events are acceptable", "for example at_most: 1%");
    let at_most = at_most.and_then(|r| r.typed("a percentage", "write 1% or 0.5%", at_most_share));
    if let (Some(Bad::SlowerThanStable { quantile, .. }), Some(share), Some(declared)) =
        (&bad_events, at_most, fields.get("at_most"))
        && share <= quantile.beyond()
    {
        declared.mistake(
            Wrong::new(format!(
                "{}% of stable's own requests are slower than its {quantile}, by definition",
                (quantile.beyond() * 1000.0).round() / 10.0
            ))
            .hint(format!("for example at_most: {}%", (quantile.beyond() * 2000.0).round() / 10.0)),
        );
    }
    let tolerate = match fields.get("tolerate") {
        Some(declared) => declared.typed("a percentage or a multiple", "write 0.5% or 2x", tolerated),
        None => at_most.map(|share| Tolerate::Share(share / 2.0)),
    };
    Some(Objective { name: name?, bad: bad_events?, at_most: at_most?, tolerate: tolerate? })
}

fn bad(text: &str) -> Result<Bad, Wrong> {
    const HINT: &str = "failed, or slower_than 300ms";
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("failed"), None, None) => Ok(Bad::Failed),
        (Some("slower_than"), Some("stable"), Some(quantile)) => match (quantile.parse(), words.next()) {
            (Ok(quantile), None) => Ok(Bad::SlowerThanStable { quantile, bound_us: None }),
            (Err(wrong), _) => Err(Wrong::new(wrong).hint("slower_than stable p95")),
            (_, Some(_)) => Err(Wrong::new("one quantile is enough").hint("slower_than stable p95")),
        },
        (Some("slower_than"), Some("stable"), None) => {
            Err(Wrong::new("which quantile of stable's latency?").hint("slower_than stable p95"))
        }
        (Some("slower_than"), Some(bound), None) => match scalar::duration(bound)? {
            bound if bound.0 == 0 => Err(Wrong::new("every request is slower than nothing").hint("slower_than 300ms")),
            bound => Ok(Bad::SlowerThan(bound)),
        },
        (Some("slower_than"), None, _) => Err(Wrong::new("slower_than needs a bound").hint("slower_than 300ms")),
        (Some(word), _, _) if reported::WORDS.contains(&word) => reported::bad(text),
        (Some(word), _, _) if LATER.contains(&word) => {
            Err(Wrong::new(format!("{word:?} is not supported yet by this version of Slipway")).hint(HINT))
        }
        _ => Err(Wrong::new(format!("{} is not a kind of bad event", quoted(text))).hint(HINT)),
    }
}

fn at_most_share(text: &str) -> Result<f64, Wrong> {
    match scalar::share(text)? {
        share if share > 0.0 && share < 1.0 => Ok(share),
        share if share >= 1.0 => Err(Wrong::new("100% lets every release pass").hint("for example 1%")),
        _ => Err(Wrong::new("must be above 0%: no amount of requests shows that nothing ever fails")
            .hint("for example 0.1%")),
    }
}

fn tolerated(text: &str) -> Result<Tolerate, Wrong> {
    if let Some(times) = scalar::times(text) {
        return match times {
            times if times <= 1.0 => {
                Err(Wrong::new("must be above 1x: no amount of requests shows that two versions are exactly alike")
                    .hint("for example 2x"))
            }
            times if times > MOST_TIMES => {
                Err(Wrong::new(format!("{} is more than {MOST_TIMES}x", quoted(text))).hint("for example 2x"))
            }
            times => Ok(Tolerate::Times(times)),
        };
    }
    match scalar::share(text)? {
        share if share > 0.0 => Ok(Tolerate::Share(share)),
        _ => Err(Wrong::new("must be above 0%: no amount of requests shows that two versions are exactly alike")
            .hint("leave it out for half of at_most")),
    }
}
