//! The certificates that are served now, by the name that a client asks for. They are swapped whole; handshakes that
//! are made already keep theirs, and connections never notice.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::{Fingerprint, Mistake, Pair, fingerprint, read_all};

/// What is served, and the folder that it came from.
#[derive(Debug)]
pub(crate) struct Certificates {
    folder: PathBuf,
    now: ArcSwap<Now>,
    seen: Mutex<Fingerprint>,
}

#[derive(Debug, Default)]
struct Now {
    pairs: BTreeMap<String, Pair>,
    /// How many pairs of the folder are not served as they lie there.
    mistakes: usize,
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

/// A certificate as `/metrics` shows it.
#[derive(Debug)]
pub(crate) struct Expiry {
    /// The pair's name in the folder.
    pub(crate) name: String,
    /// The first host that it is for.
    pub(crate) host: String,
    /// In seconds since 1970.
    pub(crate) not_after: i64,
}

impl Certificates {
    /// Those of a folder that can be served. What cannot is told; an error only where none can.
    pub(crate) fn open(folder: &Path) -> Result<Certificates, Mistake> {
        // Looked at first: what changes meanwhile is then seen as a change.
        let seen = fingerprint(folder);
        let now = Now::read(folder, &Now::default())?;
        if now.pairs.is_empty() {
            return Err(Mistake::Empty { path: folder.to_path_buf() });
        }
        Ok(Certificates { folder: folder.to_path_buf(), now: ArcSwap::from_pointee(now), seen: Mutex::new(seen) })
    }

    /// Reads the folder again where it has changed, or somebody asked for it. What is bad is told, and what was served
    /// under its name stays.
    pub(crate) fn renew(&self, asked: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = fingerprint(&self.folder);
        if !asked && *seen == newer {
            return;
        }
        *seen = newer;
        match Now::read(&self.folder, &self.now.load()) {
            Ok(now) if !now.pairs.is_empty() => {
                tracing::info!(certificates = now.pairs.len(), "certificates were read again");
                self.now.store(Arc::new(now));
            }
            Ok(_) => tracing::error!("no certificate can be used: those from before stay"),
            Err(mistake) => tracing::error!(%mistake, "the certificates from before stay"),
        }
    }

    /// Until when each holds.
    pub(crate) fn expiries(&self) -> Vec<Expiry> {
        let one = |(name, pair): (&String, &Pair)| Expiry {
            name: name.clone(),
            host: pair.names.first().cloned().unwrap_or_default(),
            not_after: pair.not_after,
        };
        self.now.load().pairs.iter().map(one).collect()
    }

    /// How many pairs of the folder could not be used as they lie there.
    pub(crate) fn mistakes(&self) -> usize {
        self.now.load().mistakes
    }
}

impl Now {
    fn read(folder: &Path, before: &Now) -> Result<Now, Mistake> {
        let mut now = Now::default();
        for (name, read) in read_all(folder)? {
            let earlier = before.pairs.get(&name);
            match read.and_then(|pair| pair.clone().check_time().or_else(|late| last_resort(pair, late, earlier))) {
                Ok(pair) => drop(now.pairs.insert(name, pair)),
                Err(mistake) => {
                    tracing::error!(certificate = name, stays = earlier.is_some(), "{mistake}");
                    now.mistakes += 1;
                    now.pairs.extend(earlier.map(|pair| (name, pair.clone())));
                }
            }
        }
        // Where two are for one name, the one that holds longer.
        let mut ends: HashMap<&String, i64> = HashMap::new();
        for pair in now.pairs.values() {
            for name in &pair.names {
                if ends.get(name).is_none_or(|end| *end < pair.not_after) {
                    ends.insert(name, pair.not_after);
                    now.by_name.insert(name.clone(), pair.key.clone());
                }
            }
        }
        let default = now.pairs.get("default").or_else(|| now.pairs.values().next());
        now.default = default.map(|pair| pair.key.clone());
        Ok(now)
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let exact = || self.by_name.get(name.as_ref()?);
        // A wildcard stands for one label (RFC 6125, section 6.4.3).
        let wildcard = || self.by_name.get(&format!("*.{}", name.as_ref()?.split_once('.')?.1));
        exact().or_else(wildcard).or(self.default.as_ref()).cloned()
    }
}

/// A certificate whose time is over is served where there is none before it: a gateway that does not start would take
/// the rest of the traffic with it.
fn last_resort(pair: Pair, late: Mistake, earlier: Option<&Pair>) -> Result<Pair, Mistake> {
    if earlier.is_some_and(|e| e.not_after > pair.not_after) {
        return Err(late);
    }
    tracing::error!("{late}; it is served all the same, and clients will refuse it");
    Ok(pair)
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.now.load().find(hello.server_name())
    }
}
