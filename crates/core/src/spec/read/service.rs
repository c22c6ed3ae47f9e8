//! The file as a whole.

use super::super::config::Config;
use super::super::hooks::Hook;
use super::super::mistake::{Wrong, quoted};
use super::super::model::{Objective, ServiceSpec};
use super::super::policy::Readiness;
use super::super::reader::{Fields, Keys, Reader};
use super::config::{self, config};
use super::environment::{self, environments};
use super::health::{self, health};
use super::hooks::hooks;
use super::migrate::schema;
use super::mirror::mirror;
use super::objective::{self, objectives};
use super::probe::probe;
use super::run::{self, run};
use super::smoke::smoke;
use super::traffic::{self, traffic};
use super::worker;
use crate::names::ServiceName;

const KEYS: Keys = Keys {
    known: &[
        "service",
        "kind",
        "exclusive",
        "owner",
        "run",
        "config",
        "needs_schema",
        "migrate",
        "stateful",
        "one_version",
        "health",
        "smoke",
        "probe",
        "mirror",
        "traffic",
        "objectives",
        "hooks",
        "environments",
    ],
    later: &[
        "secrets",
        "flags",
        "watch",
        "gates",
        "cohorts",
        "drill",
        "require_drill",
        "outcomes",
        "notify",
        "target",
        "after",
    ],
};

/// The service that the file declares. `None` only where something was noted.
pub(in super::super) fn service(reader: &Reader) -> Option<ServiceSpec> {
    let fields = reader.fields(&KEYS, "start with service: checkout")?;
    let needs = [
        ("service", "the file does not say which service it declares", "service: checkout"),
        ("run", "there is nothing to run", run::EXAMPLE),
        ("health", "a service without a health check cannot be released", health::EXAMPLE),
        ("environments", "a service needs an environment to be released into", environment::EXAMPLE),
    ];
    let [name, run_section, health_section, environments_section] =
        needs.map(|(key, why, example)| fields.required(key, why, example));
    let name = name.and_then(|r| r.typed("a name", "for example checkout", service_name));
    let owner = fields.get("owner").and_then(|r| r.typed("a text", "for example payments-team", owner));
    let worker = worker::kind(&fields);
    let run = run_section.and_then(|r| run(r, worker.is_some()));
    let taken = run.as_ref().map(|run| run.env.clone()).unwrap_or_default();
    let config = fields.or("config", Config::default(), |r| config(r, &taken));
    let (needs_schema, migrate) = schema(&fields);
    let stateful = fields.get("stateful").and_then(Reader::only_true).is_some();
    let one_version = fields.get("one_version").and_then(Reader::only_true).is_some();
    let health = health_section.and_then(|r| health(r, worker.is_some()));
    let smoke = fields.or("smoke", Vec::new(), smoke);
    let probe = fields.get("probe").and_then(probe);
    let mirror = fields.get("mirror").and_then(mirror);
    let traffic = fields.or("traffic", traffic::defaults(), traffic);
    let (objectives, assumed) = declared_or_assumed(&fields, worker.is_some());
    let hooks = fields.or("hooks", Vec::new(), hooks);
    let environments = environments_section.and_then(|r| environments(r, worker));
    if let (Some(section), Some(run), Some(environments)) = (run_section, &run, &environments) {
        run::one_place(section, run, &config, environments, &smoke);
    }
    let own = environments.iter().flatten().flat_map(|e| &e.hooks);
    for (section, asks) in [(fields.get("hooks"), asks(&hooks)), (environments_section, asks(own))] {
        if let Some(section) = section.filter(|_| asks && worker.is_some()) {
            let wrong =
                Wrong::new("a hook is asked before users move, and a worker takes work as soon as it is started");
            section.mistake(wrong.hint("leave before out, or set gates.approvals"));
        }
    }
    if let (Some(section), Some(environments)) = (environments_section, &environments) {
        let declared = |what: Readiness| match what {
            Readiness::Owner => owner.is_some(),
            Readiness::Objectives => !assumed,
            Readiness::Smoke => !smoke.is_empty(),
            Readiness::Drill => worker.is_none_or(|worker| !worker.exclusive),
            // Those of an environment's file are not known here; where there are none, nobody has to answer.
            Readiness::Hooks => true,
        };
        config::fit_together(section, &config, environments);
        environment::can_hold(section, name.as_ref(), environments, declared);
        // One that is declared and wrong was noted already.
        let judged = !objectives.is_empty() || fields.get("objectives").is_some();
        worker::strategies(section, worker, judged, environments);
    }
    Some(ServiceSpec {
        service: name?,
        owner,
        worker,
        run: run?,
        config,
        needs_schema,
        migrate,
        stateful,
        one_version,
        health: health?,
        smoke,
        probe,
        mirror,
        traffic,
        objectives,
        assumed: assumed && worker.is_none(),
        hooks,
        environments: environments?,
    })
}

fn asks<'h>(hooks: impl IntoIterator<Item = &'h Hook>) -> bool {
    hooks.into_iter().any(|hook| hook.before.is_some())
}

fn service_name(text: &str) -> Result<ServiceName, Wrong> {
    ServiceName::new(text).map_err(|invalid| Wrong::new(format!("the service {} {}", quoted(text), invalid.why)))
}

fn owner(text: &str) -> Result<String, Wrong> {
    match text.trim().is_empty() || text.chars().any(char::is_control) || text.len() > 200 {
        true => Err(Wrong::new("must be one short line of text").hint("for example payments-team")),
        false => Ok(text.to_string()),
    }
}

/// Without an objective a release could be judged by nothing but its health, so one is assumed.
/// A worker has no requests to assume one of. Whether none was declared stands beside it.
fn declared_or_assumed(fields: &Fields, worker: bool) -> (Vec<Objective>, bool) {
    let declared = fields.get("objectives").map(|reader| (reader, objectives(reader, worker)));
    match &declared {
        Some((_, Some(list))) if !list.is_empty() => return (list.clone(), false),
        // What is wrong with it was noted already.
        Some((_, None)) => {}
        Some((reader, Some(_))) => reader.warn(assumed(worker)),
        None => fields.section().warn_of("objectives", assumed(worker)),
    }
    let objectives = if worker { Vec::new() } else { vec![objective::default()] };
    (objectives, !matches!(declared, Some((_, None))))
}

fn assumed(worker: bool) -> Wrong {
    if worker {
        return Wrong::new("no objective is declared, so a version is judged by its health and its exits alone")
            .hint("objectives: [{ name: jobs, bad: outcome job_failed, of: job_taken, at_most: 1% }]");
    }
    Wrong::new("no objective is declared, so one is assumed: at most 1% of the requests may fail")
        .hint("objectives: [{ name: errors, bad: failed, at_most: 1% }]")
}
