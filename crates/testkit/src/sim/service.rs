//! What the service of a seed is: one with requests or a worker, by which strategy it is released, with a hook that is asked, a
//! schema that is brought along, or cohorts that go first.

use slipway_core::spec::{self, ServiceSpec};

use crate::Random;

/// Cohorts, where there are any.
pub(super) const COHORTS: [&str; 2] = ["staff", "beta"];

const CANARY: &str = "canary: { steps: [10%, 50%, 100%], step_limit: 30s, verify: 5s, standby: 20s }";
const STRATEGIES: [&str; 3] = [CANARY, "blue-green: { verify: 5s, standby: 20s }", "rolling: { batch: 1, verify: 5s }"];
const WORKERS: [&str; 2] =
    ["canary: { steps: [1, 2, 100%], step_limit: 30s, verify: 5s }", "rolling: { batch: 1, verify: 5s }"];
const SCHEMA: &str = "needs_schema: 1\nmigrate: { expand: [up], revert: [down], contract: [end], timeout: 5s }\n";

/// The declared file of a seed.
pub(super) fn declared(random: &mut Random) -> ServiceSpec {
    let file = match random.below(4) {
        0 => worker(random),
        _ => with_requests(random),
    };
    spec::parse(&file).unwrap_or_else(|m| panic!("the file has mistakes: {m:?}\n{file}")).spec
}

fn with_requests(random: &mut Random) -> String {
    let strategy = STRATEGIES[random.below(3) as usize];
    let cohorts = match strategy == CANARY && random.chance(0.5) {
        true => {
            let [staff, beta] = COHORTS;
            format!(", cohorts: [{{ name: {staff}, header: \"X-Staff: 1\" }}, {{ name: {beta}, cookie: beta=1 }}]")
        }
        false => String::new(),
    };
    let hooks = match random.below(4) {
        0 => {
            let silence = ["hold", "go", "stop"][random.below(3) as usize];
            format!(", hooks: [{{ name: board, before: step, on_silence: {silence}, timeout: 5s, command: [board] }}]")
        }
        _ => String::new(),
    };
    let schema = if random.below(4) == 0 { SCHEMA } else { "" };
    format!(
        "service: shop\nowner: shop-team\nrun:\n  command: [\"./shop\"]\n{schema}health: {{ http: /healthz }}\nsmoke:\n  - name: up\n    http: {{ path: /, expect: {{ status: 200 }} }}\nobjectives:\n  - {{ name: errors, bad: failed, at_most: 5%, tolerate: 2% }}\nenvironments:\n  production: {{ instances: 3, strategy: {{ {strategy} }}{cohorts}{hooks} }}\n"
    )
}

/// A worker; one in three has to run alone.
fn worker(random: &mut Random) -> String {
    let alone = random.below(3) == 0;
    let (strategy, exclusive) = match alone {
        true => ("replace: { verify: 5s }", "exclusive: true\n"),
        false => (WORKERS[random.below(2) as usize], ""),
    };
    let schema = if random.below(4) == 0 { SCHEMA } else { "" };
    format!(
        "service: courier\nkind: worker\n{exclusive}run:\n  command: [\"./courier\"]\n{schema}health: {{ running_for: 1s }}\nsmoke:\n  - {{ name: up, command: [\"./look\"] }}\nobjectives:\n  - {{ name: parcels, bad: outcome lost, of: taken, at_most: 5%, tolerate: 2% }}\nenvironments:\n  production: {{ instances: 3, strategy: {{ {strategy} }} }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_have_services_of_every_kind() {
        let all: Vec<ServiceSpec> = (0..200).map(|seed| declared(&mut Random::new(seed))).collect();
        let some = |is: fn(&ServiceSpec) -> bool| all.iter().filter(|spec| is(spec)).count() >= 5;
        assert!(some(|s| s.is_worker() && !s.is_exclusive()) && some(|s| s.is_exclusive()));
        assert!(some(|s| !s.environments[0].cohorts.is_empty()) && some(|s| s.migrate.is_some()));
    }
}
