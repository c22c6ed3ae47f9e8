//! `slipway gateway invite`. The invitation exists once: where it goes is certain before it is asked for.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use slipway_server::wire::WireGateway;
use tempfile::NamedTempFile;

use crate::client::Client;
use crate::exit::Usage;
use crate::place::at;

/// Invites a gateway, and writes down or prints what it needs.
pub(super) async fn run(
    client: &Client,
    name: &str,
    address: Option<&str>,
    out: Option<PathBuf>,
    force: bool,
) -> Result<()> {
    // What was opened is removed again where the invitation is refused.
    let out = out.map(|path| Out::open(path, force)).transpose()?;
    if !force {
        not_connected(client, name).await?;
    }
    let place = at(&["gateways", name, "invitation"]);
    let invitation: Value = client.post(&place, &json!({ "address": address })).await?;
    match out {
        Some(out) => outln!("{}", out.write(name, &invitation, force)?.display()),
        None => outln!("{invitation}"),
    }
    Ok(())
}

/// Refuses to turn away a gateway that serves.
async fn not_connected(client: &Client, name: &str) -> Result<()> {
    let gateways: Vec<WireGateway> = client.get(&at(&["gateways"])).await?;
    match gateways.iter().any(|gateway| gateway.name == name && gateway.invited && gateway.state == "connected") {
        true => Err(Usage(format!(
            "{name} is connected, and turned away once it is invited anew: it has to be started with the new invitation \
             then. If that is meant, say --force"
        ))
        .into()),
        false => Ok(()),
    }
}

/// Where an invitation goes: a file beside it that nobody else can read, until it is whole.
struct Out {
    path: PathBuf,
    fresh: NamedTempFile,
}

impl Out {
    fn open(path: PathBuf, force: bool) -> Result<Out, Usage> {
        let unwritable = |why: &dyn std::fmt::Display| Usage(format!("{} cannot be written: {why}", path.display()));
        match std::fs::symlink_metadata(&path) {
            Ok(there) if there.is_dir() => return Err(unwritable(&"it is a folder")),
            Ok(_) if !force => return Err(unwritable(&"it is there already; name another file, or say --force")),
            _ => {}
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fresh = NamedTempFile::new_in(folder).map_err(|error| unwritable(&error))?;
        Ok(Out { path, fresh })
    }

    /// Puts it in its place: over what is there, where that is meant; a link is replaced and not followed.
    fn write(mut self, name: &str, invitation: &Value, force: bool) -> Result<PathBuf> {
        let written = writeln!(self.fresh, "{invitation}").and_then(|()| self.fresh.as_file().sync_all());
        let placed = written.and_then(|()| match force {
            true => self.fresh.persist(&self.path).map_err(|e| e.error),
            false => self.fresh.persist_noclobber(&self.path).map_err(|e| e.error),
        });
        placed.with_context(|| {
            format!("{} cannot be written, and the invitation is lost: invite {name} again", self.path.display())
        })?;
        Ok(self.path)
    }
}
