//! Points at which a test makes this process die, fail or do something twice. Compiled in by the feature of this name
//! alone, which no binary but `slipway-failpoints` has; see `docs/decisions/failpoints.md`.
//!
//! The variable `SLIPWAY_FAILPOINTS` names a folder. Every point that is passed is noted in its file `passed`, a line
//! each: process id, moment, name. The file `armed` holds what is to happen, once: `kill before journal:step.entered`.
//! It is renamed to `struck` when it happens. Called by the store around what it records, and by the binary around acts.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use slipway_core::journal::Fact;

use crate::error::Error;

static FOLDER: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("SLIPWAY_FAILPOINTS").filter(|folder| !folder.is_empty()).map(PathBuf::from));

/// What the open transaction records. There is one at a time.
static RECORDING: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// On which side of an act a point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of it is done.
    Before,
    /// It is done, and nobody knows it yet.
    After,
}

/// How the one who passed a point is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As always.
    On,
    /// As if it had failed.
    Fail,
    /// Doing it twice.
    Twice,
}

/// Passes a point: notes it, and returns how to go on. Does not return where the process is to die here.
pub fn pass(moment: Moment, name: &str) -> Way {
    let Some(folder) = &*FOLDER else { return Way::On };
    let moment = match moment {
        Moment::Before => "before",
        Moment::After => "after",
    };
    let passed = OpenOptions::new().create(true).append(true).open(folder.join("passed"));
    let noted =
        passed.and_then(|mut file| file.write_all(format!("{} {moment} {name}\n", std::process::id()).as_bytes()));
    if let Err(error) = noted {
        tracing::error!(%error, "a point that was passed cannot be noted");
    }
    let armed = std::fs::read_to_string(folder.join("armed")).unwrap_or_default();
    let Some((way, place)) = armed.trim().split_once(' ') else { return Way::On };
    if place.split_once(' ') != Some((moment, name)) {
        return Way::On;
    }
    // Of several that pass at once, one is struck.
    if std::fs::rename(folder.join("armed"), folder.join("struck")).is_err() {
        return Way::On;
    }
    match way {
        "kill" => die(),
        "fail" => Way::Fail,
        "twice" => Way::Twice,
        other => {
            tracing::error!(other, "nobody knows how to fail like this");
            Way::On
        }
    }
}

/// Passes the point before an act that comes several times, by its number since the notes begin; returns the name that the
/// point after it has.
pub fn pass_next(act: &str) -> (Way, String) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _counting = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let passed = FOLDER.as_ref().map(|folder| std::fs::read_to_string(folder.join("passed")).unwrap_or_default());
    let before = format!(" before {act} ");
    let number = passed.unwrap_or_default().lines().filter(|line| line.contains(&before)).count() + 1;
    let name = format!("{act} {number}");
    (pass(Moment::Before, &name), name)
}

/// As if somebody had sent SIGKILL: nothing is tidied up, and no other thread does anything more.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        std::thread::park();
    }
}

/// Passes the points before these entries are written, in a transaction that is open.
pub(crate) fn recording(facts: &[Fact]) -> Result<(), Error> {
    let mut names: Vec<String> = facts.iter().map(name).collect();
    if names.is_empty() {
        // A turn that is kept without an entry.
        names.push("journal:nothing".to_string());
    }
    let told = go_by(Moment::Before, &names);
    *RECORDING.lock().unwrap_or_else(PoisonError::into_inner) = names;
    told
}

/// An entry by its kind and, where it has one, its step or share.
fn name(fact: &Fact) -> String {
    let step = fact.evidence["step"].as_str().map(|step| format!(" {step}"));
    let share = || fact.evidence["weight_bp"].as_u64().map(|weight| format!(" {}%", weight / 100));
    format!("journal:{}{}", fact.kind, step.or_else(share).unwrap_or_default())
}

/// What the transaction that is about to be committed has recorded.
pub(crate) fn recorded() -> Vec<String> {
    std::mem::take(&mut RECORDING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Passes points of the journal; an error where one of them says so.
pub(crate) fn go_by(moment: Moment, names: &[String]) -> Result<(), Error> {
    let failed = names.iter().filter(|name| pass(moment, name) != Way::On).count();
    match failed {
        0 => Ok(()),
        _ => Err(Error::Unavailable("a test lets it fail".to_string())),
    }
}
