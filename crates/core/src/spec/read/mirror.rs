//! `mirror`: copies of users' requests for a candidate that no user meets yet.

use super::super::mirror::Mirror;
use super::super::mistake::Wrong;
use super::super::reader::{Keys, Reader};
use super::super::scalar;
use super::smoke::method;
use crate::units::{Millis, Weight};

const KEYS: Keys = Keys { known: &["share", "methods", "body", "timeout", "at_once"], later: &["for", "environments"] };
const EXAMPLE: &str = "write mirror: { share: 10% }";
/// Most bytes of a body that are copied.
const LARGEST: u64 = 1 << 20;

pub(super) fn mirror(reader: &Reader) -> Option<Mirror> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let how_many = fields.required("share", "says nothing of how many", "for example share: 10%");
    let how_many = how_many.and_then(|r| r.typed("a share", "for example 10%", share));
    let methods = fields.or("methods", vec!["GET".to_string(), "HEAD".to_string()], |list| {
        let items = list.items(7, "write methods: [GET, HEAD]")?;
        let named = items.iter().map(|item| item.typed("a method", "GET or POST", method));
        let named: Option<Vec<String>> = named.collect();
        match named {
            Some(named) if named.is_empty() => list.expected("at least one method", "write methods: [GET, HEAD]"),
            named => named,
        }
    });
    let body = fields.or("body", 64 << 10, |r| r.typed("a size", "for example 64KiB", body));
    let timeout = fields.or("timeout", Millis::from_secs(5), |r| r.typed("a duration", "for example 5s", timeout));
    let at_once = fields.or("at_once", 10, |r| r.count(1..=1_000).and_then(|n| u32::try_from(n).ok()));
    Some(Mirror { share: how_many?, methods, body, timeout, at_once })
}

fn share(text: &str) -> Result<Weight, Wrong> {
    match scalar::weight(text)? {
        Weight::ZERO => Err(Wrong::new("a share of 0% mirrors nothing").hint("leave mirror out")),
        share => Ok(share),
    }
}

fn body(text: &str) -> Result<u64, Wrong> {
    match scalar::size(text)? {
        size if size > LARGEST => Err(Wrong::new("a body of at most 1MiB is copied").hint("for example 64KiB")),
        size => Ok(size),
    }
}

fn timeout(text: &str) -> Result<Millis, Wrong> {
    match scalar::duration(text)? {
        time if time.0 == 0 || time > Millis::from_secs(60) => {
            Err(Wrong::new("an answer has above 0s and at most 60s").hint("for example 5s"))
        }
        time => Ok(time),
    }
}
