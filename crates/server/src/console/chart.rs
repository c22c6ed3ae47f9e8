//! The band: where the judge believes the candidate's rate to be, narrowing until it crosses a bound.
//!
//! Drawn from the samples that were kept of the rollout, which carry the judge's own numbers. Heights are logarithmic,
//! so that half a percent and all of it are told apart. Pure: samples in, paths out; no markup.

use crate::wire::words::time;
use crate::wire::{WirePoint, WireSample, WireStep};

/// Width and height of the drawing, in its own units.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 168.0;
/// Labels at the side are at least so far apart.
const LINE: f64 = 15.0;
/// How long a stretch is drawn beyond its last sample, as a share of the whole: a brief one would not be seen otherwise.
const HOLD: f64 = 0.02;
/// Evidence that lasted no longer than so many milliseconds fills the whole width.
const BRIEF_MS: f64 = 1_000.0;
/// A gap between samples that is longer than so many milliseconds and a fiftieth of the whole is not drawn across.
const GAP_MS: f64 = 15_000.0;

/// One objective of a rollout, as paths.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    /// The objective.
    pub name: String,
    /// Where stable's rate is believed to be.
    pub stable: String,
    /// Where the candidate's is.
    pub candidate: String,
    /// What was seen of the candidate.
    pub seen: String,
    /// What the candidate's upper bound has to come below.
    pub pass: String,
    /// What its lower bound must not rise above.
    pub fail: String,
    /// Where steps begin: how far from the left, and which.
    pub steps: Vec<(String, String)>,
    /// How long after the rollout began it is at the left, in the middle and at the right.
    pub axis: [String; 3],
    /// What stands at the side.
    pub labels: Vec<Label>,
    /// `pass`, `fail` or `inconclusive`, as it was last.
    pub verdict: String,
    /// The same in numbers.
    pub numbers: String,
}

/// A word beside the drawing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Label {
    /// How far from the top.
    pub y: String,
    /// What.
    pub text: String,
    /// Of what: `pass`, `fail`, `candidate`.
    pub kind: &'static str,
}

/// The charts of a rollout, one for each objective that was ever judged.
pub(super) fn charts(samples: &[WireSample], steps: &[WireStep], began: u64) -> Vec<Chart> {
    let mut names: Vec<&str> = Vec::new();
    for point in samples.iter().flat_map(|s| &s.objectives) {
        if !names.contains(&point.name.as_str()) {
            names.push(&point.name);
        }
    }
    // Before anybody met it there is nothing to draw.
    let first = samples.iter().position(|s| s.objectives.iter().any(|p| p.n > 0)).unwrap_or(0);
    let samples = samples.get(first..).unwrap_or_default();
    names.into_iter().filter_map(|name| chart(name, samples, steps, began)).collect()
}

struct Frame {
    from: f64,
    length: f64,
    fine: f64,
    /// It was over so soon that its last sample is drawn to the end.
    brief: bool,
}

impl Frame {
    fn x(&self, at: u64) -> f64 {
        (at as f64 - self.from) / self.length * WIDTH
    }

    fn y(&self, rate: f64) -> f64 {
        let high = |rate: f64| (1.0 + rate.clamp(0.0, 1.0) / self.fine).ln();
        HEIGHT * (1.0 - high(rate) / high(1.0))
    }
}

type Seen<'a> = (u64, &'a WirePoint);

fn chart(name: &str, samples: &[WireSample], steps: &[WireStep], began: u64) -> Option<Chart> {
    let points: Vec<Seen> =
        samples.iter().filter_map(|s| Some((s.at, s.objectives.iter().find(|p| p.name == name)?))).collect();
    let (first, last) = (points.first()?, points.last()?);
    let from = samples.first()?.at.min(first.0) as f64;
    // A little room after the last sample, in which it still holds.
    let lasted = samples.last()?.at as f64 - from;
    let length = lasted.max(BRIEF_MS) * (1.0 + HOLD);
    let bound = points.iter().filter_map(|(_, p)| p.fail_at).fold(f64::INFINITY, f64::min);
    let fine = if bound.is_finite() { (bound / 5.0).clamp(0.000_1, 0.05) } else { 0.002 };
    let frame = Frame { from, length, fine, brief: lasted < BRIEF_MS };
    let runs = runs(&points, length);
    let band = |low: fn(&WirePoint) -> Option<f64>, high: fn(&WirePoint) -> Option<f64>| area(&frame, &runs, low, high);
    // A step that has just begun, or a rollout that is over, has no evidence: the last that there was is shown.
    let now = points.iter().rev().map(|(_, p)| *p).find(|p| p.n > 0).unwrap_or(last.1);
    Some(Chart {
        name: name.to_string(),
        stable: band(|p| p.stable.map(|s| s.0), |p| p.stable.map(|s| s.1)),
        candidate: band(|p| Some(p.lower), |p| Some(p.upper)),
        seen: line(&frame, &runs, |p| (p.n > 0).then(|| p.bad as f64 / p.n as f64)),
        pass: line(&frame, &runs, |p| p.pass_at),
        fail: line(&frame, &runs, |p| p.fail_at),
        steps: begun(&frame, samples, steps),
        axis: [0.0, 0.5, 1.0].map(|part| time((from + length * part - began as f64).max(0.0).round() as u64)),
        labels: labels(&frame, now),
        verdict: now.verdict.clone(),
        numbers: numbers(now),
    })
}

/// Stretches without a gap and without new evidence: a step that begins starts at nothing.
fn runs<'a>(points: &[Seen<'a>], length: f64) -> Vec<Vec<Seen<'a>>> {
    let longest = GAP_MS.max(length / 50.0);
    let mut runs: Vec<Vec<Seen>> = Vec::new();
    for &(at, point) in points {
        let goes_on = runs.last().and_then(|run| run.last()).is_some_and(|(before, last)| {
            (at as f64 - *before as f64) < longest
                && last.n <= point.n
                && last.pass_at.is_some() == point.pass_at.is_some()
        });
        match runs.last_mut().filter(|_| goes_on) {
            Some(run) => run.push((at, point)),
            None => runs.push(vec![(at, point)]),
        }
    }
    runs
}

/// A stretch; a brief one with its last sample held for a moment.
fn held<'a>(frame: &Frame, run: &'a [Seen<'a>]) -> impl Iterator<Item = (f64, &'a WirePoint)> {
    let until = |at: u64| if frame.brief { WIDTH } else { (frame.x(at) + HOLD * WIDTH).min(WIDTH) };
    let beyond = run.last().filter(|_| run.len() < 3 || frame.brief).map(|(at, point)| (until(*at), *point));
    let all: Vec<_> = run.iter().map(|(at, point)| (frame.x(*at), *point)).chain(beyond).collect();
    all.into_iter()
}

fn line(frame: &Frame, runs: &[Vec<Seen>], of: impl Fn(&WirePoint) -> Option<f64>) -> String {
    let mut path = String::new();
    for run in runs {
        let mut pen = 'M';
        for (x, rate) in held(frame, run).filter_map(|(x, point)| Some((x, of(point)?))) {
            path += &format!("{pen}{x:.1} {:.1}", frame.y(rate));
            pen = 'L';
        }
    }
    path
}

fn area(
    frame: &Frame,
    runs: &[Vec<Seen>],
    low: impl Fn(&WirePoint) -> Option<f64>,
    high: impl Fn(&WirePoint) -> Option<f64>,
) -> String {
    let mut path = String::new();
    for run in runs {
        let edges: Vec<(f64, f64, f64)> =
            held(frame, run).filter_map(|(x, p)| Some((x, frame.y(low(p)?), frame.y(high(p)?)))).collect();
        let upper = edges.iter().map(|(x, _, high)| format!("{x:.1} {high:.1}"));
        let lower = edges.iter().rev().map(|(x, low, _)| format!("{x:.1} {low:.1}"));
        let all: Vec<String> = upper.chain(lower).collect();
        if all.len() > 2 {
            path += &format!("M{}Z", all.join("L"));
        }
    }
    path
}

fn begun(frame: &Frame, samples: &[WireSample], steps: &[WireStep]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut before = None;
    for sample in samples {
        if before != Some(sample.step) {
            let name = steps.get(sample.step).map_or("end", |step| &step.name);
            all.push((format!("{:.1}", frame.x(sample.at)), name.to_string()));
        }
        before = Some(sample.step);
    }
    all
}

fn labels(frame: &Frame, now: &WirePoint) -> Vec<Label> {
    let mut all: Vec<(f64, String, &'static str)> = Vec::new();
    all.extend(now.fail_at.map(|at| (frame.y(at), format!("fails above {}", percent(at)), "fail")));
    all.extend(now.pass_at.map(|at| (frame.y(at), format!("passes below {}", percent(at)), "pass")));
    all.push((frame.y(now.upper), format!("at most {}", percent(now.upper)), "candidate"));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut next = 11.0_f64;
    let count = all.len();
    let spread = all.into_iter().enumerate().map(|(i, (y, text, kind))| {
        let room = HEIGHT - 4.0 - LINE * (count - 1 - i) as f64;
        let y = (y + 4.0).max(next).min(room);
        next = y + LINE;
        Label { y: format!("{y:.1}"), text, kind }
    });
    spread.collect()
}

fn numbers(now: &WirePoint) -> String {
    let candidate = format!(
        "{} of {} bad; between {} and {}",
        crate::wire::words::count(now.bad),
        crate::wire::words::count(now.n),
        percent(now.lower),
        percent(now.upper)
    );
    match now.stable {
        Some((lower, upper)) => format!("{candidate}; stable between {} and {}", percent(lower), percent(upper)),
        None => candidate,
    }
}

/// A rate as people read it.
pub(super) fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    match percent {
        p if p >= 10.0 => format!("{p:.0}%"),
        p if p >= 1.0 => format!("{p:.1}%"),
        p if p >= 0.005 => format!("{p:.2}%"),
        _ => "0%".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(n: u64, lower: f64, upper: f64) -> WirePoint {
        WirePoint {
            name: "errors".into(),
            verdict: "inconclusive".into(),
            n,
            bad: 0,
            lower,
            upper,
            pass_at: Some(0.01),
            fail_at: Some(0.02),
            stable: None,
        }
    }

    fn sample(at: u64, step: usize, point: WirePoint) -> WireSample {
        WireSample {
            at,
            step,
            state: "running".into(),
            weight_bp: 100,
            measured_bp: None,
            requests: 0,
            failed: 0,
            waiting: None,
            objectives: vec![point],
        }
    }

    #[test]
    fn new_evidence_is_a_new_stretch_and_nothing_is_drawn_across() {
        let samples = [
            sample(0, 0, point(10, 0.0, 0.9)),
            sample(1_000, 0, point(20, 0.0, 0.4)),
            sample(2_000, 1, point(5, 0.0, 0.95)),
            sample(3_000, 1, point(50, 0.0, 0.1)),
        ];
        let chart = &charts(&samples, &[], 0)[0];
        assert_eq!(chart.candidate.matches('M').count(), 2, "{}", chart.candidate);
        assert_eq!(chart.steps.len(), 2);
        assert!(chart.stable.is_empty(), "a first release has nothing to be compared with");
    }

    #[test]
    fn a_chart_begins_where_evidence_does_and_what_was_over_at_once_fills_it() {
        let samples = [sample(0, 0, point(0, 0.0, 1.0)), sample(9_000, 0, point(30, 0.1, 0.5))];
        let chart = &charts(&samples, &[], 0)[0];
        assert_eq!(chart.axis[0], "9s");
        assert!(chart.candidate.contains("M0.0 ") && chart.candidate.contains("L1000.0 "), "{}", chart.candidate);
    }

    #[test]
    fn a_higher_rate_is_drawn_higher_and_within_the_frame() {
        let frame = Frame { from: 0.0, length: 1_000.0, fine: 0.002, brief: false };
        let heights: Vec<f64> = [0.0, 0.001, 0.01, 0.1, 1.0, 7.0].map(|rate| frame.y(rate)).to_vec();
        assert!(heights.windows(2).all(|pair| pair[0] >= pair[1]), "{heights:?}");
        assert_eq!((heights[0], heights[4]), (HEIGHT, 0.0));
    }

    #[test]
    fn labels_never_lie_upon_each_other() {
        let frame = Frame { from: 0.0, length: 1_000.0, fine: 0.002, brief: false };
        let near = WirePoint { pass_at: Some(0.0201), ..point(9, 0.0, 0.0202) };
        let ys: Vec<f64> = labels(&frame, &near).iter().map(|l| l.y.parse().unwrap()).collect();
        assert!(ys.windows(2).all(|pair| pair[1] - pair[0] >= LINE - 0.2), "{ys:?}");
        assert!(ys.iter().all(|y| *y > 0.0 && *y < HEIGHT), "{ys:?}");
    }
}
