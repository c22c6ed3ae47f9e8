//! A rollout on its way as a picture: the rail of steps, the split wanted and measured, the evidence so far, what is
//! waited for and for how long yet.

use slipway_server::wire::{WireJudgement, WireRollout, WireShare, WireStepRecord};

use super::paint::{Line, Look};
use super::{count, flat, mark, share, time};

/// Width of the split's bars.
const BAR: usize = 30;

/// The picture, line by line.
pub(super) fn picture(r: &WireRollout) -> Vec<Line> {
    let mut lines = vec![title(r), Line::new()];
    lines.extend(rail(r));
    lines.extend(traffic(r));
    lines.extend(evidence(r));
    lines.extend(waiting(r));
    lines
}

fn title(r: &WireRollout) -> Line {
    let from = r.from.as_ref().map(|f| format!("{f} → ")).unwrap_or_default();
    let state = r.outcome.as_deref().unwrap_or(&r.state).replace('_', " ");
    let look = match (r.outcome.as_deref(), r.state.as_str()) {
        (Some("succeeded"), _) => Look::Good,
        (Some(_), _) | (_, "undoing") => Look::Bad,
        _ => Look::Busy,
    };
    Line::new()
        .with(Look::Strong, format!("{} {from}{}", r.service, r.version))
        .with(Look::Plain, format!(" in {}", r.environment))
        .with(Look::Faint, format!("  ·  {}  ·  {}  ·  ", r.strategy, r.rollout))
        .with(look, state)
}

fn rail(r: &WireRollout) -> Vec<Line> {
    let width = r.steps.iter().map(|s| s.name.chars().count()).max().unwrap_or(0).max(8);
    let mut lines = Vec::new();
    for (i, step) in r.steps.iter().enumerate() {
        if i > 0 {
            lines.push(Line::new().with(Look::Faint, "  │"));
        }
        let (look, name) = (look(step), format!("{:<width$}", step.name));
        let line = Line::new().with(look, format!("  {} ", mark(step)));
        let line = line.with(if busy(step) { Look::Strong } else { Look::Plain }, name);
        // What is waited for stands below, with the time that is left.
        let said = if busy(step) && r.waiting.is_some() { step.state.clone() } else { step.report.clone() };
        lines.push(line.with(Look::Faint, format!("  {}", flat(&said))));
    }
    lines
}

fn busy(step: &WireStepRecord) -> bool {
    matches!(step.state.as_str(), "acting" | "waiting")
}

fn look(step: &WireStepRecord) -> Look {
    match step.state.as_str() {
        "done" => Look::Good,
        "failed" => Look::Bad,
        "acting" | "waiting" => Look::Busy,
        _ => Look::Faint,
    }
}

fn traffic(r: &WireRollout) -> Vec<Line> {
    if r.split.is_empty() {
        return Vec::new();
    }
    let width = r.split.iter().map(|s| s.version.chars().count()).max().unwrap_or(0);
    let mut lines = vec![Line::new(), Line::new().with(Look::Faint, if r.worker { "  jobs" } else { "  traffic" })];
    for part in &r.split {
        let candidate = part.version == r.version;
        let look = if candidate { Look::Busy } else { Look::Plain };
        let measured = match part.measured_bp {
            _ if r.worker => "by instances".to_string(),
            None => "none measured yet".to_string(),
            Some(bp) => format!("{} measured", share(bp)),
        };
        lines.push(
            Line::new()
                .with(look, format!("  {:<width$}  ", part.version))
                .with(look, bar(part))
                .with(Look::Plain, format!("  {:>6} wanted", share(part.weight_bp)))
                .with(Look::Faint, format!(" · {measured}")),
        );
    }
    lines
}

/// What is measured, full; what is wanted beyond it, half.
fn bar(part: &WireShare) -> String {
    let cells = |bp: u16| (usize::from(bp) * BAR).div_ceil(10_000).min(BAR);
    let wanted = cells(part.weight_bp);
    let full = part.measured_bp.map_or(0, cells).min(BAR);
    let half = wanted.saturating_sub(full);
    format!("{}{}{}", "█".repeat(full), "▒".repeat(half), "░".repeat(BAR - full - half))
}

fn evidence(r: &WireRollout) -> Vec<Line> {
    if r.judgements.is_empty() {
        return Vec::new();
    }
    let width = r.judgements.iter().map(|j| j.name().chars().count()).max().unwrap_or(0);
    let mut lines = vec![Line::new(), Line::new().with(Look::Faint, "  evidence")];
    lines.extend(r.judgements.iter().map(|j| judgement(j, width)));
    lines
}

fn judgement(j: &WireJudgement, width: usize) -> Line {
    let (look, mark, word) = match j.verdict.as_str() {
        "pass" => (Look::Good, "✓", "pass"),
        "fail" => (Look::Bad, "✗", "fail"),
        _ => (Look::Busy, "●", "not enough yet"),
    };
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    let line = Line::new()
        .with(look, format!("  {mark} "))
        .with(Look::Plain, format!("{:<width$}  ", j.name()))
        .with(look, format!("{word:<14}"))
        .with(
            Look::Plain,
            format!("  {} of {} bad, {} to {}", count(j.bad), count(j.n), percent(j.lower), percent(j.upper)),
        );
    match &j.stable {
        None => line,
        Some(s) => {
            let before = if s.before { " before" } else { "" };
            line.with(Look::Faint, format!("  · stable{before} {} of {}", count(s.bad), count(s.n)))
        }
    }
}

/// The time comes first: what is waited for may be longer than the line.
fn waiting(r: &WireRollout) -> Vec<Line> {
    let Some(waiting) = &r.waiting else { return Vec::new() };
    let yet =
        waiting.remaining_ms.map(|ms| format!(", {} yet at the most", time(ms / 1000 * 1000))).unwrap_or_default();
    let line = Line::new().with(Look::Strong, format!("  waiting{yet}: ")).with(Look::Plain, flat(&waiting.on));
    vec![Line::new(), line]
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    fn text(r: &WireRollout) -> String {
        picture(r).iter().map(|l| l.paint(120, false) + "\n").collect()
    }

    #[test]
    fn a_canary_on_its_way() {
        insta::assert_snapshot!(text(&examples::canary()));
    }

    #[test]
    fn a_canary_on_its_way_back() {
        insta::assert_snapshot!(text(&examples::rolled_back()));
    }

    #[test]
    fn one_that_waits_its_turn() {
        insta::assert_snapshot!(text(&examples::queued()));
    }
}
