//! TLS to a cluster, from PEM texts in memory, over whatever the dialer opens.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use secrecy::ExposeSecret;

use super::{
    access::{Access, ServerAddress},
    error::{Failure, FailureKind, Result},
};

/// What a handshake needs.
pub(super) struct Tls {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl Tls {
    /// `None` for plain HTTP.
    pub fn of(access: &Access, address: &ServerAddress) -> Result<Option<Self>> {
        if !address.tls {
            return Ok(None);
        }
        let name = access.tls_server_name.clone().unwrap_or_else(|| address.host.clone());
        let name = ServerName::try_from(name.clone())
            .map_err(|_| wrong("name of the server", format!("`{name}` is no name")))?;
        Ok(Some(Self { config: Arc::new(config(access)?), name }))
    }
}

fn config(access: &Access) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("TLS set-up", error.to_string()))?;
    let builder = if access.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
    } else {
        builder.with_root_certificates(roots(access.ca_pem.as_deref())?)
    };
    let mut config = match &access.credentials.certificate {
        Some(client) => {
            let chain = certificates("client certificate", &client.certificate)?;
            let key = PrivateKeyDer::from_pem_slice(client.key.expose_secret().as_bytes())
                .map_err(|_| wrong("client key", "it holds no PEM private key".into()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| wrong("client certificate and key", error.to_string()))?
        }
        None => builder.with_no_client_auth(),
    };
    // HTTP/2 is not offered: see `connect`.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(ca_pem: Option<&str>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match ca_pem {
        Some(pem) => {
            for certificate in certificates("CA", pem)? {
                roots.add(certificate).map_err(|error| wrong("CA", error.to_string()))?;
            }
        }
        None => {
            // As kubectl does: the CAs of this machine.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(wrong(
                    "CA",
                    "the kubeconfig has none, and neither does this machine".into(),
                ));
            }
        }
    }
    Ok(roots)
}

fn certificates(what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(what, error.to_string()))?;
    if found.is_empty() {
        Err(wrong(what, "it holds no PEM certificate".into()))
    } else {
        Ok(found)
    }
}

fn wrong(what: &str, why: String) -> Failure {
    Failure::new(
        FailureKind::Certificate,
        format!("The {what} of the cluster cannot be used: {why}."),
    )
}

/// Takes any certificate, for `insecure-skip-tls-verify`; the handshake's signature is checked all
/// the same.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
