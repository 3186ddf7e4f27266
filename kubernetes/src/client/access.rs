//! What it takes to speak with one cluster: its address, how its certificate is checked, and the
//! credentials. Secrets are not shown and not serialized, except by [`Access::to_sealable`].

use hyper::Uri;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// See the module's first lines.
#[derive(Debug, Clone)]
pub struct Access {
    /// The API server's address, e.g. `https://k8s.example.test:6443`, perhaps with a path.
    pub server: String,
    /// The certificates of the CAs that may have issued the server's; `None` for those of this
    /// machine.
    pub ca_pem: Option<String>,
    /// The name that the server's certificate must have, when it is not the address' own.
    pub tls_server_name: Option<String>,
    /// The server's certificate is not checked at all.
    pub insecure: bool,
    /// Who Drover is in the cluster.
    pub credentials: Credentials,
    /// The namespace that the kubeconfig names.
    pub namespace: Option<String>,
}

/// What an account shows; mostly one of these.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// A bearer token.
    pub token: Option<SecretString>,
    /// A client certificate.
    pub certificate: Option<ClientCertificate>,
    /// A name and password, which only proxies before an API server take.
    pub basic: Option<Basic>,
}

/// A client certificate and its key, both PEM.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate, perhaps with intermediate ones.
    pub certificate: String,
    /// The private key.
    pub key: SecretString,
}

/// A name and password.
#[derive(Debug, Clone)]
pub struct Basic {
    /// The name.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

impl Credentials {
    /// Only a bearer token.
    pub fn token(token: SecretString) -> Self {
        Self { token: Some(token), ..Self::default() }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.token.is_none() && self.certificate.is_none() && self.basic.is_none()
    }
}

/// [`Access`] with its secrets readable, for sealing only.
#[derive(Serialize, Deserialize)]
struct Sealable {
    server: String,
    ca_pem: Option<String>,
    tls_server_name: Option<String>,
    insecure: bool,
    token: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    user: Option<String>,
    password: Option<String>,
    namespace: Option<String>,
}

impl Access {
    /// All of it as JSON, secrets too: to be encrypted at once.
    pub fn to_sealable(&self) -> SecretString {
        let read = |secret: &SecretString| secret.expose_secret().to_owned();
        let credentials = &self.credentials;
        let sealable = Sealable {
            server: self.server.clone(),
            ca_pem: self.ca_pem.clone(),
            tls_server_name: self.tls_server_name.clone(),
            insecure: self.insecure,
            token: credentials.token.as_ref().map(read),
            certificate: credentials.certificate.as_ref().map(|c| c.certificate.clone()),
            key: credentials.certificate.as_ref().map(|c| read(&c.key)),
            user: credentials.basic.as_ref().map(|basic| basic.user.clone()),
            password: credentials.basic.as_ref().map(|basic| read(&basic.password)),
            namespace: self.namespace.clone(),
        };
        serde_json::to_string(&sealable).unwrap_or_default().into()
    }

    /// What [`Access::to_sealable`] has made.
    ///
    /// # Errors
    /// When it is anything else; the error says nothing of the content.
    pub fn from_sealable(text: &str) -> Result<Self, String> {
        let sealable: Sealable = serde_json::from_str(text)
            .map_err(|_| "The stored credentials of the cluster cannot be read. Import its kubeconfig again.")?;
        Ok(Self {
            server: sealable.server,
            ca_pem: sealable.ca_pem,
            tls_server_name: sealable.tls_server_name,
            insecure: sealable.insecure,
            credentials: Credentials {
                token: sealable.token.map(Into::into),
                certificate: sealable
                    .certificate
                    .zip(sealable.key)
                    .map(|(certificate, key)| ClientCertificate { certificate, key: key.into() }),
                basic: sealable
                    .user
                    .zip(sealable.password)
                    .map(|(user, password)| Basic { user, password: password.into() }),
            },
            namespace: sealable.namespace,
        })
    }
}

/// Where an API server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// TLS or not.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What stands before every path, without a slash at its end: empty, or e.g. `/k8s/clusters/c-1`.
    pub base_path: String,
}

impl ServerAddress {
    /// Reads the address of a kubeconfig.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(server: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{server}` is not the address of an API server, e.g. https://k8s.example.com:6443."
            )
        };
        if server.len() > 2048 {
            return Err("The address of the API server is too long.".into());
        }
        let uri: Uri = server.trim().parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(wrong());
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let port = match authority.port_u16() {
            Some(0) => return Err(wrong()),
            Some(port) => port,
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
        };
        if host.is_empty() {
            return Err(wrong());
        }
        let base_path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { tls, host: host.to_owned(), port, base_path })
    }

    /// As it stands in a `Host` header.
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

/// Checks the address of an API server.
///
/// # Errors
/// A sentence.
pub fn check_server(server: &str) -> Result<(), String> {
    ServerAddress::parse(server).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let address = ServerAddress::parse("https://[fd00::1]:6443/").unwrap();
        assert_eq!(
            (address.host.as_str(), address.port, address.base_path.as_str()),
            ("fd00::1", 6443, "")
        );
        assert_eq!(address.authority(), "[fd00::1]:6443");
        let address = ServerAddress::parse("https://rancher.test/k8s/clusters/c-1").unwrap();
        assert_eq!((address.port, address.base_path.as_str()), (443, "/k8s/clusters/c-1"));
        assert_eq!(address.authority(), "rancher.test");
        for bad in [
            "",
            "k8s.test:6443",
            "ftp://a",
            "https://",
            "https://u:p@a",
            "https://a:0",
            "https://a/?x=1",
            "https://a b",
        ] {
            assert!(ServerAddress::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn access_comes_back_as_it_was() {
        let access = Access {
            server: "https://a:1".into(),
            ca_pem: Some("ca".into()),
            tls_server_name: Some("b".into()),
            insecure: true,
            credentials: Credentials {
                token: Some("t".to_owned().into()),
                certificate: Some(ClientCertificate {
                    certificate: "c".into(),
                    key: "k".to_owned().into(),
                }),
                basic: Some(Basic { user: "u".into(), password: "p".to_owned().into() }),
            },
            namespace: None,
        };
        let sealed = access.to_sealable();
        let back = Access::from_sealable(sealed.expose_secret()).unwrap();
        assert_eq!(back.to_sealable().expose_secret(), sealed.expose_secret());
        assert!(!Access::from_sealable("{\"token\": \"hidden\"}").unwrap_err().contains("hidden"));
    }
}
