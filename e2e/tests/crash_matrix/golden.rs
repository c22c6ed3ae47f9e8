//! The points of every kind of rollout, and so the size of the matrix, as they are known: `points.txt`. A new kind of
//! entry or act is seen here first. `UPDATE_CRASH_POINTS=1` writes the file anew; read the difference.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::kinds::{ALL, Kind};
use crate::points::{is_write, strikes};

const KNOWN: &str = include_str!("points.txt");

/// How the points that were found on each database differ from each other, or from those that are known.
pub fn differs(points: &BTreeMap<(Kind, &str), Vec<String>>) -> Option<String> {
    if points.len() < ALL.len() * 2 {
        println!("the size of the matrix is looked at only where every kind is played on both databases");
        return None;
    }
    let mut of: BTreeMap<Kind, &Vec<String>> = BTreeMap::new();
    for ((kind, database), found) in points {
        let other = *of.entry(*kind).or_insert(found);
        if other != found {
            let only = |one: &[String], two: &[String]| -> Vec<String> {
                one.iter().filter(|point| !two.contains(point)).cloned().collect()
            };
            let (more, less) = (only(found, other), only(other, found));
            return Some(format!("{}: {database} has {more:?} and lacks {less:?}", kind.name()));
        }
    }
    let found = written(&of);
    if std::env::var_os("UPDATE_CRASH_POINTS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash_matrix/points.txt");
        std::fs::write(file, &found).expect("room");
        return None;
    }
    (found != KNOWN)
        .then(|| format!("there are other points than in points.txt (UPDATE_CRASH_POINTS=1 writes it anew):\n{found}"))
}

fn written(points: &BTreeMap<Kind, &Vec<String>>) -> String {
    let mut text = String::new();
    let mut cells = 0;
    for (kind, points) in points {
        let writes = points.iter().filter(|point| is_write(point)).count();
        let own: usize = points.iter().map(|point| strikes(point).count()).sum();
        cells += own;
        let _ = writeln!(text, "{}: {writes} writes, {} acts, {own} cells", kind.name(), points.len() - writes);
        for point in points.iter() {
            let _ = writeln!(text, "  {point}");
        }
    }
    let _ = writeln!(text, "in all, on two databases: {} cells", cells * 2);
    text
}
