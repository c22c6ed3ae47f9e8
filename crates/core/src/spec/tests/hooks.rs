//! What is wrong with hooks, and where; and whose they are.

use super::{Mistake, least, parse, spec};
use crate::names::EnvironmentName;

fn said(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|m| m.to_string()).collect::<Vec<_>>().join("\n")
}

fn refused(hook: &str) -> String {
    said(&parse(&least(&format!("hooks: [{{ {hook} }}]\n"))).expect_err(hook))
}

#[test]
fn a_hook_says_who_is_told_what() {
    for (hook, why) in [
        ("name: a, on: [step.done]", "6:9: hooks[0]: says nothing of who is told"),
        ("name: a, command: [/bin/true]", "told nothing and asked nothing"),
        ("name: a, on: [], command: [/bin/true]", "told nothing and asked nothing"),
        ("name: a, on: [step.done], on_silence: go, command: [/bin/true]", "nothing is asked"),
        ("name: a, before: stop, command: [/bin/true]", "expected step or promotion"),
        ("name: a, before: step, on_silence: maybe, command: [/bin/true]", "expected hold, go or stop"),
        ("name: a, on: [\"hook.*\"], command: [/bin/true]", "its own failure for ever"),
        ("name: a, on: [\"**\"], command: [/bin/true]", "is no kind of entry"),
        ("name: a, on: [step.done], command: [./tell.sh]", "not part of the artifact"),
        ("name: a, on: [step.done], timeout: 2h, command: [tell]", "longer than 1h"),
        ("name: a, on: [step.done], command: [tell], webhook: { url: \"http://a/\", secret_env: A }", "keep one"),
    ] {
        assert!(refused(hook).contains(why), "{hook}: {}", refused(hook));
    }
}

#[test]
fn a_webhook_is_signed_and_its_secret_stands_elsewhere() {
    let webhook = |with: &str| refused(&format!("name: a, on: [step.done], webhook: {{ {with} }}"));
    for (with, why) in [
        ("url: \"http://a/\"", "an unsigned event could come from anybody"),
        ("url: \"https://\", secret_env: A", "names no host"),
        ("url: \"ftp://a/\", secret_env: A", "is no address"),
        ("url: \"http://a/\", secret_env: A, ca_file: /ca.pem", "nobody's certificate is looked at"),
        ("url: \"https://a/\", secret_env: A, ca_file: ca.pem", "names no file"),
        ("url: \"http://me:word@a/\", secret_env: A", "a name and a password"),
        ("url: \"a:80\", secret_env: A", "is no address"),
        ("url: \"http:///x\", secret_env: A", "names no host"),
        ("url: \"http://a:99999/\", secret_env: A", "a port that is none"),
        ("url: \"http://a/\", secret_file: secret", "names no file"),
        ("url: \"http://a/\", secret_env: A, secret_file: /a", "keep one"),
    ] {
        assert!(webhook(with).contains(why), "{with}: {}", webhook(with));
    }
    let told = webhook("url: \"http://a/\", secret_env: whsec_c2VjcmV0/+==");
    assert!(told.contains("names no environment variable") && !told.contains("c2Vjcm"), "{told}");
}

#[test]
fn a_kind_that_nobody_records_is_doubtful() {
    let hook = "hooks: [{ name: a, on: [rolout.ended], command: [tell] }]\n";
    assert!(said(&parse(&least(hook)).unwrap().warnings).contains("did you mean rollout?"));
}

#[test]
fn a_worker_is_not_asked_about() {
    let worker = "service: mailer\nkind: worker\nrun: { command: [\"./mailer\"] }\nhealth: { running_for: 4s }\n";
    let hook = "[{ name: board, before: step, command: [board] }]";
    for rest in [
        format!("hooks: {hook}\nenvironments: {{ production: {{}} }}\n"),
        format!("environments: {{ production: {{ hooks: {hook} }} }}\n"),
    ] {
        let told = said(&parse(&format!("{worker}{rest}")).expect_err(&rest));
        assert!(told.contains("takes work as soon as it is started"), "{told}");
    }
}

#[test]
fn an_environments_hook_takes_the_place_of_the_services() {
    let hook = |name: &str, command: &str| format!("{{ name: {name}, on: [\"*\"], command: [{command}] }}");
    let text = least(&format!("hooks: [{}, {}]\n", hook("a", "one"), hook("b", "two")));
    let spec = spec(
        &text.replace("production: {}", &format!("production: {{ hooks: [{}] }}, staging: {{}}", hook("b", "three"))),
    );
    let commands = |environment: &str| {
        let all = spec.hooks(&EnvironmentName::new(environment).unwrap());
        all.iter().map(|hook| format!("{} {:?}", hook.name, hook.to)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(commands("production"), r#"a Command(["one"]), b Command(["three"])"#);
    assert_eq!(commands("staging"), r#"a Command(["one"]), b Command(["two"])"#);
    let twice = least(&format!("hooks: [{}, {}]\n", hook("a", "one"), hook("a", "two")));
    assert!(said(&parse(&twice).unwrap_err()).contains("a second hook is called"));
}

#[test]
fn a_kind_that_nothing_is_called_is_doubtful_and_its_nearest_is_named() {
    let warned = |on: &str| {
        let hook = format!("hooks: [{{ name: a, on: [{on}], command: [/bin/true] }}]\n");
        said(&parse(&least(&hook)).unwrap().warnings)
    };
    assert!(warned("rollout.endet").contains("did you mean rollout.ended?"), "{}", warned("rollout.endet"));
    assert!(warned("\"rolout.*\"").contains("did you mean rollout?"), "{}", warned("\"rolout.*\""));
    let elsewhere = warned("\"token.*\"");
    assert!(elsewhere.contains("belongs to no service") && elsewhere.contains("slipway env apply"), "{elsewhere}");
    for known in ["rollout.ended", "\"probes.*\"", "\"work.*\"", "\"*\""] {
        assert_eq!(warned(known), "", "{known}");
    }
}
