//! The small authority that gateways and control plane know each other by. Its key never leaves the control plane's
//! folder; a gateway's key leaves it once, in its invitation. Nothing here expires: an invitation ends when its gateway is
//! forgotten.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

use super::roster::keep;

/// The name that the control plane has in its certificate, wherever it listens.
pub(crate) const CONTROL: &str = "control.slipway";

/// Signs for the control plane and for the gateways that it invites.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, which gateways trust and nothing else.
    pub certificate: String,
}

/// What a gateway proves itself with.
pub(super) struct Issued {
    /// Its certificate in PEM.
    pub certificate: String,
    /// The key to it in PEM.
    pub key: String,
    /// What the certificate is known by.
    pub fingerprint: String,
}

impl Authority {
    /// The one in `folder`; made there where there is none yet.
    pub fn open(folder: &Path) -> io::Result<Authority> {
        let (certificate, key) = (folder.join("authority.crt"), folder.join("authority.key"));
        let mut params = CertificateParams::new([]).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, "Slipway's gateways");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pair = match std::fs::read_to_string(&key) {
            Ok(text) => KeyPair::from_pem(&text).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pair = KeyPair::generate().map_err(io::Error::other)?;
                // The certificate first: without its key it is nothing, and is made again.
                keep(&certificate, params.self_signed(&pair).map_err(io::Error::other)?.pem().as_bytes())?;
                keep(&key, pair.serialize_pem().as_bytes())?;
                pair
            }
            Err(error) => return Err(error),
        };
        Ok(Authority { certificate: std::fs::read_to_string(&certificate)?, issuer: Issuer::new(params, pair) })
    }

    /// A certificate for the gateway of this name, with its key.
    pub fn issue(&self, name: &str) -> io::Result<Issued> {
        let (certificate, pair) = self.sign(name, ExtendedKeyUsagePurpose::ClientAuth)?;
        let fingerprint = fingerprint(certificate.der());
        Ok(Issued { certificate: certificate.pem(), key: pair.serialize_pem(), fingerprint })
    }

    fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> io::Result<(rcgen::Certificate, KeyPair)> {
        let mut params = CertificateParams::new([name.to_string()]).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.push(usage);
        let pair = KeyPair::generate().map_err(io::Error::other)?;
        Ok((params.signed_by(&pair, &self.issuer).map_err(io::Error::other)?, pair))
    }

    /// What calls are answered with: only callers with a certificate of this authority are spoken to.
    pub fn acceptor(&self) -> io::Result<TlsAcceptor> {
        use rustls::pki_types::pem::PemObject;
        let trusted = CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(io::Error::other)?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(trusted).map_err(io::Error::other)?;
        let provider = Arc::new(ring::default_provider());
        let callers = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let callers = callers.build().map_err(io::Error::other)?;
        let (own, pair) = self.sign(CONTROL, ExtendedKeyUsagePurpose::ServerAuth)?;
        let key = PrivateKeyDer::try_from(pair.serialize_der()).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_client_cert_verifier(callers)
            .with_single_cert(vec![own.der().clone()], key)
            .map_err(io::Error::other)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// What a certificate is known by.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hash(certificate.as_ref())
}

/// SHA-256 in hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
