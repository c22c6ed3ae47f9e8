//! Measures the judge beside other tools' rules. `JUDGE_SEED` says where the seeds begin, `JUDGE_SHARE` which part of
//! the rollouts to play (1 by default), `JUDGE_ROWS` which rows: those that have these words in their name. Hunts are never fewer
//! than three hundred: the bar is on their median. Ends with one line for scripts.

use std::time::Instant;

use slipway_testkit::measured::{Sizes, measure, render, summary};

fn number(name: &str, default: f64) -> f64 {
    let Ok(text) = std::env::var(name) else { return default };
    let Some(number) = text.parse().ok().filter(|number: &f64| *number >= 0.0) else {
        eprintln!("{name}: `{text}` is not a number");
        std::process::exit(2);
    };
    number
}

fn main() {
    let (seed, share) = (number("JUDGE_SEED", 1.0) as u64, number("JUDGE_SHARE", 1.0));
    let part = |n: u64| ((n as f64 * share) as u64).max(3);
    let full = Sizes::FULL;
    let hunts = part(full.hunts).max(300);
    let sizes = Sizes { healthy: part(full.healthy), bad: part(full.bad), peers: part(full.peers), hunts };
    let rows = std::env::var("JUDGE_ROWS").unwrap_or_default();
    let began = Instant::now();
    let report = measure(&sizes, seed, &rows, |row| eprintln!("{:>4}s  {row}", began.elapsed().as_secs()));
    println!("{}", render(&report));
    for missed in report.missed() {
        println!("MISSED: {missed}");
    }
    println!("{} seconds={}", summary(&report), began.elapsed().as_secs());
}
