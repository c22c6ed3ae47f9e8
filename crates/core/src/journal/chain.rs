//! The hash chain: `hash = sha256(previous hash, as 64 hexadecimal digits, then the stored bytes)`.

use sha2::Digest as _;

use super::Entry;

/// What the first entry is chained to.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The hash of an entry with these stored bytes after an entry with the hash `previous`.
pub fn link(previous: &str, stored: &str) -> String {
    let mut hasher = sha2::Sha256::new();
    hasher.update(previous.as_bytes());
    hasher.update(stored.as_bytes());
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A row as it stands in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub seq: u64,
    /// The columns that exist for searching, by name, as text; empty where there is none.
    pub columns: Vec<(&'static str, String)>,
    /// The stored bytes.
    pub body: String,
    /// The stored hash.
    pub hash: String,
}

/// The newest entry that is known from outside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

/// What a whole chain comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Entries.
    pub entries: u64,
    /// The hash of the newest one; [`GENESIS`] where there is none.
    pub head: String,
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The bytes, the columns or the hash are not those that were recorded.
    #[error("entry {seq} was changed: {what}")]
    Changed {
        /// Which.
        seq: u64,
        /// What does not fit.
        what: String,
    },
    /// An entry is not there, or not in its place.
    #[error("entry {0} is missing")]
    Missing(u64),
    /// The tail was cut off.
    #[error("entries after {ends} are missing: the anchor outside the database knows entry {anchored}")]
    Cut {
        /// The newest entry that is there.
        ends: u64,
        /// The newest that was.
        anchored: u64,
    },
    /// The anchor was there and is gone.
    #[error(
        "the anchor outside the database is gone: whether the journal's tail is whole cannot be told. It is written anew \
         with the next entry, and a start without it is recorded"
    )]
    Unanchored,
    /// The chain is whole in itself and is not the one that was anchored.
    #[error("entry {0} is not the one that the anchor outside the database knows: the chain was written anew")]
    Rewritten(u64),
}

/// Checks a chain row by row, in the order of the table.
#[derive(Debug)]
pub struct Checker {
    anchor: Option<Anchor>,
    next: u64,
    head: String,
}

impl Checker {
    /// A checker that holds the chain against an anchor.
    pub fn new(anchor: Option<Anchor>) -> Checker {
        Checker { anchor, next: 1, head: GENESIS.to_string() }
    }

    /// Checks the next row.
    pub fn row(&mut self, row: &Row) -> Result<(), Broken> {
        let changed = |what: &str| Err(Broken::Changed { seq: row.seq, what: what.to_string() });
        if row.seq < self.next {
            return changed("its number is none that an entry could have there");
        }
        if row.seq > self.next {
            return Err(Broken::Missing(self.next));
        }
        if link(&self.head, &row.body) != row.hash {
            return changed("its hash does not follow from its bytes and the entry before");
        }
        let Ok(entry) = serde_json::from_str::<Entry>(&row.body) else {
            return changed("its bytes are no entry");
        };
        let expected = columns(&entry);
        for (name, value) in &row.columns {
            if expected.iter().any(|(n, v)| n == name && v != value) {
                return changed(&format!("column {name} says {value:?}, its bytes do not"));
            }
        }
        if let Some(anchor) = self.anchor.as_ref().filter(|a| a.seq == row.seq)
            && anchor.hash != row.hash
        {
            return Err(Broken::Rewritten(row.seq));
        }
        self.next += 1;
        self.head.clone_from(&row.hash);
        Ok(())
    }

    /// Checks the end.
    pub fn end(self) -> Result<Verified, Broken> {
        let ends = self.next - 1;
        match self.anchor {
            Some(anchor) if anchor.seq > ends => Err(Broken::Cut { ends, anchored: anchor.seq }),
            _ => Ok(Verified { entries: ends, head: self.head }),
        }
    }
}

/// The searchable columns of an entry, as text.
pub(super) fn columns(entry: &Entry) -> Vec<(&'static str, String)> {
    let lane = entry.fact.lane.as_ref();
    let text = |s: Option<&str>| s.unwrap_or_default().to_string();
    vec![
        ("seq", entry.seq.to_string()),
        ("at", entry.at.0.to_string()),
        ("kind", entry.fact.kind.clone()),
        ("service", text(lane.map(|l| l.service.as_str()))),
        ("environment", text(lane.map(|l| l.environment.as_str()))),
        ("rollout", text(entry.fact.rollout.as_ref().map(|r| r.as_str()))),
        ("actor", entry.fact.actor.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Fact;
    use crate::units::Timestamp;

    fn chain(n: u64) -> Vec<Row> {
        let mut head = GENESIS.to_string();
        (1..=n)
            .map(|seq| {
                let fact = Fact {
                    kind: "step.done".into(),
                    lane: None,
                    rollout: None,
                    actor: "slipway".into(),
                    cause: format!("number {seq}"),
                    evidence: serde_json::json!({ "n": seq }),
                };
                let entry = Entry { seq, at: Timestamp(seq), fact };
                let body = entry.bytes().expect("an entry");
                head = link(&head, &body);
                Row { seq, columns: columns(&entry), body, hash: head.clone() }
            })
            .collect()
    }

    fn check(rows: &[Row], anchor: Option<Anchor>) -> Result<Verified, Broken> {
        let mut checker = Checker::new(anchor);
        for row in rows {
            checker.row(row)?;
        }
        checker.end()
    }

    #[test]
    fn a_chain_that_nobody_touched_is_whole() {
        let rows = chain(5);
        let anchor = Anchor { seq: 4, hash: rows[3].hash.clone() };
        assert_eq!(check(&rows, Some(anchor)).expect("whole").entries, 5, "the database may be ahead of the anchor");
        assert_eq!(check(&[], None).expect("whole").head, GENESIS);
    }

    #[test]
    fn every_single_byte_counts() {
        let rows = chain(3);
        for at in 0..rows.len() {
            for place in 0..rows[at].body.len() {
                let mut touched = rows.clone();
                let mut bytes = touched[at].body.clone().into_bytes();
                bytes[place] ^= 1;
                let Ok(body) = String::from_utf8(bytes) else { continue };
                touched[at].body = body;
                assert!(matches!(check(&touched, None), Err(Broken::Changed { seq, .. }) if seq == at as u64 + 1));
            }
            for column in 1..rows[at].columns.len() {
                let mut touched = rows.clone();
                touched[at].columns[column].1.push('x');
                assert!(check(&touched, None).is_err());
            }
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let rows = chain(4);
        let without = |i: usize| [&rows[..i], &rows[i + 1..]].concat();
        assert_eq!(check(&without(0), None), Err(Broken::Missing(1)));
        assert_eq!(check(&without(2), None), Err(Broken::Missing(3)));
        let anchor = Some(Anchor { seq: 4, hash: rows[3].hash.clone() });
        assert_eq!(check(&rows[..3], anchor.clone()), Err(Broken::Cut { ends: 3, anchored: 4 }));
        let mut other = chain(4);
        other[3].hash = link(GENESIS, "x");
        assert!(check(&other, anchor.clone()).is_err());
        let mut swapped = rows.clone();
        swapped.swap(1, 2);
        assert_eq!(check(&swapped, None), Err(Broken::Missing(2)));
        let twice = [&rows[..2], &rows[1..]].concat();
        assert!(matches!(check(&twice, None), Err(Broken::Changed { seq: 2, .. })));
        let anew = Some(Anchor { seq: 2, hash: GENESIS.to_string() });
        assert_eq!(check(&rows, anew), Err(Broken::Rewritten(2)));
    }

    #[test]
    fn the_stored_bytes_and_the_formula_are_pinned() {
        let stored = r#"{"seq":7,"at":1700000000123,"kind":"traffic.shifted","lane":{"service":"shop","environment":"production"},"rollout":"ro-12","actor":"slipway","cause":"step 2 was \"entered\"","evidence":{"nul":"\u0000","weight_bp":500}}"#;
        let entry = Entry::read(7, stored);
        assert_eq!((entry.at, entry.fact.kind.as_str()), (Timestamp(1_700_000_000_123), "traffic.shifted"));
        assert_eq!(entry.bytes().unwrap(), stored);
        assert_eq!(link(GENESIS, stored), "a0c1205a061197c2c083498aa81fb64e0fe357d8e1c7ea9dde588251d67fd454");
        assert_eq!(link(GENESIS, "{}"), "5508d2b710e64bc470079e1b211d9c58e21011e59d0559e422345dc19d659a75");
    }
}
