//! The certificates that are served now, by the name that a client asks for. They are swapped whole; handshakes that
//! are made already keep theirs, and connections never notice.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Tls;
use super::pair::{self, Fingerprint, Mistake, Pair, fingerprint, read_all};
use crate::gateway::lock;

/// What is served, and the folder that it came from.
#[derive(Debug)]
pub(crate) struct Certificates {
    folder: PathBuf,
    /// Whether the control plane obtains them.
    pub(crate) obtained: bool,
    now: ArcSwap<Now>,
    seen: Mutex<Seen>,
    /// Why none can be served, where none can.
    none: Mutex<Option<String>>,
}

/// What was looked at last.
#[derive(Debug)]
struct Seen {
    files: Fingerprint,
    /// When one of them begins or ceases to hold, so that the choice among them may be another one; seconds since 1970.
    next_turn: Option<i64>,
}

#[derive(Debug, Default)]
struct Now {
    pairs: BTreeMap<String, Pair>,
    /// How many pairs of the folder are not served as they lie there, or do not hold now.
    mistakes: usize,
    /// The first of these, in words.
    first_mistake: Option<String>,
    /// See [`Seen`].
    next_turn: Option<i64>,
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
    /// Those of a folder that can be served. What cannot is told. Where none can, handshakes are refused until one can:
    /// not to start would take the plain port with it.
    pub(crate) fn open(tls: &Tls) -> Certificates {
        let folder = tls.certificates.as_path();
        // Looked at first: what changes meanwhile is then seen as a change.
        let files = fingerprint(folder);
        let (now, none) = match Now::read(folder, &Now::default(), pair::now()) {
            Err(Mistake::Empty { .. }) if tls.obtained => (Now::default(), None),
            Ok(now) => {
                let none = now.first_mistake.clone().filter(|_| now.pairs.is_empty());
                (now, none)
            }
            Err(mistake) => (Now { mistakes: 1, ..Now::default() }, Some(mistake.to_string())),
        };
        let none = none.map(refuses);
        if let Some(none) = &none {
            tracing::error!("{none}");
        }
        let seen = Mutex::new(Seen { files, next_turn: now.next_turn });
        Certificates {
            folder: folder.to_path_buf(),
            obtained: tls.obtained,
            now: ArcSwap::from_pointee(now),
            seen,
            none: Mutex::new(none),
        }
    }

    /// Why no handshake can be made, where none can.
    pub(crate) fn trouble(&self) -> Option<String> {
        lock(&self.none).clone()
    }

    /// Reads the folder again where it has changed, one of its certificates has begun or ceased to hold, or somebody asked
    /// for it. What is bad is told, and what was served under its name stays.
    pub(crate) fn renew(&self, asked: bool) {
        let mut seen = lock(&self.seen);
        let (files, at) = (fingerprint(&self.folder), pair::now());
        if !asked && seen.files == files && seen.next_turn.is_none_or(|turn| at < turn) {
            return;
        }
        *seen = Seen { files, next_turn: None };
        match Now::read(&self.folder, &self.now.load(), at) {
            Ok(now) if !now.pairs.is_empty() => {
                tracing::info!(certificates = now.pairs.len(), "certificates were read again");
                seen.next_turn = now.next_turn;
                self.now.store(Arc::new(now));
                *lock(&self.none) = None;
            }
            Ok(now) => self.keep_what_was(now.first_mistake.unwrap_or_default()),
            Err(mistake) => self.keep_what_was(mistake.to_string()),
        }
    }

    fn keep_what_was(&self, mistake: String) {
        let mut none = lock(&self.none);
        if none.is_some() {
            let none = none.insert(refuses(mistake));
            tracing::error!("{none}");
        } else {
            tracing::error!("{mistake}; the certificates from before stay");
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

    /// How many pairs of the folder cannot be used as they lie there, or do not hold now.
    pub(crate) fn mistakes(&self) -> usize {
        self.now.load().mistakes
    }
}

impl Now {
    fn read(folder: &Path, before: &Now, at: i64) -> Result<Now, Mistake> {
        let mut now = Now::default();
        for (name, read) in read_all(folder)? {
            let earlier = before.pairs.get(&name);
            if let Ok(pair) = &read {
                now.turns(pair, at);
            }
            let judged = read.and_then(|pair| match pair.check_time(at) {
                Ok(()) => Ok((pair, None)),
                Err(late) if is_last_resort(&pair, earlier, at) => Ok((pair, Some(late))),
                Err(late) => Err(late),
            });
            match judged {
                Ok((pair, late)) => {
                    if let Some(late) = late {
                        tracing::error!("{late}; it is served all the same, and clients will refuse it");
                        now.mistakes += 1;
                    }
                    now.pairs.insert(name, pair);
                }
                Err(mistake) => {
                    tracing::error!(certificate = name, stays = earlier.is_some(), "{mistake}");
                    now.mistakes += 1;
                    now.first_mistake.get_or_insert_with(|| mistake.to_string());
                    if let Some(pair) = earlier {
                        now.turns(pair, at);
                        now.pairs.insert(name, pair.clone());
                    }
                }
            }
        }
        // Where two are for one name, one that holds now, and of these the one that holds longer.
        let mut best: HashMap<&String, (bool, i64)> = HashMap::new();
        for pair in now.pairs.values() {
            let rank = (pair.holds(at), pair.not_after);
            for name in &pair.names {
                if best.get(name).is_none_or(|other| *other < rank) {
                    best.insert(name, rank);
                    now.by_name.insert(name.clone(), pair.key.clone());
                }
            }
        }
        let default = now.pairs.get("default").or_else(|| now.pairs.values().next());
        now.default = default.map(|pair| pair.key.clone());
        Ok(now)
    }

    /// Notes when a pair begins or ceases to hold.
    fn turns(&mut self, pair: &Pair, at: i64) {
        self.next_turn = [self.next_turn, pair.next_turn(at)].into_iter().flatten().min();
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let exact = || self.by_name.get(name.as_ref()?);
        // A wildcard stands for one label (RFC 6125, section 6.4.3).
        let wildcard = || self.by_name.get(&format!("*.{}", name.as_ref()?.split_once('.')?.1));
        exact().or_else(wildcard).or(self.default.as_ref()).cloned()
    }
}

/// What is said where no certificate can be used.
fn refuses(mistake: String) -> String {
    format!("TLS cannot be spoken, and handshakes are refused, until a certificate can be used: {mistake}")
}

/// A certificate that does not hold now is served where there is none before it that does: a gateway that does not start
/// would take the rest of the traffic with it.
fn is_last_resort(pair: &Pair, earlier: Option<&Pair>, at: i64) -> bool {
    earlier.is_none_or(|earlier| !earlier.holds(at) && earlier.not_after <= pair.not_after)
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.now.load().find(hello.server_name())
    }
}
