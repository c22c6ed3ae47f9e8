//! The data folder: where it is and what lies where in it.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A data folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder that was asked for, or the platform's.
    pub fn find(asked: Option<&Path>) -> Result<Folder> {
        let path = match asked {
            Some(path) => path.to_path_buf(),
            None => platform()?,
        };
        Ok(Folder(std::path::absolute(path)?))
    }

    /// Creates it, readable by nobody else.
    pub fn create(&self) -> Result<()> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.with_context(|| format!("the data folder {} cannot be created", self.0.display()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    pub fn api(&self) -> PathBuf {
        self.0.join("api.json")
    }

    pub fn artifacts(&self) -> PathBuf {
        self.0.join("artifacts")
    }

    pub fn instances(&self) -> PathBuf {
        self.0.join("instances")
    }

    pub fn gateway(&self) -> PathBuf {
        self.0.join("gateway")
    }

    /// Who was invited to be a gateway, and what their certificates are signed with.
    pub fn gateways(&self) -> PathBuf {
        self.0.join("gateways")
    }

    /// The account at the server that issues certificates.
    pub fn acme(&self) -> PathBuf {
        self.0.join("acme.json")
    }

    /// Certificates that are obtained, where no other folder is named for them.
    pub fn certificates(&self) -> PathBuf {
        self.0.join("certificates")
    }

    /// Whether it belongs to a database on a server.
    pub fn is_shared(&self) -> bool {
        self.0.join("home").exists()
    }

    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }
}

/// The platform's place for data.
pub(crate) fn platform() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("XDG_DATA_HOME").filter(|h| !h.is_empty()) {
        return Ok(PathBuf::from(home).join("slipway"));
    }
    let home =
        std::env::var_os("HOME").context("neither XDG_DATA_HOME nor HOME is set; name a data folder with --data")?;
    Ok(PathBuf::from(home).join(".local/share/slipway"))
}

/// Where a gateway that joined keeps its state, unless it is told another place.
pub(crate) fn joined(name: &str) -> Result<PathBuf> {
    Ok(platform()?.join("gateways").join(name))
}

/// Replaces a file whole: temporary file, sync, rename. Readable by nobody else.
pub(crate) fn replace(path: &Path, content: &str) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

/// The token in the folder, made at the first start.
pub(crate) fn first_token(folder: &Folder) -> Result<String> {
    let path = folder.token();
    match std::fs::read_to_string(&path) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_string()),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("{} cannot be read", path.display())),
    }
    let token = slipway_server::secret();
    replace(&path, &token).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(token)
}
