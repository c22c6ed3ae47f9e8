//! The gateways that were invited, on disk: a control plane that starts again waits for those that it may have to wait
//! for, and knows whom to refuse. What they acknowledge is not here: they say it again when they call.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use slipway_core::traffic::link::Machine;
use slipway_core::units::Timestamp;

/// Those that were invited, by name.
#[derive(Debug, Default)]
pub(super) struct Roster {
    file: Option<PathBuf>,
    members: BTreeMap<String, Member>,
    /// Something is noted that could not be written.
    unwritten: bool,
}

/// A gateway that was invited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    /// What its certificate is known by.
    pub certificate: String,
    /// The hash of its token.
    pub token: String,
    /// Its last start; absent until it calls.
    #[serde(default)]
    pub last: Option<Start>,
    /// Since when it has been out of the count, where it is.
    #[serde(default)]
    pub lost: Option<Timestamp>,
}

/// A start of a gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    pub boot: String,
    pub pid: u32,
    pub traffic: std::net::SocketAddr,
    pub machine: Option<Machine>,
}

impl Roster {
    /// The one in `folder`.
    pub fn open(folder: &Path) -> io::Result<Roster> {
        let file = folder.join("roster.json");
        let members = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| unreadable(&file, &error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(unreadable(&file, &error)),
        };
        Ok(Roster { file: Some(file), members, unwritten: false })
    }

    /// Who was invited by this name.
    pub fn get(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.members.iter()
    }

    /// Puts somebody on it, in the place of whoever had the name.
    pub fn put(&mut self, name: &str, member: Member) -> io::Result<()> {
        let before = self.members.insert(name.to_string(), member);
        self.write().inspect_err(|_| match before {
            Some(before) => drop(self.members.insert(name.to_string(), before)),
            None => drop(self.members.remove(name)),
        })
    }

    /// Changes what is known of somebody, if anything changes; nobody where the name is not on it.
    pub fn note(&mut self, name: &str, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.members.get_mut(name) else { return };
        let before = member.clone();
        change(member);
        if *member != before {
            self.unwritten |= self.write().inspect_err(|error| {
                tracing::error!(%error, gateway = name, "what is known of a gateway cannot be written; it is tried again");
            }).is_err();
        }
    }

    /// Writes what could not be written before, if it can be now.
    pub fn retry(&mut self) {
        if self.unwritten && self.write().is_ok() {
            tracing::info!("what is known of gateways is written");
        }
    }

    /// Takes somebody off it; whether the name was on it.
    pub fn remove(&mut self, name: &str) -> io::Result<bool> {
        let Some(before) = self.members.remove(name) else { return Ok(false) };
        self.write().inspect_err(|_| drop(self.members.insert(name.to_string(), before)))?;
        Ok(true)
    }

    fn write(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            keep(file, &serde_json::to_vec_pretty(&self.members)?)?;
        }
        self.unwritten = false;
        Ok(())
    }
}

fn unreadable(file: &Path, error: &dyn std::error::Error) -> io::Error {
    let file = file.display();
    let what = format!(
        "which gateways were invited cannot be read in {file}: {error}; put the file back from a backup, or take it away and \
         invite them again"
    );
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Puts `bytes` in the place of the file, whole or not at all, readable by nobody else, and on the disk.
pub(super) fn keep(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let fresh = file.with_extension("new");
    let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        Member { certificate: "c".into(), token: "t".into(), last: None, lost: None }
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut roster = Roster::open(folder.path()).unwrap();
        roster.put("edge", member()).unwrap();
        // A folder in the place of the temporary file fails as a full disk does.
        let in_the_way = folder.path().join("roster.new");
        fs::create_dir(&in_the_way).unwrap();
        roster.note("edge", |member| member.lost = Some(Timestamp(7)));
        roster.retry();
        let kept = || Roster::open(folder.path()).unwrap().get("edge").unwrap().lost;
        assert_eq!((roster.get("edge").unwrap().lost, kept()), (Some(Timestamp(7)), None));
        fs::remove_dir(&in_the_way).unwrap();
        roster.retry();
        assert_eq!(kept(), Some(Timestamp(7)));
    }

    #[test]
    fn one_that_makes_no_sense_says_where_it_is_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("roster.json"), "{").unwrap();
        let error = Roster::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("roster.json") && error.contains("invite them again"), "{error}");
    }
}
