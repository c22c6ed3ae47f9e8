//! The file by which gateways of the data folder find this control plane.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::Settings;
use crate::beside::Beside;

/// The file, and what this control plane has to say in it.
pub(super) struct ControlFile {
    path: PathBuf,
    content: String,
    start: u64,
}

impl ControlFile {
    pub fn of(settings: &Settings, address: SocketAddr) -> ControlFile {
        let Settings { control_file, token, api, start, .. } = settings;
        let mut content = serde_json::json!({ "address": address, "token": token, "start": start });
        if let Some(api) = api {
            content["api"] = api.to_string().into();
        }
        ControlFile { path: control_file.clone(), content: format!("{content}\n"), start: *start }
    }

    /// Writes it: mode 0600, replaced whole.
    pub fn write(&self) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        crate::table_store::replace(&self.path, self.content.as_bytes())
    }

    /// Writes it again where an earlier start has: one that stood still, was overtaken and woke up in the middle of its own.
    pub fn insist(&self) {
        let said = std::fs::read(&self.path).ok().and_then(|said| serde_json::from_slice::<Beside>(&said).ok());
        let Some(by) = said.map(|said| said.start).filter(|by| *by < self.start) else { return };
        let wrote = self.write().err();
        tracing::warn!(by, own = self.start, error = ?wrote, "an overtaken control plane has called gateways to itself; they are called back");
    }
}
