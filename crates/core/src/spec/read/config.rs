//! `config`: values and files that belong to a version.

use std::collections::BTreeMap;

use super::super::config::Config;
use super::super::mistake::{Wrong, quoted};
use super::super::model::EnvironmentSpec;
use super::super::reader::{Keys, Reader};
use super::run::env;

const KEYS: Keys = Keys { known: &["values", "files", "env_file"], later: &["secrets"] };
const FILE_KEYS: Keys = Keys { known: &["from"], later: &[] };
const EXAMPLE: &str = "write { values: { LOG_LEVEL: info }, files: { conf/app.toml: \"level = 1\" } }";
const ANOTHER_PATH: &str = "give one of them another path";
/// How many files, and how large one may be in bytes.
const MOST_FILES: usize = 100;
const FILE_LIMIT: usize = 256 << 10;

/// The configuration. `taken` are variables that are declared beside it and cannot be declared here as well.
pub(super) fn config(reader: &Reader, taken: &BTreeMap<String, String>) -> Option<Config> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let values = fields.or("values", BTreeMap::new(), |values| {
        let found = env(values)?;
        if let Some(name) = found.keys().find(|name| taken.contains_key(*name)) {
            let wrong = Wrong::new(format!("{name} stands in env as well"));
            values.mistake(wrong.hint("leave it out of one of the two"));
        }
        Some(found)
    });
    let files = fields.or("files", BTreeMap::new(), files);
    let env_file =
        fields.get("env_file").and_then(|r| r.typed("a path", "for example /etc/checkout/production.env", absolute));
    Some(Config { values, files, env_file })
}

/// The path of a file that is no part of the artifact.
fn absolute(path: &str) -> Result<String, Wrong> {
    let fits = path.starts_with('/') && path.len() <= 1_000 && !path.chars().any(char::is_control);
    match fits {
        true => Ok(path.to_string()),
        false => Err(Wrong::new(format!("{} is no absolute path", quoted(path)))
            .hint("it is read where the instances run, for example /etc/checkout/production.env")),
    }
}

fn files(reader: &Reader) -> Option<BTreeMap<String, String>> {
    let entries = reader.entries("write files: { conf/app.toml: \"level = 1\" }")?;
    if entries.len() > MOST_FILES {
        reader.mistake(Wrong::new(format!("more than {MOST_FILES} files")).hint("put them into the artifact"));
    }
    let mut files = BTreeMap::new();
    for (key, value) in entries {
        if let Err(wrong) = fits(key.text, "the instance's folder") {
            key.mistake(wrong);
        }
        match value.scalar() {
            Some((text, _)) if text.len() > FILE_LIMIT => {
                value.mistake(
                    Wrong::new(format!("a file of more than {FILE_LIMIT} bytes")).hint("put it into the artifact"),
                );
            }
            Some((text, _)) if !value.is_null() => drop(files.insert(key.text.to_string(), text.to_string())),
            None if value.is_section() => {
                named(&value);
                // Its text is not known here.
                files.insert(key.text.to_string(), String::new());
            }
            _ => value
                .expected(
                    "the text of the file",
                    "write it below `|`, \"\" for an empty file, or { from: conf/app.toml }",
                )
                .unwrap_or(()),
        }
    }
    if let Some(what) = one_below_another(&files) {
        reader.mistake(Wrong::new(what).hint(ANOTHER_PATH));
    }
    Some(files)
}

/// Notes which file a section names.
fn named(section: &Reader) {
    let Some(fields) = section.fields(&FILE_KEYS, "write { from: conf/app.toml }") else { return };
    let why = "the file is neither written out nor named";
    let Some(path) = fields.required("from", why, "write { from: conf/app.toml }") else { return };
    let below = |text: &str| fits(text, "the declared file's folder").map(|()| text.to_string());
    if let Some(from) = path.typed("a path", "for example conf/app.toml", below) {
        section.names(path, from);
    }
}

/// Notes files that cannot lie beside each other once an environment's are laid over the service's.
pub(super) fn fit_together(reader: &Reader, own: &Config, environments: &[EnvironmentSpec]) {
    if one_below_another(&own.files).is_some() {
        // Noted where it stands.
        return;
    }
    for environment in environments.iter().filter(|e| one_below_another(&e.config.files).is_none()) {
        let mut files = own.files.clone();
        files.extend(environment.config.files.clone());
        if let Some(what) = one_below_another(&files) {
            let wrong = Wrong::new(format!("config.files of {}: {what}", environment.name));
            reader.mistake(wrong.hint(ANOTHER_PATH));
        }
    }
}

/// What is wrong with a file that would have to be a folder as well.
fn one_below_another(files: &BTreeMap<String, String>) -> Option<String> {
    files.keys().find_map(|path| {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]).find(|above| files.contains_key(*above))?;
        Some(format!("{} lies below {}, which is a file", quoted(path), quoted(above)))
    })
}

/// Whether a path names a file below `folder`.
fn fits(path: &str, folder: &str) -> Result<(), Wrong> {
    let why = match () {
        () if path.starts_with('/') => format!("must be a path below {folder}"),
        () if path.len() > 200 => "is too long".to_string(),
        () if path.chars().any(|c| c.is_control() || c == '\\') => {
            "holds a character that no path here may have".to_string()
        }
        () if path.split('/').any(|part| matches!(part, "" | "." | "..")) => {
            format!("must be a path below {folder}, without . and ..")
        }
        () => return Ok(()),
    };
    Err(Wrong::new(format!("{} {why}", quoted(path))).hint("for example conf/app.toml"))
}
