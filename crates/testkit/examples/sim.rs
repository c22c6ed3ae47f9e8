//! Plays seed after seed until `SIM_SECONDS` are over or `SIM_ROLLOUTS` have ended. `SIM_SEED` says where to begin.

use std::process::ExitCode;
use std::time::Instant;

use slipway_testkit::sim::simulate;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let Ok(number) = text.parse() else {
        eprintln!("{name}: `{text}` is not a whole number");
        std::process::exit(2);
    };
    Some(number)
}

fn main() -> ExitCode {
    let first = number("SIM_SEED").unwrap_or(0);
    let most = number("SIM_ROLLOUTS").unwrap_or(u64::MAX);
    let seconds = number("SIM_SECONDS").unwrap_or(if most == u64::MAX { 60 } else { u64::MAX });
    let (began, mut rollouts, mut failures, mut seed) = (Instant::now(), 0, 0, first);
    while rollouts < most && began.elapsed().as_secs() < seconds {
        let story = simulate(seed);
        rollouts += story.rollouts();
        if let Some(broken) = story.broken {
            failures += 1;
            println!("seed {seed} tick {}: {}: {}", story.ticks, broken.invariant, broken.sentence);
        }
        seed += 1;
    }
    let rate = rollouts as f64 / began.elapsed().as_secs_f64();
    println!(
        "sim seed={first} seeds={} rollouts={rollouts} rollouts_per_s={rate:.0} failures={failures}",
        seed - first
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
