//! Which servers to trust: those of the system's authorities, or of the administrator's own.

use std::sync::{Arc, LazyLock};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::ProviderError;

/// The system's authorities: read once, they are some hundred files.
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read some of the system's certificates");
    }
    roots.add_parsable_certificates(found.certs);
    Arc::new(roots)
});

/// Trusts the authorities in `ca` (PEM), or the system's when there are none.
///
/// # Errors
/// [`ProviderError::Misconfigured`] when `ca` has no certificate that can be used.
pub(super) fn client_config(ca: Option<&str>) -> Result<Arc<ClientConfig>, ProviderError> {
    let roots = match ca.map(str::trim).filter(|ca| !ca.is_empty()) {
        None => SYSTEM.clone(),
        Some(pem) => Arc::new(authorities(pem)?),
    };
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

fn authorities(pem: &str) -> Result<RootCertStore, ProviderError> {
    let wrong = |why: String| {
        ProviderError::Misconfigured(format!("The CA certificate cannot be used: {why}."))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is no `BEGIN CERTIFICATE` in it".into()));
    }
    Ok(roots)
}
