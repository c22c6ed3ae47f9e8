//! `readiness`: what a service that goes into an environment must have.

use super::Gate;
use crate::hook;
use crate::rollout::drilling;
use crate::rollout::lane::{Lane, Release};
use crate::rollout::observed::Observed;
use crate::spec::Readiness;

/// Whether the release has it.
pub(super) fn has(lane: &Lane, release: &Release, what: Readiness, seen: &Observed) -> Gate {
    let name = format!("readiness: {}", what.name());
    let spec = &release.spec;
    let declare = || format!("declare {} in slipway.yaml", what.name());
    match what {
        Readiness::Owner => match &spec.owner {
            Some(owner) => Gate::met(&name, format!("{owner} answers for it")),
            None => Gate::blocking(&name, "nobody answers for it".to_string(), declare()),
        },
        Readiness::Objectives => match spec.objectives.len() {
            0 => Gate::blocking(&name, "it has none".to_string(), declare()),
            n => Gate::met(&name, format!("{n} declared")),
        },
        Readiness::Smoke => match spec.smoke.len() {
            0 => Gate::blocking(&name, "nothing is tested before the first user".to_string(), declare()),
            n => Gate::met(&name, format!("{n} tests before the first user")),
        },
        Readiness::Hooks => {
            let told: Vec<_> = hook::of_release(lane, release).into_iter().filter(|hook| !hook.on.is_empty()).collect();
            let silent = told.iter().find_map(|hook| Some((&hook.name, seen.silent_hooks.get(&hook.name)?)));
            match silent {
                _ if told.is_empty() => Gate::waived(&name, "nobody is told of it by hooks".to_string()),
                None => {
                    let names: Vec<&str> = told.iter().map(|hook| hook.name.as_str()).collect();
                    Gate::met(&name, format!("{} can be told", names.join(", ")))
                }
                Some((hook, why)) => {
                    let lane = &lane.id;
                    let look = format!("slipway hooks {} --env {}", lane.service, lane.environment);
                    let remedy = format!("mend its receiver, which is tried again by itself; see: {look}");
                    Gate::blocking(&name, format!("hook {hook} cannot be told: {why}"), remedy)
                }
            }
        }
        Readiness::Drill => {
            if let Err(refusal) = drilling::way_back(lane, seen)
                && refusal.code == "nothing_to_drill"
            {
                return Gate::waived(&name, refusal.reason);
            }
            let remedy = format!("run: slipway drill {} --env {}", lane.id.service, lane.id.environment);
            match &lane.drilled {
                Some(last) if last.passed => Gate::met(&name, format!("{} passed", last.rollout)),
                Some(last) => {
                    Gate::blocking(&name, format!("the last drill ({}) failed: {}", last.rollout, last.cause), remedy)
                }
                None => Gate::blocking(&name, "the way back was never practised here".to_string(), remedy),
            }
        }
    }
}
