//! `kind`, `exclusive`, and what a worker may not declare: whatever speaks of requests.

use super::super::mistake::{Wrong, nearest, quoted};
use super::super::model::{Bad, EnvironmentSpec};
use super::super::reader::{Fields, Reader};
use super::super::worker::{Worker, fits};

const KINDS: [&str; 2] = ["http", "worker"];
const HINT: &str = "leave it out, or leave kind: worker out";

/// What kind of service the file declares: a worker, or one with requests.
pub(super) fn kind(fields: &Fields) -> Option<Worker> {
    let named = fields.get("kind").and_then(|r| r.typed("a kind of service", "write http or worker", known));
    let exclusive = fields.get("exclusive").and_then(|r| Some((r, truth(r)?)));
    if named != Some("worker") {
        if let Some((reader, _)) =
            exclusive.filter(|(_, yes)| *yes && (fields.get("kind").is_none() || named.is_some()))
        {
            let wrong = Wrong::new("a service with requests cannot be exclusive: they would find nobody meanwhile");
            reader.mistake(wrong.hint("declare kind: worker, or leave it out"));
        }
        return None;
    }
    if let Some(traffic) = fields.get("traffic") {
        traffic.mistake(Wrong::new("a worker has no traffic").hint(HINT));
    }
    if let Some(probe) = fields.get("probe") {
        probe.mistake(Wrong::new("probes are requests, and a worker has none").hint(HINT));
    }
    if let Some(mirror) = fields.get("mirror") {
        mirror.mistake(Wrong::new("requests are mirrored, and a worker has none").hint(HINT));
    }
    if let Some(reader) = fields.get("one_version") {
        let wrong = Wrong::new("it is about requests, and a worker has none");
        reader.mistake(wrong.hint("write exclusive: true where no two versions may run at once"));
    }
    Some(Worker { exclusive: exclusive.is_some_and(|(_, yes)| yes) })
}

fn known(text: &str) -> Result<&'static str, Wrong> {
    KINDS.into_iter().find(|kind| *kind == text).ok_or_else(|| {
        let hint = nearest(text, KINDS).map_or_else(|| KINDS.join(", "), |near| format!("did you mean {near}?"));
        Wrong::new(format!("there is no kind of service {}", quoted(text))).hint(hint)
    })
}

fn truth(reader: &Reader) -> Option<bool> {
    match reader.scalar() {
        Some(("true", true)) => Some(true),
        Some(("false", true)) => Some(false),
        _ => reader.expected("true or false", ""),
    }
}

/// Notes what an environment of a worker declares about requests, or about a way back that cannot be practised. `whole`:
/// one version ends before the other begins.
pub(super) fn without_traffic(fields: &Fields, whole: bool) {
    if let Some(reader) = fields.get("traffic") {
        reader.mistake(Wrong::new("a worker has no traffic").hint(HINT));
    }
    if let Some(reader) = fields.get("cohorts") {
        reader.mistake(Wrong::new("a cohort is known by its requests, and a worker has none").hint(HINT));
    }
    for key in ["drill", "require_drill"] {
        if let Some(reader) = fields.get(key).filter(|_| whole) {
            let wrong = Wrong::new("a drill of what is replaced as a whole would leave its jobs to nobody, twice");
            reader.mistake(wrong.hint("leave it out; going back is the same steps as a release"));
        }
    }
}

/// Whether a worker's bad events of this kind can be counted; notes it where not.
pub(super) fn countable(fields: &Fields, bad: &Bad) -> bool {
    let (message, hint) = match bad {
        Bad::Failed | Bad::SlowerThan(_) | Bad::SlowerThanStable { .. } => {
            ("a worker has no requests that could be counted", "bad: outcome job_failed, with of: job_taken")
        }
        Bad::Outcome { of: None, .. } => {
            ("a worker has no requests to be all events: say among what", "for example of: job_taken")
        }
        Bad::Outcome { .. } | Bad::Missing { .. } => return true,
    };
    let at = fields.get("bad").unwrap_or(fields.section());
    at.mistake(Wrong::new(message).hint(hint));
    false
}

/// Notes strategies that do not fit the kind of service.
pub(super) fn strategies(section: &Reader, worker: Option<Worker>, judged: bool, environments: &[EnvironmentSpec]) {
    let Some(entries) = section.entries("") else { return };
    for environment in environments {
        let Err(unfit) = fits(worker, judged, &environment.strategy.kind) else { continue };
        let value = entries.iter().find(|(key, _)| key.text == environment.name.as_str()).map(|(_, value)| value);
        let strategy = value.filter(|v| !v.is_null()).and_then(|value| {
            let fields = value.entries("")?;
            fields.into_iter().find(|(key, _)| key.text == "strategy").map(|(_, reader)| reader)
        });
        strategy.as_ref().unwrap_or(section).mistake(Wrong::new(unfit.why).hint(unfit.instead));
    }
}
