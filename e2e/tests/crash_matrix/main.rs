//! The crash matrix: the real control plane is killed at every journal write and every act of every kind of rollout,
//! under load; every act is done twice, and every act and every write fails once. On both databases. `make crashes`
//! plays every cell; `make test` plays some of each kind, chosen by a seed that it prints.
//! See `docs/explanation/crashes.md`.

mod checks;
mod golden;
mod kinds;
mod points;
mod stage;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context;
use futures_util::StreamExt;
use kinds::{ALL, Kind};
use points::{Strike, is_write, strikes};
use slipway_e2e::Postgres;
use stage::Stage;

/// `all`, or how many cells of each kind on each database.
const CELLS: &str = "SLIPWAY_CRASH_CELLS";
/// Where the choice of cells begins; any number.
const SEED: &str = "SLIPWAY_CRASH_SEED";
/// Kinds, with commas; all where absent.
const KINDS: &str = "SLIPWAY_CRASH_KINDS";
/// Only cells that have this in their name: `kill before effect:publish`.
const ONLY: &str = "SLIPWAY_CRASH_ONLY";
/// Slipways that are driven at once.
const AT_ONCE: &str = "SLIPWAY_CRASH_AT_ONCE";

/// Where everything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Database {
    Sqlite,
    Postgresql,
}

impl Database {
    fn name(self) -> &'static str {
        match self {
            Database::Sqlite => "sqlite",
            Database::Postgresql => "postgresql",
        }
    }
}

/// What came of cells.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    points: BTreeMap<(Kind, &'static str), Vec<String>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_or_fails_or_happens_twice_every_rollout_ends_as_it_should() {
    let begun = Instant::now();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs() as usize);
    let seed = number(SEED).unwrap_or(now % 10_000);
    let all = std::env::var(CELLS).is_ok_and(|cells| cells == "all");
    let some = if all { usize::MAX } else { number(CELLS).unwrap_or(6) };
    println!("{SEED}={seed}");
    let kinds = std::env::var(KINDS).unwrap_or_default();
    let kinds = ALL.into_iter().filter(|kind| kinds.is_empty() || kinds.split(',').any(|name| name == kind.name()));

    let (postgres, tally) = (Postgres::start().expect("PostgreSQL starts"), Mutex::new(Tally::default()));
    let rows = kinds.flat_map(|kind| [Database::Sqlite, Database::Postgresql].map(|database| (kind, database)));
    let rows: Vec<Row> =
        rows.map(|(kind, database)| Row { kind, database, postgres: &postgres, tally: &tally }).collect();
    let at_once = number(AT_ONCE).unwrap_or(3);
    futures_util::stream::iter(&rows).for_each_concurrent(at_once, |row| row.play(some, seed)).await;

    let tally = std::mem::take(&mut *tally.lock().expect("nobody panics with it"));
    let differs = golden::differs(&tally.points);
    for failed in &tally.failed {
        println!("FAILED {failed}");
    }
    let (passed, failed) = (tally.passed, tally.failed.len());
    println!(
        "crash matrix: {} cells, {passed} passed, {failed} failed, sqlite + postgresql, {} s",
        passed + failed,
        begun.elapsed().as_secs()
    );
    assert!(differs.is_none(), "{}", differs.unwrap_or_default());
    assert_eq!(failed, 0);
}

/// The cells of one kind of rollout on one database.
struct Row<'a> {
    kind: Kind,
    database: Database,
    postgres: &'a Postgres,
    tally: &'a Mutex<Tally>,
}

impl Row<'_> {
    async fn play(&self, some: usize, seed: usize) {
        if let Err(error) = self.cells(some, seed).await {
            self.failed("", &error);
        }
    }

    fn failed(&self, cell: &str, error: &anyhow::Error) {
        let what = format!("{} {} {cell}: {error:#}", self.database.name(), self.kind.name());
        println!("{what}");
        self.tally.lock().expect("nobody panics with it").failed.push(what);
    }

    async fn set(&self, stages: &mut usize) -> anyhow::Result<Stage> {
        *stages += 1;
        let name = format!("slipway_{}_{stages}", self.kind.name().replace('-', "_"));
        let url = (self.database == Database::Postgresql).then(|| self.postgres.database(&name)).transpose()?;
        Stage::set(self.kind, url).await.context("no stage could be set")
    }

    async fn cells(&self, some: usize, seed: usize) -> anyhow::Result<()> {
        let mut stages = 0;
        let mut stage = self.set(&mut stages).await?;
        let points = stage.undisturbed().await.context("undisturbed")?;
        let only = std::env::var(ONLY).unwrap_or_default();
        for strike in chosen(&points, some, seed).iter().filter(|strike| strike.to_string().contains(&only)) {
            let begun = Instant::now();
            match stage.cell(strike).await {
                Ok(()) => {
                    self.tally.lock().expect("nobody panics with it").passed += 1;
                    let (database, kind) = (self.database.name(), self.kind.name());
                    println!("{database} {kind} {strike}: passed after {} ms", begun.elapsed().as_millis());
                }
                Err(error) => {
                    self.failed(&strike.to_string(), &error.context(stage.story().await));
                    stage = self.set(&mut stages).await?;
                }
            }
        }
        self.tally.lock().expect("nobody panics with it").points.insert((self.kind, self.database.name()), points);
        stage.strike().await
    }
}

/// All cells, or as many as told: of writes and of acts by turns, which ones by the seed.
fn chosen(points: &[String], some: usize, seed: usize) -> Vec<Strike> {
    let of = |writes: bool| -> Vec<Strike> {
        points.iter().filter(|point| is_write(point) == writes).flat_map(|point| strikes(point)).collect()
    };
    let (writes, acts) = (of(true), of(false));
    if some >= writes.len() + acts.len() {
        return [writes, acts].concat();
    }
    // A stride without a common divisor with most numbers goes through all of them.
    let pick = |from: &[Strike], n: usize| from[(seed + n * 37) % from.len()].clone();
    (0..some).map(|n| if n % 2 == 0 { pick(&writes, n) } else { pick(&acts, n) }).collect()
}

#[test]
fn the_ordinary_program_has_no_such_points() {
    let has = |name: &str| {
        let bytes = std::fs::read(slipway_e2e::program(name).expect("it is built")).expect("it can be read");
        bytes.windows(NAME.len()).any(|window| window == NAME)
    };
    const NAME: &[u8] = b"SLIPWAY_FAILPOINTS";
    assert!(has("slipway-failpoints"), "it is looked for in vain: this test shows nothing");
    assert!(!has("slipway"), "the points at which tests make it fail must not be in it");
}
