//! `drill`, `require_drill` and `gates` of an environment.

use super::super::mistake::{Wrong, nearest, quoted};
use super::super::policy::{After, Approvals, DrillPolicy, Freeze, Gates, OnBreach, Readiness};
use super::super::reader::{Keys, Reader};
use super::super::scalar;
use super::time;
use crate::names::{EnvironmentName, ServiceName};
use crate::units::{Millis, Timestamp};
use crate::version_order::is_comparable;
use crate::window::{self, Window};

const DRILL_KEYS: Keys = Keys { known: &["every", "window", "cold"], later: &[] };
const GATE_KEYS: Keys = Keys { known: &["approvals", "freeze", "after", "readiness"], later: &["hooks"] };
const APPROVAL_KEYS: Keys = Keys { known: &["count", "from", "expire"], later: &["teams"] };
const FREEZE_KEYS: Keys = Keys { known: &["window", "reason"], later: &[] };

const DRILL_EXAMPLE: &str = r#"write { every: 7d, window: "Tue-Thu 10:00-16:00 Europe/Berlin" }"#;
const AFTER_EXAMPLE: &str = "for example \"payments >= 2.1 in production\"";
/// How often a drill may come at the most.
const SHORTEST_EVERY: Millis = Millis::from_secs(60);
/// How long an approval holds where nothing is declared.
const EXPIRE: Millis = Millis::from_secs(24 * 3600);
/// Names, freezes and dependencies in one list.
const MOST: usize = 100;

pub(in crate::spec) fn drill(reader: &Reader) -> Option<DrillPolicy> {
    let fields = reader.fields(&DRILL_KEYS, DRILL_EXAMPLE)?;
    let every = fields.required("every", "the drill does not say how often it comes", DRILL_EXAMPLE).and_then(every);
    let window = fields.get("window").and_then(window);
    if let (Some(reader), Some(window)) = (fields.get("window"), &window)
        && !window.recurs()
    {
        let wrong = Wrong::new("comes only once, and drills come again and again");
        reader.mistake(wrong.hint(r#"write "Tue-Thu 10:00-16:00 Europe/Berlin""#));
    }
    let cold = fields.get("cold").and_then(Reader::only_true).is_some();
    Some(DrillPolicy { every: every?, window, cold })
}

fn every(reader: &Reader) -> Option<Millis> {
    let every = time(reader)?;
    if every < SHORTEST_EVERY {
        reader.mistake(Wrong::new(format!("a drill cannot come more often than every {SHORTEST_EVERY}")));
        return None;
    }
    Some(every)
}

/// A window of time.
fn window(reader: &Reader) -> Option<Window> {
    reader.typed("a window of time", window::EXAMPLES, |text| {
        Window::parse(text).map_err(|invalid| Wrong::new(format!("{} {invalid}", quoted(text))).hint(window::EXAMPLES))
    })
}

pub(in super::super) fn gates(reader: &Reader) -> Option<Gates> {
    let fields = reader.fields(&GATE_KEYS, "write { approvals: { count: 1 } }")?;
    let approvals = fields.get("approvals").and_then(approvals);
    let freeze = fields.or("freeze", Vec::new(), freezes);
    let after = fields.or("after", Vec::new(), afters);
    let readiness = fields.or("readiness", Vec::new(), readiness);
    Some(Gates { approvals, freeze, after, readiness })
}

fn approvals(reader: &Reader) -> Option<Approvals> {
    let fields = reader.fields(&APPROVAL_KEYS, "write { count: 1, from: [alice, bob] }")?;
    let count = fields.or("count", 1, |r| r.count(1..=MOST as u64).and_then(|n| u32::try_from(n).ok()));
    let from = fields.or("from", Vec::new(), people);
    let expire = fields.or("expire", EXPIRE, time);
    if let Some(given) = fields.get("from").filter(|_| from.is_empty())
        && given.items(MOST, "write [alice, bob]").is_some_and(|items| items.is_empty())
    {
        let wrong = Wrong::new("nobody is named, so anybody with the right may approve");
        given.warn(wrong.hint("name who may, or leave from out"));
    }
    if !from.is_empty() && count as usize > from.len() {
        let wrong = Wrong::new(format!("{count} approvals are asked for, and only {} may give one", from.len()));
        reader.mistake(wrong.hint("name more people in from, or lower count"));
    } else if count as usize == from.len() {
        let wrong = Wrong::new("everybody in from has to approve, so none of them can release here");
        reader.warn(wrong.hint("nobody approves their own release: name one more, or lower count"));
    }
    Some(Approvals { count, from, expire })
}

fn people(reader: &Reader) -> Option<Vec<String>> {
    let items = reader.items(MOST, "write [alice, bob]")?;
    let mut names: Vec<String> = Vec::new();
    for item in &items {
        let name =
            item.typed("a name", "for example alice", |text| match text.trim().is_empty() || text.len() > 100 {
                true => Err(Wrong::new("must be the name of a token").hint("for example alice")),
                false => Ok(text.to_string()),
            })?;
        if names.contains(&name) {
            item.mistake(Wrong::new(format!("{} stands here twice", quoted(&name))).hint("leave one out"));
        }
        names.push(name);
    }
    Some(names)
}

fn freezes(reader: &Reader) -> Option<Vec<Freeze>> {
    let items = reader.items(MOST, r#"write [{ window: "Fri 15:00 to Mon 08:00 Europe/Berlin" }]"#)?;
    let freezes: Vec<Option<Freeze>> = items.iter().map(freeze).collect();
    let freezes: Vec<Freeze> = freezes.into_iter().collect::<Option<_>>()?;
    let windows: Vec<&Window> = freezes.iter().map(|f| &f.window).filter(|w| w.recurs()).collect();
    if !windows.is_empty() && always_within(&windows) {
        let wrong = Wrong::new("the freezes leave no time of the week at which a release could begin");
        reader.mistake(wrong.hint("shorten one of them"));
    }
    Some(freezes)
}

/// Whether a whole week lies within the windows. One in winter stands for all: a change of the clock moves no more
/// than an hour.
pub(in super::super) fn always_within(windows: &[&Window]) -> bool {
    const JANUARY_2024: Timestamp = Timestamp(1_704_067_200_000);
    const WEEK: Millis = Millis::from_secs(7 * 24 * 3600);
    let mut at = JANUARY_2024;
    while at.since(JANUARY_2024) < WEEK {
        match windows.iter().filter_map(|w| w.ends(at)).max() {
            Some(end) => at = end,
            None => return false,
        }
    }
    true
}

fn freeze(reader: &Reader) -> Option<Freeze> {
    let fields = reader.fields(&FREEZE_KEYS, r#"write { window: "Fri 15:00 to Mon 08:00 Europe/Berlin" }"#)?;
    let when =
        fields.required("window", "the freeze does not say when", "window: Fri 15:00 to Mon 08:00 Europe/Berlin");
    let when = when.and_then(window);
    let reason = fields.get("reason").and_then(|r| {
        r.typed("a text", "for example the books are closed", |text| {
            match text.trim().is_empty() || text.chars().any(char::is_control) || text.len() > 200 {
                true => Err(Wrong::new("must be one short line of text")),
                false => Ok(text.to_string()),
            }
        })
    });
    Some(Freeze { window: when?, reason })
}

pub(in super::super) fn afters(reader: &Reader) -> Option<Vec<After>> {
    let items = reader.items(MOST, "write [\"payments >= 2.1 in production\"]")?;
    let all: Vec<Option<After>> =
        items.iter().map(|item| item.typed("a service and its version", AFTER_EXAMPLE, after)).collect();
    all.into_iter().collect()
}

fn after(text: &str) -> Result<After, Wrong> {
    let wrong = |why: &str| Wrong::new(format!("{} {why}", quoted(text))).hint(AFTER_EXAMPLE);
    let (what, environment) = match text.rsplit_once(" in ") {
        Some((what, environment)) => (what.trim(), Some(environment.trim())),
        None => (text.trim(), None),
    };
    let (service, version) = match what.split_once(">=") {
        Some((service, version)) => (service.trim(), Some(version.trim())),
        None => (what, None),
    };
    if let Some(version) = version
        && !is_comparable(version)
    {
        return Err(wrong("compares with a version that has no number to compare by, as 2.1 has"));
    }
    Ok(After {
        service: ServiceName::new(service).map_err(|_| wrong("names no service"))?,
        at_least: version.map(str::to_string),
        environment: environment
            .map(|name| EnvironmentName::new(name).map_err(|_| wrong("names no environment")))
            .transpose()?,
    })
}

fn readiness(reader: &Reader) -> Option<Vec<Readiness>> {
    let items = reader.items(Readiness::NAMES.len(), "write [owner, objectives, smoke, drill, hooks]")?;
    let one = |text: &str| {
        Readiness::named(text).ok_or_else(|| {
            let hint = match nearest(text, Readiness::NAMES) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are {}", Readiness::NAMES.join(", ")),
            };
            Wrong::new(format!("{} is nothing that is looked for", quoted(text))).hint(hint)
        })
    };
    let all: Vec<Option<Readiness>> = items.iter().map(|item| item.typed("a name", "for example owner", one)).collect();
    all.into_iter().collect()
}

/// How old the last drill may be.
pub(in super::super) fn require_drill(reader: &Reader) -> Option<Millis> {
    reader.typed("a duration", "write 30d", scalar::duration).and_then(|age| match age.0 {
        0 => {
            reader.mistake(Wrong::new("a drill is never so young").hint("write 30d"));
            None
        }
        _ => Some(age),
    })
}

/// What trouble after a change leads to.
pub(super) fn on_breach(reader: &Reader) -> Option<OnBreach> {
    match reader.scalar() {
        Some(("tell", _)) => Some(OnBreach::Tell),
        Some(("rollback", _)) => Some(OnBreach::Rollback),
        _ => reader.expected("tell or rollback", "tell opens an incident, rollback goes back as well"),
    }
}
