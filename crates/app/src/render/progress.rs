//! A rollout on its way as lines, one for each step as it ends; and how it ended, with what to do next.

use slipway_server::wire::WireRollout;

use super::{flat, mark, met, time};

/// States that are worth a line of their own.
const TOLD_STATES: [&str; 4] = ["queued", "paused", "held", "undoing"];

/// A line for each step that ends, and for each state that stands out.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    told: Vec<String>,
    state: String,
}

impl Lines {
    /// Prints what is new.
    pub fn show(&mut self, rollout: &WireRollout) {
        self.new_lines(rollout).iter().for_each(|line| outln!("{line}"));
    }

    fn new_lines(&mut self, r: &WireRollout) -> Vec<String> {
        let mut lines = Vec::new();
        if self.state.is_empty() {
            lines.push(format!("{}: {} {} to {} by {}", r.rollout, r.service, r.version, r.environment, r.strategy));
        }
        if self.state != r.state && TOLD_STATES.contains(&r.state.as_str()) {
            let why = r.cause.clone().or(r.waiting.as_ref().map(|w| w.on.clone())).unwrap_or_default();
            lines.push(format!("  {}: {}", r.state, flat(&why)));
        }
        self.state.clone_from(&r.state);
        self.told.resize(r.steps.len(), String::new());
        for (told, step) in self.told.iter_mut().zip(&r.steps) {
            if *told != step.state && ["done", "failed"].contains(&step.state.as_str()) {
                lines.push(format!("  {} {:<12} {}", mark(step), step.name, flat(&step.report)));
            }
            told.clone_from(&step.state);
        }
        lines
    }
}

/// How it ended, and what to do next.
pub(crate) fn conclusion(r: &WireRollout) -> String {
    let outcome = r.outcome.as_deref().unwrap_or(&r.state).replace('_', " ");
    let cause = r.cause.as_ref().map(|c| format!(": {}", flat(c))).unwrap_or_default();
    let back = r.rollback_ms.map(|ms| format!(", rolled back in {}", time(ms))).unwrap_or_default();
    let mut text = format!("{} {outcome}{cause}\n  deployed in {}{back}; {}", r.rollout, time(r.deploy_ms), met(r));
    if r.outcome.as_deref() == Some("held") {
        let lane = format!("{} --env {}", r.service, r.environment);
        text.push_str("\n  it needs a person; one of\n");
        if r.unsettled {
            text.push_str(&format!("    slipway migration {lane} --settle applied       it did its work\n"));
            text.push_str(&format!("    slipway migration {lane} --settle not-applied   it did not\n"));
        } else {
            text.push_str(&format!("    slipway promote {lane}   let the step pass, in your name\n"));
            text.push_str(&format!("    slipway resume {lane}    judge the step afresh\n"));
        }
        text.push_str(&format!("    slipway abort {lane}     take it back"));
    }
    text.push_str(&format!("\n  why: slipway explain {}", r.rollout));
    text
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    #[test]
    fn each_step_is_told_once_when_it_ends() {
        let mut lines = Lines::default();
        let told: Vec<Vec<String>> =
            [examples::queued(), examples::canary(), examples::canary(), examples::rolled_back()]
                .iter()
                .map(|r| lines.new_lines(r))
                .collect();
        insta::assert_debug_snapshot!(told);
    }

    #[test]
    fn the_end_says_what_it_cost_and_what_to_do_next() {
        let ends = [examples::rolled_back(), examples::held()].map(|r| conclusion(&r));
        insta::assert_snapshot!(ends.join("\n\n"));
    }
}
