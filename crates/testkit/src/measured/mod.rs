//! The judge, measured: how often it takes a healthy candidate back, how many bad ones it lets through and at what
//! cost, beside other tools' rules in the same traffic, and how near it comes to the fewest requests possible.
//!
//! Everything is simulated from one seed: the judge is the real one, traffic and rollouts are those of its own tests
//! (`slipway_core::judge::simulation`), and the other tools' rules are restated from their documentation
//! ([`peers`]). Called by `make bench` through `examples/judge.rs`, and in small by this crate's tests.

mod confidence;
mod ours;
pub mod peers;
mod rows;
pub mod scenario;
mod table;
pub mod wald;

pub use confidence::interval;
pub use table::{render, summary};

use slipway_core::units::Millis;

use self::peers::{Argo, Course, Flagger, Kayenta};
use self::scenario::Scenario;
use self::wald::{Found, Hunt};

/// Slipway's declared chance of rolling back a healthy candidate: the default.
pub const ALPHA: f64 = 0.01;
/// Its declared chance of passing one that is worse than tolerated: the default.
pub const BETA: f64 = 0.05;
/// The largest multiple of Wald's bound.
pub const WALD_BAR: f64 = 1.35;

/// How a rollout ended, by whatever rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The candidate was taken back.
    RolledBack,
    /// Nothing was shown within a step's limit, and a person is asked.
    Held,
    /// The candidate got everything.
    Finished,
}

/// A rollout that is over.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// How it ended.
    pub end: End,
    /// The candidate's requests that went wrong until then.
    pub harmed: u64,
    /// How long it took.
    pub took: Millis,
}

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The real judge.
    Slipway,
    /// A tick a minute, back at the fifth failed check.
    Flagger,
    /// A tick every ten seconds, the shortest that is possible, back at the second failed check.
    HastyFlagger,
    /// `interval: 5m`, `failureLimit: 3`.
    Argo,
    /// Mann-Whitney, every hour for three hours.
    Kayenta,
}

impl Tool {
    /// All of them, Slipway first.
    pub const ALL: [Tool; 5] = [Tool::Slipway, Tool::Flagger, Tool::HastyFlagger, Tool::Argo, Tool::Kayenta];

    /// What a column is called.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Slipway => "Slipway",
            Tool::Flagger => "Flagger 1m, 5",
            Tool::HastyFlagger => "Flagger 10s, 2",
            Tool::Argo => "Argo 5m, 3",
            Tool::Kayenta => "Kayenta",
        }
    }

    fn rollout(self, scenario: &Scenario, seed: u64) -> Told {
        let mut course: Box<dyn Course> = match self {
            Tool::Slipway => return ours::rollout(scenario, seed),
            Tool::Flagger => Box::new(Flagger::new(Millis::from_secs(60), 5)),
            Tool::HastyFlagger => Box::new(Flagger::new(Millis::from_secs(10), 2)),
            Tool::Argo => Box::new(Argo::default()),
            Tool::Kayenta => Box::new(Kayenta::default()),
        };
        peers::rollout(scenario, course.as_mut(), seed)
    }
}

/// How many rollouts of each row.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Slipway's rollouts of a healthy candidate.
    pub healthy: u64,
    /// Slipway's rollouts of a bad one.
    pub bad: u64,
    /// Another tool's rollouts of either; a third of that for Kayenta, whose rollouts are the longest.
    pub peers: u64,
    /// Hunts of each kind.
    pub hunts: u64,
}

impl Sizes {
    /// Those of `make bench`.
    pub const FULL: Sizes = Sizes { healthy: 1_000, bad: 300, peers: 600, hunts: 600 };

    fn runs(&self, tool: Tool, healthy: bool) -> u64 {
        match tool {
            Tool::Slipway if healthy => self.healthy,
            Tool::Slipway => self.bad,
            Tool::Kayenta => self.peers / 3,
            _ => self.peers,
        }
    }
}

/// One tool's rollouts of one scenario.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Whose.
    pub tool: Tool,
    /// The rollouts.
    pub rollouts: Vec<Told>,
}

impl Cell {
    /// How many there are.
    pub fn n(&self) -> u64 {
        self.rollouts.len() as u64
    }

    /// How many ended so.
    pub fn ended(&self, end: End) -> u64 {
        self.rollouts.iter().filter(|told| told.end == end).count() as u64
    }

    /// The share that ended so.
    pub fn share(&self, end: End) -> f64 {
        self.ended(end) as f64 / self.n().max(1) as f64
    }

    /// Requests harmed in a rollout, on average.
    pub fn harmed(&self) -> f64 {
        self.rollouts.iter().map(|told| told.harmed).sum::<u64>() as f64 / self.n().max(1) as f64
    }

    /// Seconds until those that ended so did, in the middle; none where none did.
    pub fn seconds(&self, end: End) -> Option<f64> {
        let mut took: Vec<u64> = self.rollouts.iter().filter(|t| t.end == end).map(|t| t.took.0).collect();
        took.sort_unstable();
        took.get(took.len() / 2).map(|ms| *ms as f64 / 1_000.0)
    }
}

/// One scenario by all tools.
#[derive(Debug, Clone)]
pub struct Row {
    /// The scenario.
    pub scenario: Scenario,
    /// By tool, Slipway first.
    pub cells: Vec<Cell>,
    /// Which of the other tools kept within alpha with the healthy candidate in the same circumstances.
    pub within_alpha: Vec<bool>,
}

impl Row {
    /// The tools beside Slipway that harm no more than it does, although they are within alpha.
    pub fn beaten_by(&self) -> Vec<Tool> {
        let ours = self.cells[0].harmed();
        let others = self.cells.iter().zip(&self.within_alpha).skip(1);
        others.filter(|(cell, within)| **within && cell.harmed() <= ours).map(|(cell, _)| cell.tool).collect()
    }
}

/// All that was measured.
#[derive(Debug, Clone)]
pub struct Report {
    /// Where the seeds begin.
    pub seed: u64,
    /// Healthy candidates.
    pub healthy: Vec<Row>,
    /// Bad ones.
    pub bad: Vec<Row>,
    /// Hunts beside Wald's bound.
    pub hunts: Vec<(Hunt, Found)>,
}

impl Report {
    /// False rollbacks of Slipway's in the worst row: the share, and the upper end of its confidence interval.
    pub fn worst_false(&self) -> (f64, f64) {
        let ours = self.healthy.iter().map(|row| &row.cells[0]);
        ours.map(|cell| (cell.share(End::RolledBack), interval(cell.ended(End::RolledBack), cell.n()).1))
            .fold((0.0, 0.0), |worst, this| if this.1 > worst.1 { this } else { worst })
    }

    /// False rollbacks of Slipway's in all rows together: how many, of how many.
    pub fn all_false(&self) -> (u64, u64) {
        let ours = self.healthy.iter().map(|row| &row.cells[0]);
        ours.fold((0, 0), |(hits, n), cell| (hits + cell.ended(End::RolledBack), n + cell.n()))
    }

    /// The largest multiple of Wald's bound among the rows that the bar is on; not a number where one was missed.
    pub fn worst_ratio(&self) -> f64 {
        let counted = self.hunts.iter().filter(|(hunt, _)| hunt.counts);
        counted.map(|(_, found)| if found.missed > 0 { f64::INFINITY } else { found.ratio() }).fold(0.0, f64::max)
    }

    /// Rows of candidates that are worse than tolerated.
    pub fn worse(&self) -> impl Iterator<Item = &Row> {
        self.bad.iter().filter(|row| !row.scenario.is_tolerable())
    }

    /// The bars that are not met, as sentences.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let (share, upper) = self.worst_false();
        if upper > ALPHA {
            missed.push(format!(
                "false rollbacks: {:.2}%, at most {:.2}% with 97.5% certainty",
                share * 100.0,
                upper * 100.0
            ));
        }
        if self.worst_ratio() > WALD_BAR {
            missed.push(format!("{:.2} times Wald's bound", self.worst_ratio()));
        }
        for row in self.worse() {
            for tool in row.beaten_by() {
                missed.push(format!("{}: {} harms fewer requests", row.scenario.name(), tool.name()));
            }
        }
        missed
    }
}

/// Measures every row whose name has `rows` in it; `progress` is told of each.
pub fn measure(sizes: &Sizes, seed: u64, rows: &str, mut progress: impl FnMut(&str)) -> Report {
    let mut row = |scenario: &Scenario, healthy: bool| {
        progress(&scenario.name());
        let cell = |tool: Tool| {
            let runs = sizes.runs(tool, healthy);
            Cell { tool, rollouts: (seed..seed + runs).map(|seed| tool.rollout(scenario, seed)).collect() }
        };
        Tool::ALL.into_iter().map(cell).collect::<Vec<_>>()
    };
    let healthy: Vec<Row> = rows::healthy()
        .into_iter()
        .filter(|scenario| scenario.name().contains(rows))
        .map(|scenario| Row { scenario, cells: row(&scenario, true), within_alpha: Vec::new() })
        .collect();
    let kept = |cell: &Cell| cell.share(End::RolledBack) <= ALPHA;
    let bad = rows::bad()
        .into_iter()
        .filter(|scenario| scenario.name().contains(rows))
        .map(|scenario| {
            let alike = healthy.iter().find(|row| row.scenario == scenario.healthy());
            let within_alpha = match alike {
                Some(alike) => alike.cells.iter().map(kept).collect(),
                None => row(&scenario.healthy(), false).iter().map(kept).collect(),
            };
            Row { scenario, cells: row(&scenario, false), within_alpha }
        })
        .collect();
    let hunts = rows::hunts().into_iter().filter(|hunt| hunt.title().contains(rows));
    let hunts = hunts.map(|hunt| (hunt, wald::measure(&hunt, sizes.hunts, seed))).collect();
    Report { seed, healthy, bad, hunts }
}
