//! Every state of small rollouts, for `EXPLORE_SECONDS` each (60), or up to `EXPLORE_STATES`; with `EXPLORE_FAULTS` (1) in
//! each rollout; `EXPLORE_PROMPT=1` for the small world that comes to an end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use slipway_testkit::explore::{Bounds, explore};

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let Ok(number) = text.parse() else {
        eprintln!("{name}: `{text}` is not a whole number");
        std::process::exit(2);
    };
    Some(number)
}

fn main() -> ExitCode {
    let states = number("EXPLORE_STATES").and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let time = Duration::from_secs(number("EXPLORE_SECONDS").unwrap_or(60));
    let faults = number("EXPLORE_FAULTS").and_then(|n| u8::try_from(n).ok()).unwrap_or(1);
    let prompt = number("EXPLORE_PROMPT").is_some_and(|n| n > 0);
    let kinds = [
        ("first", Bounds { first: true, ..Bounds::canary() }),
        ("canary", Bounds::canary()),
        ("blue-green", Bounds::blue_green()),
        ("rolling", if prompt { Bounds { instances: 1, ..Bounds::rolling() } } else { Bounds::rolling() }),
    ];
    let mut failures = 0;
    for (name, bounds) in kinds {
        let began = Instant::now();
        let found = explore(&Bounds { states, time, faults, prompt, ..bounds });
        if let Some((broken, way)) = &found.broken {
            failures += 1;
            println!("{name}: {}: {} after {way:?}", broken.invariant, broken.sentence);
        }
        println!(
            "explored kind={name} prompt={prompt} faults={faults} states={} steps={} depth={} whole={} seconds={:.0} failures={}",
            found.states,
            found.steps,
            found.depth,
            found.whole,
            began.elapsed().as_secs_f64(),
            usize::from(found.broken.is_some())
        );
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
