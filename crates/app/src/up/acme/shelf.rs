//! Where certificates that were obtained lie: HOST is a link to a folder with fullchain.pem and privkey.pem, which is
//! exchanged whole, so that no gateway reads the one of yesterday and the other of today.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use slipway_gateway::tls::{self, Validity};

use super::issuer::Obtained;
use crate::folder::replace;

/// The folder that gateways read.
#[derive(Debug)]
pub(super) struct Shelf(PathBuf);

impl Shelf {
    /// Makes the folder where there is none.
    pub fn new(folder: &Path) -> Result<Shelf> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("the folder for certificates {} cannot be made", folder.display()))?;
        Ok(Shelf(folder.to_path_buf()))
    }

    /// When the certificate that was obtained for a host holds; `None` where none was, or it cannot be used. An error where
    /// somebody else's lies in its place.
    pub fn held(&self, host: &str) -> Result<Option<Validity>> {
        let link = self.0.join(host);
        if fs::symlink_metadata(&link).is_ok_and(|found| !found.is_symlink()) {
            bail!(
                "{} was not put there by Slipway: take it away, or leave out --acme-host {host} to go on with it",
                link.display()
            );
        }
        Ok(tls::validity(&link).unwrap_or_else(|mistake| {
            tracing::warn!(%mistake, "another certificate is obtained in its place");
            None
        }))
    }

    /// Puts a certificate in the place of the one before it.
    pub fn put(&self, host: &str, pair: &Obtained) -> Result<Validity> {
        let earlier = fs::read_link(self.0.join(host)).ok();
        let name = (0..).map(|n| format!(".{host}-{n}")).find(|name| earlier.as_deref() != Some(Path::new(name)));
        let name = name.context("there is no end of names")?;
        let fresh = self.0.join(&name);
        // What a crash has left there.
        let _ = fs::remove_dir_all(&fresh);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&fresh)
            .with_context(|| format!("{} cannot be made", fresh.display()))?;
        for (file, content) in [("fullchain.pem", &pair.chain), ("privkey.pem", &pair.key)] {
            let path = fresh.join(file);
            replace(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        let validity = tls::validity(&fresh)?.context("what was obtained is no certificate")?;
        let link = self.0.join(format!(".{host}-link"));
        let _ = fs::remove_file(&link);
        symlink(&name, &link)
            .and_then(|()| fs::rename(&link, self.0.join(host)))
            .and_then(|()| fs::File::open(&self.0)?.sync_all())
            .with_context(|| format!("the certificate of {host} cannot be put into {}", self.0.display()))?;
        if let Some(earlier) = earlier {
            // Not needed any more, and nobody is harmed where it stays.
            let _ = fs::remove_dir_all(self.0.join(earlier));
        }
        Ok(validity)
    }
}
