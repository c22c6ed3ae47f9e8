//! A certificate and its key as they lie in a folder: `NAME.crt` or `NAME.pem` beside `NAME.key`, `NAME.pem` with both
//! in it, or a folder `NAME` with `fullchain.pem` and `privkey.pem`. Knows nothing of connections.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is wrong with a certificate, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    /// The folder cannot be read.
    #[error("the folder of certificates {path} cannot be read: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is none.
    #[error(
        "{path} holds no certificate; put NAME.crt and NAME.key there, or a folder NAME with fullchain.pem and privkey.pem"
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no certificate.
    #[error("{path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key.
    #[error("{path} holds no private key in PEM; the certificate {certificate} needs its key beside it")]
    NoKey {
        /// Where the key was looked for.
        path: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The key is of a kind that is not known, or another one's.
    #[error(
        "the key {key} does not fit the certificate {certificate}: {source}; put the key there that the certificate was made for"
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the library said.
        source: rustls::Error,
    },
    /// The certificate is not one.
    #[error("the certificate {path} cannot be understood: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It names nobody.
    #[error("the certificate {path} names no host (no DNS name or address among its alternative names)")]
    Nameless {
        /// The file.
        path: PathBuf,
    },
    /// Its time is over, or has not begun.
    #[error("the certificate {path} is {when}; renew it, and look at this machine's clock")]
    Time {
        /// The file.
        path: PathBuf,
        /// `not valid any more since …` or `not valid before …`, in seconds since 1970.
        when: String,
    },
}

/// A certificate that can be served.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// Certificate chain and key.
    pub(super) key: Arc<CertifiedKey>,
    /// The hosts that it is for, lower case; `*.` before the rest where it is for all of a domain.
    pub(super) names: Vec<String>,
    /// When it begins to hold and stops, in seconds since 1970.
    pub(super) not_before: i64,
    /// See `not_before`.
    pub(super) not_after: i64,
    path: PathBuf,
}

impl Pair {
    /// What is wrong where it does not hold at `now`.
    pub(super) fn check_time(&self, now: i64) -> Result<(), Mistake> {
        let when = if now > self.not_after {
            format!("not valid any more since second {} of 1970", self.not_after)
        } else if now < self.not_before {
            format!("not valid before second {} of 1970", self.not_before)
        } else {
            return Ok(());
        };
        Err(Mistake::Time { path: self.path.clone(), when })
    }

    /// Whether it holds at `now`.
    pub(super) fn holds(&self, now: i64) -> bool {
        self.check_time(now).is_ok()
    }

    /// When it next begins or ceases to hold, after `now`.
    pub(super) fn next_turn(&self, now: i64) -> Option<i64> {
        [self.not_before, self.not_after.saturating_add(1)].into_iter().find(|turn| *turn > now)
    }
}

/// The time of day, in seconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// The files of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// Those of a pair that has a folder of its own.
    fn within(folder: &Path) -> Files {
        Files { certificate: folder.join("fullchain.pem"), key: folder.join("privkey.pem") }
    }
}

/// The pair that has this folder for itself; `None` where it has no certificate.
pub(super) fn read_folder(folder: &Path) -> Result<Option<Pair>, Mistake> {
    let files = Files::within(folder);
    if !files.certificate.exists() {
        return Ok(None);
    }
    read(&files).map(Some)
}

/// Every pair of a folder by name, or what is wrong with it.
pub(super) fn read_all(folder: &Path) -> Result<BTreeMap<String, Result<Pair, Mistake>>, Mistake> {
    let files = find(folder).map_err(|source| Mistake::Folder { path: folder.to_path_buf(), source })?;
    if files.is_empty() {
        return Err(Mistake::Empty { path: folder.to_path_buf() });
    }
    Ok(files.into_iter().map(|(name, files)| (name, read(&files))).collect())
}

/// When each file was changed, its permissions among that, how long it is and which it is; nothing of one that cannot be
/// looked at.
pub(super) type Fingerprint = Vec<(PathBuf, Option<(i64, i64, u64, u64)>)>;

/// What changes when any of the folder's pairs is replaced.
pub(super) fn fingerprint(folder: &Path) -> Fingerprint {
    use std::os::unix::fs::MetadataExt;
    let look = |path: PathBuf| {
        let seen = fs::metadata(&path).ok();
        let seen = seen.map(|m| (m.ctime(), m.ctime_nsec(), m.len(), m.ino()));
        (path, seen)
    };
    let files = find(folder).unwrap_or_default();
    files.into_values().flat_map(|files| [files.certificate, files.key]).map(look).collect()
}

fn find(folder: &Path) -> io::Result<BTreeMap<String, Files>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|n| n.to_str()).map(str::to_string) else { continue };
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            let files = Files::within(&path);
            if files.certificate.exists()
                && let Some(name) = path.file_name().and_then(|n| n.to_str())
            {
                found.insert(name.to_string(), files);
            }
            continue;
        }
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if extension == "crt" || extension == "pem" {
            let beside = path.with_extension("key");
            let key = if extension == "pem" && !beside.exists() { path.clone() } else { beside };
            found.insert(name, Files { certificate: path, key });
        }
    }
    Ok(found)
}

fn read(files: &Files) -> Result<Pair, Mistake> {
    let path = || files.certificate.clone();
    let text = |path: &PathBuf| fs::read(path).map_err(|source| Mistake::Unreadable { path: path.clone(), source });
    let certificates = text(&files.certificate)?;
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&certificates).collect();
    let cut = || "it is no whole PEM; it may have been cut off while it was written".to_string();
    let chain = chain.map_err(|_| Mistake::Malformed { path: path(), why: cut() })?;
    let Some(leaf) = chain.first().cloned() else { return Err(Mistake::NoCertificate { path: path() }) };
    let key = PrivateKeyDer::from_pem_slice(&text(&files.key)?);
    let key = key.map_err(|_| Mistake::NoKey { path: files.key.clone(), certificate: path() })?;
    let (_, parsed) =
        X509Certificate::from_der(&leaf).map_err(|e| Mistake::Malformed { path: path(), why: e.to_string() })?;
    let names = names(&parsed);
    if names.is_empty() {
        return Err(Mistake::Nameless { path: path() });
    }
    let validity = parsed.validity();
    let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| Mistake::Mismatch {
        certificate: path(),
        key: files.key.clone(),
        source,
    })?;
    Ok(Pair { key: Arc::new(key), names, not_before, not_after, path: path() })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        // Clients that connect to an address name nobody, and get the default.
        GeneralName::IPAddress(address) => match address.len() {
            4 => <[u8; 4]>::try_from(*address).ok().map(|a| std::net::Ipv4Addr::from(a).to_string()),
            _ => <[u8; 16]>::try_from(*address).ok().map(|a| std::net::Ipv6Addr::from(a).to_string()),
        },
        _ => None,
    };
    alternatives.value.general_names.iter().filter_map(name).collect()
}
