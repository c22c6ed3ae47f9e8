//! A rollout on its way: a line for each step, or a picture that changes in place.

use std::io::{IsTerminal, Write};

use slipway_server::wire::{WireJudgement, WireRollout, WireShare, WireStepRecord};

use super::{count, share, time};

/// Width of the split's bar.
const BAR: usize = 40;

/// A line for each step that changes, and for what is waited for when that changes in kind.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    told: Vec<String>,
    state: String,
}

impl Lines {
    /// Prints what is new.
    pub fn show(&mut self, rollout: &WireRollout) {
        self.new_lines(rollout).iter().for_each(|line| println!("{line}"));
    }

    fn new_lines(&mut self, rollout: &WireRollout) -> Vec<String> {
        let mut lines = Vec::new();
        if self.state.is_empty() {
            lines.push(format!(
                "{}: {} {} to {} by {}",
                rollout.rollout, rollout.service, rollout.version, rollout.environment, rollout.strategy
            ));
        }
        if self.state != rollout.state && ["queued", "paused", "held", "undoing"].contains(&rollout.state.as_str()) {
            let why = rollout.cause.clone().or(rollout.waiting.as_ref().map(|w| w.on.clone())).unwrap_or_default();
            lines.push(format!("  {}: {why}", rollout.state));
        }
        self.state.clone_from(&rollout.state);
        self.told.resize(rollout.steps.len(), String::new());
        for (told, step) in self.told.iter_mut().zip(&rollout.steps) {
            if *told != step.state && ["done", "failed"].contains(&step.state.as_str()) {
                lines.push(format!("  {} {:<12} {}", mark(step), step.name, step.report));
            }
            told.clone_from(&step.state);
        }
        lines
    }
}

fn mark(step: &WireStepRecord) -> &'static str {
    match step.state.as_str() {
        "done" => "✓",
        "failed" => "✗",
        "acting" | "waiting" => "●",
        "skipped" => "·",
        _ => "○",
    }
}

/// A picture that changes in place.
#[derive(Debug)]
pub(crate) struct Live {
    possible: bool,
    lines: usize,
}

impl Live {
    pub fn new() -> Live {
        Live { possible: std::io::stdout().is_terminal(), lines: 0 }
    }

    /// Whether there is a terminal to draw on.
    pub fn possible(&self) -> bool {
        self.possible
    }

    /// Draws the rollout over what was drawn before.
    pub fn show(&mut self, rollout: &WireRollout) {
        let picture = picture(rollout);
        let mut out = String::new();
        if self.lines > 0 {
            out.push_str(&format!("\x1b[{}A\x1b[J", self.lines));
        }
        let width = width();
        for line in picture.lines() {
            // A line that wraps would be counted wrongly.
            out.extend(line.chars().take(width));
            out.push('\n');
        }
        self.lines = picture.lines().count();
        let mut stdout = std::io::stdout();
        let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    }
}

fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(100, |size| usize::from(size.ws_col).max(40))
}

/// The rollout as a picture: the rail, the split, the evidence, what is waited for.
fn picture(r: &WireRollout) -> String {
    let mut text =
        format!("{}  {} {} → {}  by {}  ({})\n\n", r.rollout, r.service, r.version, r.environment, r.strategy, r.state);
    for step in &r.steps {
        text.push_str(&format!("  {} {:<14} {:<8} {}\n", mark(step), step.name, step.state, step.report));
    }
    if !r.split.is_empty() {
        text.push_str(&format!("\n  {}\n", bar(&r.split, &r.version)));
        for s in &r.split {
            let measured =
                s.measured_bp.map_or_else(|| "not measured yet".to_string(), |m| format!("{} measured", share(m)));
            text.push_str(&format!("  {:<14} {} wanted, {measured}\n", s.version, share(s.weight_bp)));
        }
    }
    if !r.judgements.is_empty() {
        text.push('\n');
        r.judgements.iter().for_each(|j| text.push_str(&evidence(j)));
    }
    if let Some(waiting) = &r.waiting {
        let yet =
            waiting.remaining_ms.map(|ms| format!("  ({} yet at most)", time(ms / 1000 * 1000))).unwrap_or_default();
        text.push_str(&format!("\n  waiting for {}{yet}\n", waiting.on));
    }
    text
}

fn bar(split: &[WireShare], candidate: &str) -> String {
    let bp = split.iter().find(|s| s.version == candidate).map_or(0, |s| s.measured_bp.unwrap_or(s.weight_bp));
    let filled = (usize::from(bp) * BAR).div_ceil(10_000).min(BAR);
    format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled))
}

fn evidence(j: &WireJudgement) -> String {
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    let stable = j.stable.as_ref().map(|s| format!("  stable {}/{}", count(s.bad), count(s.n))).unwrap_or_default();
    format!(
        "  {:<10} {:<12} {}/{} bad, between {} and {}{stable}\n",
        j.objective,
        j.verdict,
        count(j.bad),
        count(j.n),
        percent(j.lower),
        percent(j.upper)
    )
}

/// How it ended, and what to do next.
pub(crate) fn conclusion(r: &WireRollout) -> String {
    let outcome = r.outcome.clone().unwrap_or_else(|| r.state.clone()).replace('_', " ");
    let cause = r.cause.clone().unwrap_or_default();
    let back = r.rollback_ms.map(|ms| format!(", rolled back in {}", time(ms))).unwrap_or_default();
    let mut text = format!(
        "{} {outcome}: {cause}\n  deployed in {}{back}; {} requests met {}, {} of them failed, {} failed by Slipway",
        r.rollout,
        time(r.deploy_ms),
        count(r.exposed_requests),
        r.version,
        count(r.failed_requests),
        count(r.failed_by_slipway)
    );
    if r.outcome.as_deref() == Some("held") {
        let lane = format!("{} --env {}", r.service, r.environment);
        text.push_str(&format!(
            "\n  it needs a person: slipway promote {lane} (you answer for it) · slipway resume {lane} (judge again) · slipway abort {lane} (take it back)"
        ));
    }
    text.push_str(&format!("\n  why: slipway explain {}", r.rollout));
    text
}
