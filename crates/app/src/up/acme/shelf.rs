//! Where certificates that were obtained lie: HOST is a link to a folder with fullchain.pem and privkey.pem, which is
//! exchanged whole. A gateway that reads both just then, the one of before and the other of after, sees that they do not
//! fit and looks again.

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
        if fs::symlink_metadata(&link).is_ok() && self.own(host).is_none() {
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

    /// The name of the folder that a host's link leads to, where it is one of those that are put here.
    fn own(&self, host: &str) -> Option<String> {
        let name = fs::read_link(self.0.join(host)).ok()?.into_os_string().into_string().ok()?;
        names(host).contains(&name).then_some(name)
    }

    /// Puts a certificate in the place of the one before it.
    pub fn put(&self, host: &str, pair: &Obtained) -> Result<Validity> {
        let earlier = self.own(host);
        let [one, other] = names(host);
        let name = if earlier.as_ref() == Some(&one) { other } else { one };
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

/// The folders that a host's certificates are put into by turns.
fn names(host: &str) -> [String; 2] {
    [format!(".{host}-0"), format!(".{host}-1")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(host: &str) -> Obtained {
        let made = rcgen::generate_simple_self_signed([host.to_string()]).expect("a certificate");
        Obtained { chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    #[test]
    fn a_certificate_is_exchanged_whole_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::new(&folder.path().join("certificates")).expect("a shelf");
        assert_eq!(shelf.held("a.example").expect("nobody's"), None);
        for _ in 0..3 {
            let put = shelf.put("a.example", &pair("a.example")).expect("it is put there");
            assert_eq!(shelf.held("a.example").expect("its own"), Some(put));
            let left = fs::read_dir(&shelf.0).expect("the shelf").count();
            assert_eq!(left, 2, "the link and one folder");
        }
    }

    #[test]
    fn what_others_put_there_is_left_to_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let theirs = folder.path().join("theirs");
        fs::create_dir(&theirs).expect("a folder");
        fs::write(theirs.join("fullchain.pem"), pair("a.example").chain).expect("a file");
        let shelf = Shelf::new(&folder.path().join("certificates")).expect("a shelf");
        for target in [theirs.as_path(), Path::new("../theirs"), Path::new(".b.example-0")] {
            let link = shelf.0.join("a.example");
            symlink(target, &link).expect("a link");
            let refused = shelf.held("a.example").expect_err("it is not ours").to_string();
            assert!(refused.contains("was not put there by Slipway"), "{refused}");
            shelf.put("a.example", &pair("a.example")).expect("even then");
            assert!(theirs.join("fullchain.pem").exists(), "{target:?} is still there");
            fs::remove_file(link).expect("the link");
        }
        fs::create_dir(shelf.0.join("c.example")).expect("a folder");
        assert!(shelf.held("c.example").is_err());
    }
}
