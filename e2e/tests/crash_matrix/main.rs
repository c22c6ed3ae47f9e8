//! The crash matrix: the real control plane is killed at every journal write and every act of every kind of rollout,
//! under load; every act is done twice, and every act and write fails once. `make crashes` plays every cell; `make test`
//! plays a few, chosen by a seed that it prints. See `docs/explanation/crashes.md`.

mod checks;
mod kinds;
mod points;
mod stage;

use std::time::Instant;

use kinds::{ALL, Kind};
use points::{Strike, is_write, strikes};
use slipway_e2e::Postgres;
use stage::Stage;

/// The points of each kind of rollout.
const GOLDEN: &str = include_str!("points.txt");

fn golden(kind: Kind) -> Vec<String> {
    let own = GOLDEN.lines().filter_map(|line| line.strip_prefix(&format!("{} ", kind.name())));
    own.map(str::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn try_it() {
    let word = std::env::var("KINDS").unwrap_or("canary".into());
    for kind in ALL.into_iter().filter(|k| word.contains(k.name())) {
        let t = Instant::now();
        let postgres = std::env::var("PG").ok().map(|_| Postgres::start().unwrap());
        let mut stage = Stage::set(kind, postgres.as_ref().map(|p| p.database("slipway").unwrap())).await.unwrap();
        eprintln!("set {:?}", t.elapsed());
        let t = Instant::now();
        let passed = stage.undisturbed().await.unwrap();
        eprintln!("{} {:?} {passed:#?}", kind.name(), t.elapsed());
        if std::env::var("CELLS").is_ok() {
            for point in passed {
                for strike in strikes(&point) {
                    let t = Instant::now();
                    let got = stage.cell(&strike).await;
                    eprintln!(
                        "{} {strike}: {} {:?}",
                        kind.name(),
                        got.as_ref().map_or_else(|e| format!("FAILED {e:#}"), |_| "ok".into()),
                        t.elapsed()
                    );
                    if got.is_err() {
                        drop(stage);
                        stage = Stage::set(kind, None).await.unwrap();
                    }
                }
            }
        }
        stage.strike().await.unwrap();
    }
}
