//! What a gateway on another machine needs to call: where, and what both sides prove themselves with.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::hub::CONTROL;

/// The file that `slipway gateway invite` writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The gateway's name.
    pub name: String,
    /// Where the control plane takes calls: a host or an address, and a port.
    pub control: String,
    /// The secret of this gateway alone.
    pub token: String,
    /// The certificate, in PEM, that the control plane's own is signed with.
    pub authority: String,
    /// The gateway's certificate, in PEM.
    pub certificate: String,
    /// The key to it, in PEM.
    pub key: String,
}

/// Why an invitation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    /// The file cannot be read.
    #[error("the invitation {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read it.
    #[error("the invitation {path} can be read by others, and who has it can call in its name; chmod 600 {path}")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It is no invitation.
    #[error("{path} is no invitation ({why}); make another one with slipway gateway invite")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
}

impl Invitation {
    /// The invitation in a file that nobody else can read.
    pub fn read(path: &Path) -> Result<Invitation, Mistake> {
        let unreadable = |source| Mistake::Unreadable { path: path.to_path_buf(), source };
        let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Mistake::Open { path: path.to_path_buf() });
        }
        let malformed = |why: String| Mistake::Malformed { path: path.to_path_buf(), why };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let invitation: Invitation = serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
        invitation.connector().map_err(|e| malformed(e.to_string()))?;
        Ok(invitation)
    }

    fn connector(&self) -> io::Result<TlsConnector> {
        let broken = |what: &str| io::Error::other(format!("its {what} is no whole PEM"));
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.authority.as_bytes()).map_err(|_| broken("authority"))?)
            .map_err(io::Error::other)?;
        let own = CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(|_| broken("certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| broken("key"))?;
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![own], key)
            .map_err(io::Error::other)?;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Calls the control plane, and makes sure that it is the one that has invited.
    pub(crate) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.control).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(CONTROL).map_err(io::Error::other)?;
        self.connector()?.connect(name, stream).await
    }
}
