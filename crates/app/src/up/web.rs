//! Requests to others over HTTP, in plain text and over TLS, and whom to trust there. Knows addresses and certificates,
//! nothing of what is asked.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// How much of a file of certificates is read: more than any machine trusts.
const CERTIFICATES_LIMIT: u64 = 4 << 20;

/// A client that sends bodies of one kind.
pub(super) type Requests<B> = Client<HttpsConnector<HttpConnector>, B>;

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// Nobody's: addresses without TLS.
    Nobody,
    /// Those that this machine trusts.
    Machine,
    /// Those in these bytes of a file.
    File(Vec<u8>),
}

impl Trust {
    /// Those in a file.
    pub fn file(path: &Path) -> Result<Trust, String> {
        let read = file(path, CERTIFICATES_LIMIT);
        let path = path.display();
        read.map(Trust::File).map_err(|error| format!("whose certificate is trusted cannot be read: {path}: {error}"))
    }
}

/// A client that trusts those; `named` is what the file of certificates is named by.
pub(super) fn client<B>(trust: &Trust, named: &str) -> Result<Requests<B>, String>
where
    B: Body + Send,
    B::Data: Send,
{
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be spoken: {error}"))?
        .with_root_certificates(roots(trust, named)?)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

fn roots(trust: &Trust, named: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Nobody => return Ok(roots),
        Trust::Machine => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        Trust::File(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let wrong = |error: &dyn std::fmt::Display| format!("{named} holds what is no certificate: {error}");
                roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
            }
        }
    }
    match (roots.is_empty(), trust) {
        (false, _) => Ok(roots),
        (true, Trust::File(_)) => Err(format!("{named} holds no certificate: it must be PEM")),
        (true, _) => Err(format!(
            "this machine trusts nobody's certificates: install ca-certificates, or name them with {named}"
        )),
    }
}

/// What a file holds, up to a limit. Anything else than a file, such as a pipe that nobody writes to, could be waited for for
/// ever.
pub(super) fn file(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What went wrong before there was an answer; `named` as for [`client`].
pub(super) fn said(error: &legacy::Error, named: &str) -> String {
    let why = deepest(error);
    match why.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(_)) => {
            format!(
                "its certificate is not trusted: {why}; {named} names whom to trust instead of those that this machine does"
            )
        }
        Some(_) => format!("it does not speak TLS as it should: {why}"),
        None if error.is_connect() => format!("nobody answers there: {why}"),
        None => format!("it does not speak HTTP: {why}"),
    }
}

/// The first cause of an error.
pub(super) fn deepest<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut deepest = error;
    loop {
        // An error of input and output hides what it was made of from `source`.
        let within = deepest.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        match within.map(|error| error as &(dyn std::error::Error + 'static)).or_else(|| deepest.source()) {
            Some(behind) => deepest = behind,
            None => return deepest,
        }
    }
}
