//! Objectives that rest on what is reported: `outcome KIND`, `missing KIND within TIME`, `complaint`; `of` and `after`.

use super::super::mistake::{Wrong, quoted};
use super::super::model::Bad;
use super::super::reader::{Fields, Reader};
use super::super::scalar;
use crate::outcome::Kind;
use crate::units::Millis;

/// What such a bad event begins with.
pub(super) const WORDS: [&str; 3] = ["outcome", "missing", "complaint"];
/// Longest time that an end may take: reports about what is older are refused soon after.
const LONGEST: Millis = Millis::from_secs(120);

/// The bad event itself, its `of` or `after` still open.
pub(super) fn bad(text: &str) -> Result<Bad, Wrong> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["complaint"] => Ok(Bad::Outcome { kind: Kind::complaint(), of: None }),
        ["outcome", name] => Ok(Bad::Outcome { kind: kind(name)?, of: None }),
        ["missing", name, "within", time] => match scalar::duration(time)? {
            time if time.0 == 0 || time > LONGEST => {
                Err(Wrong::new(format!("an end has above 0s and at most {LONGEST} to come")).hint("within 30s"))
            }
            // What it begins with stands beside it; `complete` puts it in.
            within => Ok(Bad::Missing { kind: kind(name)?, after: kind(name)?, within }),
        },
        ["missing", ..] => Err(Wrong::new("missing needs an end and its time")
            .hint("missing checkout_completed within 30s, with after: checkout_started")),
        ["outcome", ..] => Err(Wrong::new("outcome needs one kind").hint("outcome order_failed")),
        _ => Err(Wrong::new(format!("{} is not a kind of bad event", quoted(text))).hint("complaint stands alone")),
    }
}

/// Puts `of` and `after` where they belong.
pub(super) fn complete(reader: &Reader, fields: &Fields, bad: Bad) -> Option<Bad> {
    let named = |key| fields.get(key).map(|r| r.typed("a kind of outcome", "for example order_placed", kind));
    let (of, after) = (named("of"), named("after"));
    match (bad, of, after) {
        (Bad::Outcome { kind, .. }, of, None) => {
            let of = match of {
                Some(of) => Some(of?),
                None => None,
            };
            if of.as_ref() == Some(&kind) {
                reader.mistake(
                    Wrong::new(format!("every {kind} is one: of names all that could have been"))
                        .hint("of: order_placed"),
                );
                return None;
            }
            Some(Bad::Outcome { kind, of })
        }
        (Bad::Missing { kind, within, .. }, None, Some(after)) => {
            let after = after?;
            if after == kind {
                reader.mistake(Wrong::new("it would begin and end with the same").hint("after: checkout_started"));
                return None;
            }
            Some(Bad::Missing { kind, after, within })
        }
        (Bad::Missing { .. }, _, None) => {
            reader.mistake(Wrong::new("nothing says what starts the clock").hint("after: checkout_started"));
            None
        }
        (Bad::Missing { .. }, Some(_), _) => {
            reader.mistake(Wrong::new("missing is among what began: of does not go with it").hint("leave of out"));
            None
        }
        (bad @ (Bad::Failed | Bad::SlowerThan(_) | Bad::SlowerThanStable { .. }), None, None) => Some(bad),
        (_, _, Some(_)) => {
            reader.mistake(Wrong::new("after goes with missing only").hint("missing checkout_completed within 30s"));
            None
        }
        (Bad::Failed | Bad::SlowerThan(_) | Bad::SlowerThanStable { .. }, Some(_), None) => {
            reader.mistake(Wrong::new("of goes with outcome and complaint only").hint("outcome order_failed"));
            None
        }
    }
}

fn kind(text: &str) -> Result<Kind, Wrong> {
    match text.parse::<Kind>() {
        Ok(kind) if kind.as_str() == Kind::ALIVE => {
            Err(Wrong::new("alive says that a reporter is there and is no event").hint("for example order_failed"))
        }
        Ok(kind) => Ok(kind),
        Err(error) => Err(Wrong::new(error.to_string()).hint("for example order_failed")),
    }
}
