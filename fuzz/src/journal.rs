//! Journal entries: facts as they are recorded and chained, and stored bytes that somebody has changed.
//!
//! A chain that was appended is whole and says what was recorded; a byte, a column, a hash or a place that was changed
//! is found. The input is a fact on each line, and a first line of numbers that say what is changed.

use serde_json::Value;
use slipway_core::journal::{Anchor, BODY_LIMIT, Broken, Checker, Entry, Fact, GENESIS, Row, Verified, link};
use slipway_core::units::Timestamp;

/// Entries of one chain.
const MOST: usize = 16;

/// Records what `bytes` say, then changes it.
pub fn run(bytes: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len()));
    let mut numbers = String::from_utf8_lossy(first).split(' ').map(|n| n.parse().unwrap_or(0)).collect::<Vec<usize>>();
    numbers.resize(4, 1);
    let lines = rest.split(|b| *b == b'\n').filter(|line| !line.is_empty()).take(MOST);
    let facts: Vec<Fact> = lines.map(fact).collect();
    unreadable(rest);
    if facts.is_empty() {
        return;
    }
    let rows = appended(&facts, numbers[0] as u64);
    let last = rows.last().expect("a row");
    let anchor = Anchor { seq: last.seq, hash: last.hash.clone() };
    let whole = Verified { entries: rows.len() as u64, head: last.hash.clone() };
    assert_eq!(check(&rows, Some(anchor.clone())), Ok(whole));
    meddle(&rows, &anchor, &numbers);
}

/// A fact as a line has it, or one whose cause is the line.
fn fact(line: &[u8]) -> Fact {
    let text = String::from_utf8_lossy(line).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|_| Fact {
        kind: "step.done".to_string(),
        lane: None,
        rollout: None,
        actor: "slipway".to_string(),
        evidence: serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone())),
        cause: text,
    })
}

/// The rows as the store makes them.
fn appended(facts: &[Fact], at: u64) -> Vec<Row> {
    let mut head = GENESIS.to_string();
    let rows = facts.iter().zip(1..).map(|(fact, seq)| {
        let entry = Entry { seq, at: Timestamp(at), fact: fact.clone() };
        let body = entry.bytes().expect("an entry has bytes");
        assert!(body.len() <= BODY_LIMIT + (BODY_LIMIT >> 1), "{} bytes", body.len());
        assert!(!body.contains('\0'), "a database might cut it there");
        let read = Entry::read(seq, &body);
        assert_eq!((read.seq, read.at, &read.fact.kind), (seq, Timestamp(at), &fact.kind));
        assert_eq!((&read.fact.lane, &read.fact.rollout, &read.fact.actor), (&fact.lane, &fact.rollout, &fact.actor));
        head = link(&head, &body);
        let lane = fact.lane.as_ref();
        let columns = vec![
            ("seq", seq.to_string()),
            ("at", at.to_string()),
            ("kind", fact.kind.clone()),
            ("service", lane.map(|l| l.service.to_string()).unwrap_or_default()),
            ("environment", lane.map(|l| l.environment.to_string()).unwrap_or_default()),
            ("rollout", fact.rollout.as_ref().map(|r| r.to_string()).unwrap_or_default()),
            ("actor", fact.actor.clone()),
        ];
        Row { seq, columns, body, hash: head.clone() }
    });
    rows.collect()
}

/// Changes one thing after another, each of which must be found where it is.
fn meddle(rows: &[Row], anchor: &Anchor, numbers: &[usize]) {
    let at = numbers[1] % rows.len();
    let place = numbers[2];
    let found = |rows: &[Row]| check(rows, Some(anchor.clone())).expect_err("what was changed is found");
    let with = |change: &dyn Fn(&mut Row)| {
        let mut changed = rows.to_vec();
        change(&mut changed[at]);
        changed
    };
    let seq = at as u64 + 1;
    let bytes = with(&|row| row.body = flipped(&row.body, place, numbers[3]));
    assert!(matches!(found(&bytes), Broken::Changed { seq: s, .. } if s == seq));
    let hash = with(&|row| row.hash = flipped(&row.hash, place, numbers[3]));
    assert!(matches!(found(&hash), Broken::Changed { seq: s, .. } if s == seq));
    let column = with(&|row| row.columns[place % 7].1.push('x'));
    assert!(matches!(found(&column), Broken::Changed { seq: s, .. } if s == seq));
    let gone = [&rows[..at], &rows[at + 1..]].concat();
    let missing = found(&gone);
    assert!(matches!(missing, Broken::Missing(s) if s == seq) || matches!(missing, Broken::Cut { .. }), "{missing:?}");
    let twice = [&rows[..=at], &rows[at..]].concat();
    assert!(matches!(found(&twice), Broken::Changed { .. }));
    assert!(matches!(found(&rows[..at]), Broken::Cut { ends, .. } if ends == at as u64));
    // Somebody who knows the formula chains everything anew: the anchor still knows better.
    let mut facts: Vec<Fact> = rows.iter().map(|row| Entry::read(row.seq, &row.body).fact).collect();
    facts[at].cause.push('!');
    let anew = appended(&facts, numbers[0] as u64);
    assert_eq!(found(&anew), Broken::Rewritten(anchor.seq));
}

/// `text` with one of its characters replaced by another.
fn flipped(text: &str, place: usize, by: usize) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let place = place % characters.len();
    let others: Vec<char> = "0aZ\"{ \u{e9}".chars().filter(|c| *c != characters[place]).collect();
    characters[place] = others[by % others.len()];
    characters.into_iter().collect()
}

fn check(rows: &[Row], anchor: Option<Anchor>) -> Result<Verified, Broken> {
    let mut checker = Checker::new(anchor);
    rows.iter().try_for_each(|row| checker.row(row))?;
    checker.end()
}

/// Stored bytes that are no entry can be looked at, and are told as changed.
fn unreadable(bytes: &[u8]) {
    let stored = String::from_utf8_lossy(bytes).into_owned();
    let read = Entry::read(1, &stored);
    assert!(!read.fact.kind.is_empty() || serde_json::from_str::<Entry>(&stored).is_ok());
    let row = Row { seq: 1, columns: Vec::new(), hash: link(GENESIS, &stored), body: stored };
    let says_so = check(std::slice::from_ref(&row), None).is_ok();
    assert_eq!(says_so, serde_json::from_str::<Entry>(&row.body).is_ok());
}
