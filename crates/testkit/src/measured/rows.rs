//! The rows of the tables.

use slipway_core::judge::simulation::{Comparable, Pace};

use super::scenario::{Candidate, Scenario, Shape};
use super::wald::Hunt;

/// Requests per second of a busy service.
pub const BUSY: f64 = 300.0;
/// Requests per second of a quiet one.
pub const QUIET: f64 = 10.0;

/// Healthy candidates: every rate, however spread, at both paces, and one user who retries what fails.
pub fn healthy() -> Vec<Scenario> {
    let mut rows = Vec::new();
    for (traffic, rps) in [("busy", BUSY), ("quiet", QUIET)] {
        for errors in [0.001, 0.005, 0.01] {
            for shape in [Shape::Steady, Shape::Bursty, Shape::Drifting, Shape::Daily] {
                let pace = if shape == Shape::Daily { Pace::Daily(rps) } else { Pace::Steady(rps) };
                rows.push(Scenario { traffic, pace, shape, errors, candidate: Candidate::Healthy, heavy: None });
            }
        }
        let pace = Pace::Steady(rps);
        let (shape, candidate) = (Shape::Steady, Candidate::Healthy);
        rows.push(Scenario { traffic, pace, shape, errors: 0.001, candidate, heavy: Some(0.5) });
    }
    rows
}

/// Bad candidates. The second is no worse than the objectives declare to be tolerable, so that nobody has to take it back.
pub fn bad() -> Vec<Scenario> {
    let mut rows = Vec::new();
    for (traffic, rps) in [("busy", BUSY), ("quiet", QUIET)] {
        let row = |errors, candidate, heavy| Scenario {
            traffic,
            pace: Pace::Steady(rps),
            shape: Shape::Steady,
            errors,
            candidate,
            heavy,
        };
        rows.extend([
            row(0.01, Candidate::Fails(0.02), None),
            row(0.005, Candidate::Fails(0.01), None),
            row(0.005, Candidate::Fails(0.025), None),
            row(0.005, Candidate::Fails(0.05), None),
            row(0.005, Candidate::Fails(1.0), None),
            row(0.005, Candidate::Slow(0.1), None),
            row(0.005, Candidate::Fails(0.025), Some(0.0)),
        ]);
    }
    rows
}

/// Where a bad candidate is looked for, request by request.
pub fn hunts() -> Vec<Hunt> {
    let hunt = |name, weight, bad, stable| Hunt {
        name,
        weight,
        compared: Comparable::Concurrent,
        bad,
        stable,
        counts: weight < 99 && bad == 0.1,
    };
    let mut rows: Vec<Hunt> = [1, 5, 25, 50].map(|weight| hunt("canary", weight, 0.1, 0.001)).into();
    rows.extend([1, 5, 25, 50].map(|weight| hunt("canary", weight, 0.1, 0.005)));
    rows.push(Hunt { compared: Comparable::Before, counts: true, ..hunt("blue-green", 100, 0.1, 0.005) });
    rows.push(Hunt { compared: Comparable::Nobody, counts: true, ..hunt("first release", 100, 0.1, 0.005) });
    rows.extend([hunt("canary", 5, 0.05, 0.005), hunt("canary", 5, 0.5, 0.005), hunt("canary", 5, 1.0, 0.005)]);
    rows.push(hunt("verification", 99, 0.1, 0.005));
    rows
}
