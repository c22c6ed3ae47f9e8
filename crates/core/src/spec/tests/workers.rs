//! Workers in the declared file: what they may say, what holds where they say nothing, and what makes no sense.

use super::mistakes::said;
use super::{parse, spec};
use crate::spec::{Amount, Bad, HealthProbe, StopSignal, StrategyKind, Worker};
use crate::units::{Millis, Weight};

const HEAD: &str = "service: mailer\nkind: worker\nrun: { command: [./mailer] }\n";
const JOBS: &str = "objectives: [{ name: jobs, bad: outcome job_failed, of: job_taken, at_most: 2% }]\n";

fn file(rest: &str) -> String {
    format!("{HEAD}{rest}")
}

#[test]
fn a_worker_has_defaults_of_its_own() {
    let text = file("health: { running_for: 5s }\nenvironments: { production: { instances: 3 }, staging: }\n");
    let declared = parse(&text).unwrap();
    let spec = declared.spec;
    assert_eq!(spec.worker, Some(Worker { exclusive: false }));
    assert_eq!((spec.run.stop_grace, spec.run.stop_signal), (Millis::from_secs(30), StopSignal::Term));
    assert_eq!(spec.health.probe, HealthProbe::Running(Millis::from_secs(5)));
    assert!(spec.objectives.is_empty());
    for environment in &spec.environments {
        assert_eq!(environment.strategy.kind.name(), "rolling");
        assert_eq!(environment.strategy.standby, Millis(0), "a standby would take jobs");
    }
    let warnings: Vec<&str> = declared.warnings.iter().map(|w| w.message.as_str()).collect();
    let only = "no objective is declared, so a version is judged by its health and its exits alone";
    assert_eq!(warnings, [only], "no port is missing, and no errors are assumed");
}

#[test]
fn a_worker_says_how_it_is_stopped_asked_and_judged() {
    let text = "service: mailer\nkind: worker\nexclusive: true\n\
                run: { command: [./mailer], stop_grace: 10m, stop_signal: SIGINT }\n\
                health: { command: [./healthy.sh, \"{port}\"], timeout: 5s }\n\
                environments: { production: { strategy: { replace: { verify: 30s } } } }\n";
    let spec = spec(&format!("{text}{JOBS}"));
    assert!(spec.is_exclusive());
    assert_eq!((spec.run.stop_grace, spec.run.stop_signal), (Millis::from_secs(600), StopSignal::Int));
    assert!(matches!(&spec.health.probe, HealthProbe::Command(words) if words.len() == 2));
    assert!(matches!(spec.objectives[0].bad, Bad::Outcome { of: Some(_), .. }));
    assert_eq!(spec.environments[0].strategy.kind, StrategyKind::Replace);
}

#[test]
fn steps_count_instances() {
    let canary = |steps: &str, instances: u32| {
        let environment = format!("{{ instances: {instances}, strategy: {{ canary: {{ steps: {steps} }} }} }}");
        let text = file(&format!("{JOBS}health: {{ tcp: true }}\nenvironments: {{ production: {environment} }}\n"));
        match spec(&text).environments[0].strategy.kind.clone() {
            StrategyKind::Canary { steps, .. } => steps,
            other => panic!("{other:?}"),
        }
    };
    for instances in [2, 3, 6, 7, 9, 11, 999, 1000] {
        for n in 1..instances {
            let steps = canary(&format!("[{n}, 100%]"), instances);
            assert_eq!(Amount::Percent(steps[0]).of(instances), n, "{n} of {instances}");
        }
    }
    assert_eq!(canary("[1, 4]", 4), [2_500, 10_000].map(|bp| Weight::from_bp(bp).unwrap()));
    assert_eq!(canary("[25%, 2, 100%]", 4), [2_500, 5_000, 10_000].map(|bp| Weight::from_bp(bp).unwrap()));
}

#[test]
fn what_makes_no_sense_for_a_worker() {
    let worker = |rest: &str| said(&file(rest));
    let fine = "health: { running_for: 5s }\nenvironments: { production: }\n";
    for (rest, expected) in [
        (
            "traffic: { host: a.b }\n",
            "4:10: traffic: a worker has no traffic (leave it out, or leave kind: worker out)",
        ),
        (
            "objectives: [{ name: errors, bad: failed, at_most: 1% }]\n",
            "4:35: objectives[0].bad: a worker has no requests that could be counted \
             (bad: outcome job_failed, with of: job_taken)",
        ),
        (
            "objectives: [{ name: jobs, bad: outcome job_failed, at_most: 1% }]\n",
            "4:33: objectives[0].bad: a worker has no requests to be all events: say among what (for example of: job_taken)",
        ),
        ("exclusive: maybe\n", "4:12: exclusive: expected true or false, got \"maybe\""),
    ] {
        assert_eq!(worker(&format!("{rest}{fine}")), expected);
    }
    for (environment, expected) in [
        (
            "strategy: blue-green",
            "5:41: environments.production.strategy: blue-green switches requests, and a worker has none: both sets \
             would take jobs at once (use rolling, canary or replace)",
        ),
        (
            "strategy: { rolling: { standby: 1h } }",
            "5:63: environments.production.strategy.rolling.standby: a worker keeps no standby: it would go on taking \
             jobs (leave it out; going back starts the predecessor again)",
        ),
        (
            "strategy: canary",
            "5:41: environments.production.strategy: a canary of a worker is judged by reported outcomes, and no \
             objective is declared (declare one, or use rolling)",
        ),
        (
            "traffic: { path: /a }",
            "5:40: environments.production.traffic: a worker has no traffic (leave it out, or leave kind: worker out)",
        ),
        (
            "strategy: replace, require_drill: 30d",
            "5:65: environments.production.require_drill: a drill of what is replaced as a whole would leave its jobs \
             to nobody, twice (leave it out; going back is the same steps as a release)",
        ),
    ] {
        let text = format!("health: {{ running_for: 5s }}\nenvironments: {{ production: {{ {environment} }} }}\n");
        assert_eq!(worker(&text), expected);
    }
}

#[test]
fn what_only_workers_may_say() {
    let http = |rest: &str| said(&format!("service: shop\nrun: {{ command: [./shop, \"{{port}}\"] }}\n{rest}"));
    let lines = [
        (
            "health: { running_for: 5s }\nenvironments: { production: }\n",
            "3:24: health.running_for: says nothing of whether the service answers: it is for workers \
             (ask with http, tcp or command, or declare kind: worker)",
        ),
        (
            "exclusive: true\nhealth: { tcp: true }\nenvironments: { production: }\n",
            "3:12: exclusive: a service with requests cannot be exclusive: they would find nobody meanwhile \
             (declare kind: worker, or leave it out)",
        ),
        (
            "health: { tcp: true }\nenvironments: { production: { strategy: replace } }\n",
            "4:41: environments.production.strategy: replace stops a version before the next one starts, and requests \
             would find nobody (use rolling)",
        ),
        (
            "kind: wroker\nhealth: { tcp: true }\nenvironments: { production: }\n",
            "3:7: kind: there is no kind of service \"wroker\" (did you mean worker?)",
        ),
    ];
    for (rest, expected) in lines {
        assert_eq!(http(rest), expected);
    }
    assert_eq!(
        said(&file("health: { running_for: 1m }\nenvironments: { production: }\n")),
        "4:24: health.running_for: 1m is not below start_limit, 1m: it would be given up before (write less, or \
         declare a longer start_limit)"
    );
    let exclusive = format!(
        "{HEAD}exclusive: true\nhealth: {{ running_for: 5s }}\nenvironments: {{ production: {{ strategy: rolling }} }}\n"
    );
    assert_eq!(
        said(&exclusive),
        "6:41: environments.production.strategy: an exclusive worker never runs two versions at once, and this \
         strategy does (use replace)"
    );
    let stop = HEAD.replace("[./mailer]", "[./mailer], stop_signal: SIGKILL");
    assert_eq!(
        said(&format!("{stop}health: {{ running_for: 5s }}\nenvironments: {{ production: }}\n")),
        "3:42: run.stop_signal: \"SIGKILL\" is no signal that asks a program to end (SIGTERM, SIGINT, SIGQUIT, SIGHUP, \
         SIGUSR1, SIGUSR2)"
    );
}
