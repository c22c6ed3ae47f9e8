//! TLS to the gateway: certificates in a folder, and clients that take any of them.
#![allow(dead_code)] // each test file uses its own part

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use slipway_gateway::Tuning;
use slipway_gateway::tls::Tls;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::common::{World, quick};

/// A certificate for these names as it lies in a folder; until when, in days from now.
pub fn put(folder: &Path, file: &str, names: &[&str], days: i64) -> Vec<u8> {
    put_from(folder, file, names, time::Duration::days(-30), days)
}

/// The same; it begins to hold so long from now.
pub fn put_from(folder: &Path, file: &str, names: &[&str], begins: time::Duration, days: i64) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names.iter().map(|n| n.to_string()).collect::<Vec<_>>()).unwrap();
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now + begins;
    params.not_after = now + time::Duration::days(days);
    let certificate = params.self_signed(&key).unwrap();
    // The key first: a pair is never seen with the wrong one for long.
    std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    std::fs::write(folder.join(format!("{file}.crt")), certificate.pem()).unwrap();
    certificate.der().to_vec()
}

/// A gateway with the certificates of a folder.
pub async fn secure(folder: &Path) -> World {
    secure_with(folder, Tuning { certificates_every: std::time::Duration::from_millis(20), ..quick() }).await
}

/// The same with these limits.
pub async fn secure_with(folder: &Path, tuning: Tuning) -> World {
    let tls = Tls { listen: ([127, 0, 0, 1], 0).into(), certificates: folder.to_path_buf(), obtained: false };
    World::start_secure(tuning, Some(tls)).await
}

/// Where it takes connections by TLS.
pub fn address(world: &World) -> std::net::SocketAddr {
    let admin = std::fs::read(world.dir.path().join("gateway/admin.json")).unwrap();
    let admin: serde_json::Value = serde_json::from_slice(&admin).unwrap();
    admin["tls"].as_str().unwrap().parse().unwrap()
}

/// Takes any certificate: which one it was is what the tests look at.
#[derive(Debug)]
pub struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &known)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &known)
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A handshake by `name`, offering `protocols`.
pub async fn shake(
    world: &World,
    name: &str,
    protocols: &[&str],
    only: &[&'static rustls::SupportedProtocolVersion],
) -> TlsStream<TcpStream> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(only).unwrap();
    let mut config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    config.dangerous().set_certificate_verifier(Arc::new(Anyone));
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address(world)).await.unwrap();
    let name = ServerName::try_from(name.to_string()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}
