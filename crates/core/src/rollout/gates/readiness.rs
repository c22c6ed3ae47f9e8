//! `readiness`: what a service that goes into an environment must have.

use super::Gate;
use crate::hook;
use crate::rollout::drilling;
use crate::rollout::lane::{Lane, Release};
use crate::rollout::observed::Observed;
use crate::spec::{Hook, Readiness};

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
            _ if spec.assumed => Gate::blocking(&name, "none is declared: one is assumed".to_string(), declare()),
            0 => Gate::blocking(&name, "it has none".to_string(), declare()),
            n => Gate::met(&name, format!("{n} declared")),
        },
        Readiness::Smoke => match spec.smoke.len() {
            0 => Gate::blocking(&name, "nothing is tested before the first user".to_string(), declare()),
            n => Gate::met(&name, format!("{n} tests before the first user")),
        },
        Readiness::Hooks => hooks(&name, lane, release, seen),
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

/// Whether everybody who is told or asked can be reached, as far as that was found out: by the last thing that a hook was
/// told, or, for one that is only asked, by the last question or ping.
fn hooks(name: &str, lane: &Lane, release: &Release, seen: &Observed) -> Gate {
    let asks = !release.spec.is_worker();
    let concerned = |hook: &Hook| !hook.on.is_empty() || asks && hook::only_asked(hook);
    let hooks: Vec<Hook> = hook::of_release(lane, release).into_iter().filter(concerned).collect();
    if hooks.is_empty() {
        return Gate::waived(name, "nobody is told of it or asked by hooks".to_string());
    }
    let can = |hook: &Hook| if hook::only_asked(hook) { "asked" } else { "told" };
    let silent = hooks.iter().find_map(|hook| Some((hook, seen.silent_hooks.get(&hook.name)?)));
    let Some((hook, why)) = silent else {
        let sentences: Vec<String> = hooks.iter().map(|hook| format!("{} can be {}", hook.name, can(hook))).collect();
        return Gate::met(name, sentences.join(", "));
    };
    let (service, environment) = (&lane.id.service, &lane.id.environment);
    let remedy = match hook::only_asked(hook) {
        true => format!(
            "mend its receiver, which gets a ping whenever this is looked at; see: slipway gates {service} --env {environment}"
        ),
        false => format!(
            "mend its receiver, which is tried again by itself; see: slipway hooks {service} --env {environment}"
        ),
    };
    Gate::blocking(name, format!("hook {} cannot be {}: {why}", hook.name, can(hook)), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixture;
    use crate::rollout::gates::Standing;

    #[test]
    fn an_objective_that_was_assumed_is_none_that_is_declared() {
        let file = |objectives: &str| {
            format!(
                "
service: shop
run: {{ command: [./shop, \"{{port}}\"] }}
health: {{ http: / }}
{objectives}
environments:
  production: {{ instances: 1, strategy: {{ blue-green: {{}} }} }}
"
            )
        };
        let standing = |objectives: &str| {
            let asked = fixture::asked(&file(objectives), 1);
            let lane = fixture::serving(&file(objectives));
            has(&lane, &asked.release, Readiness::Objectives, &Observed::default()).standing
        };
        assert_eq!(standing(""), Standing::Blocking);
        assert_eq!(standing("objectives: []"), Standing::Blocking);
        assert_eq!(standing("objectives: [{ name: errors, bad: failed, at_most: 1% }]"), Standing::Met);
    }
}
