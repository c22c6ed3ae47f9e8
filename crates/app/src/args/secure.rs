//! What `slipway up` and the gateway are told of TLS.

use std::net::SocketAddr;
use std::path::PathBuf;

use slipway_gateway::tls::Tls;

/// Where and with what TLS is spoken to clients.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Secure {
    /// Where the gateway listens for TLS. Needs --certificates, or --acme.
    #[arg(long, value_name = "ADDRESS")]
    pub tls: Option<SocketAddr>,
    /// The folder with the certificates: NAME.crt and NAME.key, or NAME/fullchain.pem and NAME/privkey.pem.
    #[arg(long, value_name = "DIR", requires = "tls")]
    pub certificates: Option<PathBuf>,
}

/// Certificates that are obtained and renewed by themselves.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Acme {
    /// Obtain certificates from the ACME server with this directory, and renew them. Whoever names one agrees to its terms.
    #[arg(long = "acme", value_name = "URL", requires_all = ["tls", "hosts"])]
    pub directory: Option<String>,
    /// A host to obtain a certificate for; may be given several times.
    #[arg(long = "acme-host", id = "hosts", value_name = "HOST", requires = "directory", value_parser = host)]
    pub hosts: Vec<String>,
    /// Where the ACME server's people write to, such as mailto:ops@example.org.
    #[arg(long = "acme-contact", value_name = "URI", requires = "directory")]
    pub contact: Option<String>,
    /// Certificates in PEM that the ACME server's own is trusted by, in place of those that this machine trusts.
    #[arg(long = "acme-ca", value_name = "FILE", requires = "directory")]
    pub ca: Option<PathBuf>,
}

impl Secure {
    /// As the gateway takes it.
    pub fn tls(&self, obtained: bool) -> Option<Tls> {
        let (listen, certificates) = self.tls.zip(self.certificates.clone())?;
        Some(Tls { listen, certificates, obtained })
    }
}

/// A host that a certificate can be obtained for by answering at it: a name, not an address, and no wildcard.
fn host(text: &str) -> Result<String, String> {
    let host = text.to_ascii_lowercase();
    if host.starts_with("*.") {
        return Err("a wildcard cannot be proven by answering at it: name each host, or bring the certificate with --certificates".into());
    }
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Err("an address has no name to prove: name a host".into());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match host.len() <= 253 && host.split('.').all(is_label) {
        true => Ok(host),
        false => Err("no name of a host: labels of letters, digits and hyphens, with dots between them".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_proven_by_answering_is_asked_for() {
        assert_eq!(host("Shop.Example.org").as_deref(), Ok("shop.example.org"));
        let refused = |text: &str| host(text).expect_err(text);
        assert!(refused("*.example.org").contains("wildcard"));
        assert!(refused("203.0.113.7").contains("address"));
        for text in ["", "a..b", "-a.example", "sh op.example", "../etc", "a/b"] {
            assert!(refused(text).contains("no name"), "{text}");
        }
    }
}
