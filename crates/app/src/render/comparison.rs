//! Strategies side by side, as text.

use slipway_server::wire::{WireComparison, WireWay};

use super::table::columns;
use super::{count, share, time};

/// How wide a line of prose may be.
const WIDTH: usize = 100;

/// A column for each strategy, then what stands against each, then the advice.
pub(crate) fn comparison(c: &WireComparison) -> String {
    let rate =
        c.requests_per_second.map_or_else(|| "no traffic seen".to_string(), |r| format!("{} requests/s", rate(r)));
    let instances = if c.instances == 1 { "1 instance".to_string() } else { format!("{} instances", c.instances) };
    let mut text = format!("{} {} in {}: {instances}, {rate}\n\n", c.service, c.version, c.environment);
    let row = |name: &str, cell: &dyn Fn(&WireWay) -> String| -> Vec<String> {
        std::iter::once(name.to_string()).chain(c.strategies.iter().map(cell)).collect()
    };
    let rows = [
        row("", &|w| if w.strategy == c.declared { format!("{} (declared)", w.strategy) } else { w.strategy.clone() }),
        row("fits", &|w| if w.fits { "yes" } else { "no" }.to_string()),
        row("takes at best", &|w| time(w.best_ms)),
        row("takes at worst", &|w| time(w.worst_ms)),
        row("takes today", &|w| w.today_ms.map_or_else(|| "?".to_string(), time)),
        row("first exposed", &|w| share(w.exposed_bp)),
        row("extra instances", &|w| w.extra_instances.to_string()),
        row("fail if it is bad*", &|w| w.harm.as_ref().map_or_else(|| "?".to_string(), |h| count(h.failed))),
        row("noticed and back", &|w| match &w.harm {
            None => "?".to_string(),
            Some(harm) => harm.after_ms.map_or_else(|| "not noticed".to_string(), |ms| format!("after {}", time(ms))),
        }),
        row("back, first step", &|w| {
            w.back.as_ref().map_or_else(|| "no way back".into(), |b| back(b.first_ms, &b.basis))
        }),
        row("back, last step", &|w| {
            w.back.as_ref().map_or_else(|| "no way back".into(), |b| back(b.last_ms, &b.basis))
        }),
        row("back, last time", &|w| {
            w.back.as_ref().and_then(|b| b.measured_ms).map_or_else(|| "never".to_string(), time)
        }),
    ];
    text.push_str(&columns(&rows));
    text.push_str("* requests, of a worker jobs, that fail if one in ten of the version's does\n");
    for way in &c.strategies {
        text.push_str(&format!("\n{}\n", way.strategy));
        text.push_str(&wrapped(&format!("going back: {}", way.rollback), "  "));
        way.misfits.iter().for_each(|why| text.push_str(&wrapped(&format!("does not fit: {why}"), "  ")));
        way.cautions.iter().for_each(|what| text.push_str(&wrapped(&format!("mind: {what}"), "  ")));
    }
    let advice = c.advice.as_deref().unwrap_or("none of them");
    text.push_str(&format!("\nadvice: {advice}\n"));
    text.push_str(&wrapped(&c.why, "  "));
    text
}

/// How long going back takes, and how that is known.
fn back(ms: u64, basis: &str) -> String {
    match basis {
        "measured" => time(ms),
        "at_most" => format!("up to {}", time(ms)),
        _ => format!("about {}", time(ms)),
    }
}

fn rate(rate: f64) -> String {
    if rate >= 10.0 { count(rate.round() as u64) } else { format!("{rate:.2}") }
}

/// Prose in lines of bounded width, each after `indent`, which is doubled after the first.
fn wrapped(prose: &str, indent: &str) -> String {
    let mut text = String::new();
    let mut line = indent.to_string();
    for word in prose.split_whitespace() {
        if line.trim().is_empty() || line.chars().count() + 1 + word.chars().count() <= WIDTH {
            if !line.trim().is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            text.push_str(&line);
            text.push('\n');
            line = format!("{indent}{indent}{word}");
        }
    }
    text.push_str(&line);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use slipway_core::names::{Digest, LaneId};
    use slipway_core::rollout::choice::compare;
    use slipway_core::rollout::{Lane, Lately, Release, Today};
    use slipway_core::spec;
    use slipway_core::units::Millis;

    use super::*;

    /// Plenty of traffic and strict objectives.
    const PAYMENTS: &str = r#"
service: payments
run: { command: ["./payments", "--port", "{port}"] }
health: { http: /healthz }
smoke:
  - { name: a card is charged, http: { method: POST, path: /charge, expect: { status: 200 } } }
  - { name: a charge is refunded, http: { method: POST, path: /refund, expect: { status: 200 } } }
traffic: { host: payments.example, sticky: { header: x-customer } }
objectives:
  - { name: errors, bad: failed, at_most: 0.5%, tolerate: 0.2% }
  - { name: latency, bad: slower_than 300ms, at_most: 5% }
environments: { production: { instances: 12, strategy: canary } }
"#;

    /// One instance, a handful of people, a file as its database.
    const ADMIN: &str = r#"
service: back-office
run: { command: ["./back-office", "--port", "{port}"] }
health: { http: /healthz }
smoke:
  - { name: somebody can sign in, http: { method: POST, path: /login, expect: { status: 200 } } }
traffic: { host: admin.example }
objectives: [{ name: errors, bad: failed, at_most: 1% }]
environments: { production: { instances: 1, strategy: canary } }
"#;

    /// Takes jobs from a queue, and says which of them failed.
    const MAILER: &str = r#"
service: mailer
kind: worker
run: { command: ["./mailer"], stop_grace: 1m }
health: { running_for: 5s }
objectives: [{ name: mails, bad: outcome mail_failed, of: mail_sent, at_most: 1% }]
environments: { production: { instances: 6 } }
"#;

    /// The same for one at a time.
    const LEDGER: &str = r#"
service: ledger-close
kind: worker
exclusive: true
run: { command: ["./ledger-close"], stop_grace: 2m }
health: { running_for: 5s }
objectives: [{ name: bookings, bad: outcome booking_failed, of: booking_done, at_most: 0.1% }]
environments: { production: { instances: 1 } }
"#;

    fn compared(file: &str, known: Today) -> String {
        let spec = spec::parse(file).unwrap_or_else(|m| panic!("{m:?}")).spec;
        let release = |version: &str| Release {
            version: version.parse().unwrap(),
            artifact: Digest::of(version.as_bytes()),
            config: spec::config_digest(&spec),
            spec: spec.clone(),
        };
        let id = LaneId { service: spec.service.clone(), environment: "production".parse().unwrap() };
        let lane = Lane { stable: Some(release("1.0.0")), ..Lane::new(id) };
        let next = release("1.1.0");
        let declared = next.environment(&lane.id).unwrap().strategy.clone();
        let names = (spec.service.to_string(), "production".to_string(), "1.1.0".to_string());
        let comparison = compare(&lane, &next, &declared, &known);
        super::comparison(&WireComparison::new(names, next.instances(&lane.id), known.rate, comparison))
    }

    /// Rewritten by `UPDATE_GOLDEN=1 cargo test -p slipway`.
    #[test]
    fn unlike_services_get_the_advice_of_somebody_seasoned() {
        let (seconds, never) = (|s| Some(Millis::from_secs(s)), Lately::default());
        let drilled = Lately { start: seconds(6), rollback: Some(Millis(11)), kept: Some(Millis(11)), ..never };
        let taken_back = Lately { start: seconds(7), rollback: seconds(19), replaced: seconds(19), ..never };
        let of = |lately: Lately| Today { lately, ..Today::default() };
        let told_of = |name: &str, rate: f64| Today { counted: [(name.to_string(), rate)].into(), ..of(never) };
        let bad_shares = ["errors", "latency"].map(|objective| (objective.to_string(), 0.0005)).into();
        let told = [
            ("a payment API", compared(PAYMENTS, Today { rate: Some(400.0), bad_shares, ..of(drilled) })),
            ("an admin tool with one instance", compared(ADMIN, Today { rate: Some(0.05), ..of(never) })),
            ("a queue worker", compared(MAILER, told_of("mails", 20.0))),
            ("the same, with a mail now and then", compared(MAILER, told_of("mails", 0.02))),
            ("the same, of which nobody reports anything", compared(MAILER, of(never))),
            ("a queue worker of which no two versions may meet", compared(LEDGER, of(taken_back))),
        ];
        let told: Vec<String> = told.iter().map(|(title, text)| format!("== {title}\n\n{text}")).collect();
        let told = told.join("\n");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/render/comparison.golden.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &told).unwrap();
        }
        assert_eq!(told, std::fs::read_to_string(&golden).unwrap_or_default(), "UPDATE_GOLDEN=1 rewrites it");
        assert!(told.lines().all(|line| line.chars().count() <= WIDTH), "lines are at most {WIDTH} wide");
    }
}
