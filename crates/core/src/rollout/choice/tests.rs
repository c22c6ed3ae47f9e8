//! What stands against each strategy, and what is only to be minded: every sentence that there is, and when it is said.

use super::super::estimate::Today;
use super::super::schema::Schema;
use super::*;
use crate::names::{Digest, LaneId};
use crate::spec;

/// A service with `head` of its own and so many instances.
fn service(head: &str, instances: u32) -> String {
    format!(
        "service: shop\n{head}run: {{ command: [./shop, \"{{port}}\"] }}\nhealth: {{ http: / }}\n\
         objectives: [{{ name: errors, bad: failed, at_most: 1% }}]\n\
         environments: {{ production: {{ instances: {instances}, strategy: canary }} }}\n"
    )
}

/// A worker that says of each job what became of it.
fn worker(head: &str, instances: u32) -> String {
    format!(
        "service: mailer\nkind: worker\n{head}run: {{ command: [./mailer] }}\nhealth: {{ running_for: 1s }}\n\
         objectives: [{{ name: mails, bad: outcome mail_failed, of: mail_sent, at_most: 1% }}]\n\
         environments: {{ production: {{ instances: {instances} }} }}\n"
    )
}

fn release(file: &str, version: &str) -> Release {
    let spec = spec::parse(file).unwrap_or_else(|m| panic!("{m:?}")).spec;
    let (version, config) = (version.parse().unwrap(), spec::config_digest(&spec));
    Release { version, artifact: Digest::of(file.as_bytes()), config, spec }
}

/// 2 by `next` where 1 serves by `file`.
fn compared(file: &str, next: &str, schema: Schema, today: &Today) -> Comparison {
    let (stable, next) = (release(file, "1"), release(next, "2"));
    let id = LaneId { service: stable.spec.service.clone(), environment: "production".parse().unwrap() };
    let lane = Lane { stable: Some(stable), schema, ..Lane::new(id) };
    let declared = next.environment(&lane.id).unwrap().strategy.clone();
    compare(&lane, &next, &declared, today)
}

fn way<'a>(all: &'a Comparison, name: &str) -> &'a Way {
    all.ways.iter().find(|way| way.strategy == name).unwrap_or_else(|| panic!("{name}: {all:#?}"))
}

fn busy() -> Today {
    Today { rate: Some(400.0), counted: [("mails".to_string(), 20.0)].into(), ..Today::default() }
}

#[test]
fn every_misfit_is_said_where_it_holds_and_nowhere_else() {
    let (plain, worker_of) = (service("", 4), worker("", 4));
    let (stateful, one_version) = (service("stateful: true\n", 4), service("one_version: true\n", 4));
    let (single, exclusive) = (service("", 1), worker("exclusive: true\n", 1));
    let quiet = |rate| Today { rate: Some(rate), ..Today::default() };
    let told = |rate: f64| Today { counted: [("mails".to_string(), rate)].into(), ..Today::default() };
    let silent = Today { looked: Some(Millis::from_secs(60)), ..Today::default() };
    let gone = Schema { at: Some(3), since: Some(3), ..Schema::default() };
    let unsaid = "does not say which schema it needs";
    // What is released, the strategy, what is known: what stands against it, or nothing.
    let cases: [(&str, &str, Today, Schema, &str); 25] = [
        (&plain, "canary", busy(), Schema::default(), ""),
        (&plain, "blue-green", busy(), Schema::default(), ""),
        (&plain, "rolling", busy(), Schema::default(), ""),
        (&stateful, "canary", busy(), Schema::default(), "users of the new instances would lose what those keep"),
        (&stateful, "blue-green", busy(), Schema::default(), "a second set of instances would begin without what"),
        (&stateful, "rolling", busy(), Schema::default(), ""),
        (&one_version, "canary", busy(), Schema::default(), "a canary serves two side by side"),
        (&one_version, "blue-green", busy(), Schema::default(), ""),
        (&one_version, "rolling", busy(), Schema::default(), "batches serve beside the instances that are not yet"),
        (&single, "canary", busy(), Schema::default(), ""),
        (&single, "rolling", busy(), Schema::default(), "its only batch is everybody at once"),
        (&plain, "canary", Today::default(), Schema::default(), "no traffic has been seen that a verdict could rest"),
        (&plain, "canary", quiet(0.0), Schema::default(), "no traffic has been seen that a verdict could rest on"),
        (&plain, "canary", quiet(0.1), Schema::default(), "would get no verdict within 10m; a step_limit of"),
        (&plain, "canary", quiet(0.01), Schema::default(), "would get no verdict within 10m, nor within a day"),
        (&plain, "blue-green", quiet(0.01), Schema::default(), ""),
        (&plain, "canary", busy(), gone.clone(), unsaid),
        (&plain, "rolling", busy(), gone, unsaid),
        (&worker_of, "canary", busy(), Schema::default(), ""),
        (&worker_of, "canary", told(0.01), Schema::default(), "at 0.01 outcomes/s that mails counts step"),
        (
            &worker_of,
            "canary",
            Today::default(),
            Schema::default(),
            "nothing that mails counts was reported in the last",
        ),
        (&worker_of, "canary", silent, Schema::default(), "nothing that mails counts was reported in the last"),
        (&worker_of, "rolling", Today::default(), Schema::default(), ""),
        (&exclusive, "canary", busy(), Schema::default(), "an exclusive worker never runs two versions at once"),
        (&exclusive, "replace", busy(), Schema::default(), ""),
    ];
    for (file, name, today, schema, says) in cases {
        let all = compared(file, file, schema, &today);
        let way = way(&all, name);
        assert_eq!(way.fits(), says.is_empty(), "{name} of\n{file}{says}: {way:#?}");
        assert!(says.is_empty() || way.misfits.iter().any(|why| why.contains(says)), "{says}: {way:#?}");
        assert!(says.is_empty() || all.advice.as_deref() != Some(name), "advised against itself: {all:#?}");
    }
}

#[test]
fn what_is_to_be_minded_is_no_misfit_and_repeats_none() {
    let migrated = |revert: &str| {
        let migrate = format!("needs_schema: 2\nmigrate: {{ expand: [up], {revert}contract: [end] }}\n");
        service(&migrate, 4)
    };
    let (plain, stateful) = (service("", 4), service("stateful: true\n", 4));
    let mails = worker("", 4);
    let newly = mails.replace("name: mails", "name: letters");
    let at_one = || Schema { at: Some(1), ..Schema::default() };
    let just_begun = Today { looked: Some(Millis::from_secs(59)), ..Today::default() };
    let cases: [(&str, &str, &str, Today, Schema, &str); 10] = [
        (&plain, &plain, "blue-green", busy(), at_one(), "everybody meets the version at the switch"),
        (&plain, &plain, "rolling", busy(), at_one(), "going back means starting the replaced instances again"),
        (&stateful, &stateful, "rolling", busy(), at_one(), "declare min_ready: 3"),
        (&plain, &plain, "canary", Today { rate: Some(6.0), ..Today::default() }, at_one(), "; steps: ["),
        (&plain, &migrated("revert: [down], "), "canary", busy(), at_one(), "share the database while it is expanded"),
        (&plain, &migrated(""), "rolling", busy(), at_one(), "expanding to schema 2 cannot be undone"),
        (&mails, &mails, "canary", busy(), at_one(), "8 of both versions take jobs side by side"),
        (&mails, &mails, "replace", busy(), at_one(), "nobody takes jobs from the stop of 1"),
        (&mails, &newly, "canary", busy(), at_one(), "nobody has reported yet what letters counts"),
        (&mails, &mails, "canary", just_begun, at_one(), "what mails counts has been counted anew for less than 1m"),
    ];
    for (stable, next, name, today, schema, says) in cases {
        let all = compared(stable, next, schema, &today);
        let way = way(&all, name);
        assert!(way.fits(), "{name}: {way:#?}");
        assert!(way.cautions.iter().any(|what| what.contains(says)), "{says}: {way:#?}");
    }
    let exclusive = worker("exclusive: true\n", 1);
    let all = compared(&exclusive, &exclusive, at_one(), &busy());
    for name in ["canary", "rolling"] {
        assert_eq!(way(&all, name).cautions, Vec::<String>::new(), "what it would cost is of no use");
    }
}

#[test]
fn a_workers_harm_is_told_in_jobs_where_they_are_reported() {
    let file = worker("", 4);
    let told = compared(&file, &file, Schema::default(), &busy());
    let harm = way(&told, "canary").harm.expect("twenty mails a second are enough");
    assert!(harm.failed > 0 && harm.after.is_some(), "{harm:?}");
    assert_eq!(told.advice.as_deref(), Some("canary"));
    let untold = compared(&file, &file, Schema::default(), &Today::default());
    assert!(untold.ways.iter().all(|way| way.harm.is_none()), "nothing is guessed: {untold:#?}");
    assert_eq!(untold.advice.as_deref(), Some("rolling"));
    assert!(untold.why.contains("nothing that mails counts"), "{}", untold.why);
}
