//! What happened in a rollout and why, for a stranger.

use slipway_core::journal::Entry;
use slipway_core::units::Timestamp;
use slipway_server::wire::{Explanation, WireDecision, WireJudgement};

use super::table::columns;
use super::{count, flat, met, time};

/// A rollout told from its beginning.
pub(crate) fn explanation(e: &Explanation) -> String {
    let r = &e.rollout;
    let from = r.from.as_ref().map_or_else(|| "as its first release".to_string(), |f| format!("in the place of {f}"));
    let mut text = format!(
        "{}: {} wanted {} of {} in {}, {from}, by {}.\nIt began at {}.\nWay back: {}.\n\n",
        r.rollout,
        e.actor,
        r.version,
        r.service,
        r.environment,
        r.strategy,
        Timestamp(e.began_at),
        e.plan.way_back
    );
    text.push_str("Steps\n");
    let rows: Vec<Vec<String>> =
        r.steps.iter().map(|s| vec![format!("  {}", s.name), s.state.clone(), flat(&s.report)]).collect();
    text.push_str(&columns(&rows));
    if !e.plan.bounds.is_empty() {
        text.push_str("\nBounds\n");
        e.plan.bounds.iter().for_each(|bound| text.push_str(&format!("  {}\n", flat(bound))));
    }
    if !e.decisions.is_empty() {
        text.push_str("\nDecisions\n");
        e.decisions.iter().for_each(|d| text.push_str(&decision(d, e.began_at)));
    }
    if !e.beside.is_empty() {
        text.push_str("\nBeside\n");
        for entry in &e.beside {
            let when = match entry.at.checked_sub(e.began_at) {
                Some(after) => format!("after {}", time(after)),
                None => "before it began".to_string(),
            };
            text.push_str(&format!("  {when}: {}\n", flat(&entry.sentence)));
        }
    }
    text.push_str(&ending(e));
    text
}

fn decision(d: &WireDecision, began: u64) -> String {
    let who = if d.actor == "slipway" { String::new() } else { format!(" by {}", d.actor) };
    let mut text = format!(
        "  after {}, at {}: {}{who}\n    {}\n",
        time(d.at.saturating_sub(began)),
        d.step,
        d.what,
        flat(&d.sentence)
    );
    for judgement in d.judgements.iter().filter(|j| !d.sentence.contains(&j.sentence)) {
        text.push_str(&format!("    {}: {} ({})\n", judgement.name(), judgement.sentence, judgement.verdict));
    }
    d.judgements.iter().for_each(|j| text.push_str(&numbers(j)));
    text
}

fn numbers(j: &WireJudgement) -> String {
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    let stable = j.stable.as_ref().map_or_else(String::new, |s| {
        let when = if s.before { " before" } else { "" };
        format!("; stable{when} {} of {}, {} to {}", count(s.bad), count(s.n), percent(s.lower), percent(s.upper))
    });
    format!(
        "      {} {}: candidate {} of {} bad, {} to {}{stable}\n",
        j.name(),
        j.verdict,
        count(j.bad),
        count(j.n),
        percent(j.lower),
        percent(j.upper)
    )
}

fn ending(e: &Explanation) -> String {
    let r = &e.rollout;
    let mut text = String::from("\n");
    match (&r.outcome, &r.waiting) {
        (Some(outcome), _) => {
            text.push_str(&format!(
                "Outcome: {}. {}\n",
                outcome.replace('_', " "),
                flat(r.cause.as_deref().unwrap_or_default())
            ));
        }
        (None, Some(waiting)) => text.push_str(&format!("It is {}; it waits for {}\n", r.state, waiting.on)),
        (None, None) => text.push_str(&format!("It is {}.\n", r.state)),
    }
    let back = r.rollback_ms.map_or_else(|| "not rolled back".to_string(), |ms| format!("rolled back in {}", time(ms)));
    text.push_str(&format!("Deploying took {} of acting, {back}. {}.\n", time(r.deploy_ms), met(r)));
    if let Some(p) = &r.probes {
        text.push_str(&format!(
            "Probes (synthetic, no part of these requests): {} to {}, {} failed; {} to {}, {} failed.\n",
            count(p.candidate),
            r.version,
            count(p.candidate_failed),
            count(p.stable),
            r.from.as_deref().unwrap_or("stable"),
            count(p.stable_failed)
        ));
    }
    text
}

/// An entry of the journal in one line.
pub(crate) fn entry(entry: &Entry) -> String {
    let fact = &entry.fact;
    let lane = fact.lane.as_ref().map(|l| format!("{}/{}", l.service, l.environment)).unwrap_or_default();
    let rollout = fact.rollout.as_ref().map(|r| r.to_string()).unwrap_or_default();
    format!(
        "{:>6}  {}  {:<22} {:<24} {:<7} {}: {}",
        entry.seq,
        entry.at,
        fact.kind,
        lane,
        rollout,
        fact.actor,
        flat(&fact.cause)
    )
}
