//! Exit codes, and how a failure is told.

use std::process::ExitCode;

use slipway_store::Error as Store;

use crate::client::{Failure, Problem};

/// It worked.
pub(crate) const OK: u8 = 0;
/// Something inside failed.
pub(crate) const INTERNAL: u8 = 1;
/// Wrong usage or a bad file.
pub(crate) const USAGE: u8 = 2;
/// Rolled back.
pub(crate) const ROLLED_BACK: u8 = 10;
/// Held: needs a person.
pub(crate) const HELD: u8 = 11;
/// Blocked or superseded.
pub(crate) const BLOCKED: u8 = 12;
/// The server cannot be reached.
pub(crate) const UNREACHABLE: u8 = 13;
/// Something differs, and whoever asked wanted to know by the code.
pub(crate) const DIFFERS: u8 = 14;

/// A mistake of the caller's: told as it is, exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub String);

/// What cannot be done as things are: exit code 12.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub String);

/// The exit code of an outcome.
pub(crate) fn of_outcome(outcome: Option<&str>) -> u8 {
    match outcome {
        Some("succeeded") | None => OK,
        Some("rolled_back" | "failed") => ROLLED_BACK,
        Some("held") => HELD,
        Some("blocked" | "superseded") => BLOCKED,
        Some(_) => INTERNAL,
    }
}

/// Tells a failure and gives its exit code.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let (code, problem) = match error.downcast_ref::<Failure>() {
        Some(Failure::Problem(problem)) => (of_problem(problem), serde_json::to_value(problem).ok()),
        Some(Failure::Unreachable { .. }) => (UNREACHABLE, None),
        Some(Failure::Odd(_)) => (INTERNAL, None),
        Some(Failure::Usage(_)) => (USAGE, None),
        None if error.is::<Usage>() => (USAGE, None),
        None if error.is::<Refused>() => (BLOCKED, None),
        // They start with another database than the one that the folder's store is in.
        None if matches!(error.downcast_ref(), Some(Store::Moved { .. } | Store::OnServer { .. })) => (USAGE, None),
        None => (INTERNAL, None),
    };
    let text = told(error);
    if json {
        let problem = problem.unwrap_or_else(|| serde_json::json!({ "code": name(code), "detail": text }));
        outln!("{}", serde_json::json!({ "error": problem }));
    }
    eprintln!("slipway: {text}");
    ExitCode::from(code)
}

/// What happened and why. Many texts hold their cause's already.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.is_empty() => cause,
        cause if text.contains(&cause) => text,
        cause => format!("{text}: {cause}"),
    })
}

fn name(code: u8) -> &'static str {
    match code {
        USAGE => "usage",
        UNREACHABLE => "unreachable",
        BLOCKED => "blocked",
        _ => "internal",
    }
}

fn of_problem(problem: &Problem) -> u8 {
    match problem.status {
        409 if problem.code == "version_taken" || problem.code == "bad_fault" => USAGE,
        409 => BLOCKED,
        400..=499 => USAGE,
        _ => INTERNAL,
    }
}
