//! The cluster's own certificate authority: just enough X.509 (RFC 5280) for a server's
//! certificate and those of clients, whose subject says who they are.

use std::{net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use time::{Duration, OffsetDateTime, macros::format_description};

/// A certificate that cannot be made or used.
#[derive(Debug)]
pub struct CertificateError(String);

impl std::fmt::Display for CertificateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CertificateError {}

fn failed(what: impl std::fmt::Display) -> CertificateError {
    CertificateError(what.to_string())
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// DER.
    pub certificate: Vec<u8>,
    /// PKCS #8 DER.
    pub key: Vec<u8>,
}

impl Issued {
    /// The certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The key as PEM.
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// An authority.
#[derive(Debug, Clone)]
pub struct Authority {
    issued: Issued,
    name: Vec<u8>,
}

/// What a certificate is for.
enum Use<'a> {
    Authority,
    Server(&'a [String]),
    Client,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(common_name: &str) -> Result<Self, CertificateError> {
        let subject = name(common_name, &[]);
        let key = new_key()?;
        let certificate = sign(&key, &key, &subject, &subject, &Use::Authority, (-1, 3650))?;
        Ok(Self { issued: Issued { certificate, key }, name: subject })
    }

    /// The authority's own certificate as PEM.
    pub fn pem(&self) -> String {
        self.issued.certificate_pem()
    }

    /// A server's certificate for those names and addresses.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn server(&self, names: &[String]) -> Result<Issued, CertificateError> {
        self.issue(&name("kube-apiserver", &[]), &Use::Server(names), (-1, 365))
    }

    /// A client's certificate: the common name is the user, the organisations are the groups.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Issued, CertificateError> {
        self.issue(&name(user, groups), &Use::Client, (-1, 365))
    }

    fn issue(
        &self,
        subject: &[u8],
        usage: &Use,
        days: (i64, i64),
    ) -> Result<Issued, CertificateError> {
        let key = new_key()?;
        let certificate = sign(&self.issued.key, &key, &self.name, subject, usage, days)?;
        Ok(Issued { certificate, key })
    }

    /// How a server with that certificate speaks TLS: certificates of clients are taken from this
    /// authority, and none is needed.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn server_config(&self, server: &Issued) -> Result<ServerConfig, CertificateError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.issued.certificate.clone())).map_err(failed)?;
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server.key.clone()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![CertificateDer::from(server.certificate.clone())], key)
            .map_err(failed)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn new_key() -> Result<Vec<u8>, CertificateError> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .map(|document| document.as_ref().to_vec())
        .map_err(failed)
}

fn sign(
    signer: &[u8],
    key: &[u8],
    issuer: &[u8],
    subject: &[u8],
    usage: &Use,
    (from, until): (i64, i64),
) -> Result<Vec<u8>, CertificateError> {
    let random = SystemRandom::new();
    let load = |key: &[u8]| {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key, &random).map_err(failed)
    };
    let (signer, key) = (load(signer)?, load(key)?);
    let mut serial = [0_u8; 16];
    random.fill(&mut serial).map_err(failed)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    let algorithm = tlv(0x30, &oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]));
    let now = OffsetDateTime::now_utc();
    let validity = [time(now + Duration::days(from))?, time(now + Duration::days(until))?].concat();
    let public = [
        tlv(
            0x30,
            &[
                oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]),
                oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
            ]
            .concat(),
        ),
        bits(key.public_key().as_ref()),
    ]
    .concat();
    let body = [
        tlv(0xa0, &tlv(0x02, &[2])),
        tlv(0x02, &serial),
        algorithm.clone(),
        issuer.to_vec(),
        tlv(0x30, &validity),
        subject.to_vec(),
        tlv(0x30, &public),
        tlv(0xa3, &tlv(0x30, &extensions(usage))),
    ]
    .concat();
    let body = tlv(0x30, &body);
    let signature = signer.sign(&random, &body).map_err(failed)?;
    Ok(tlv(0x30, &[body, algorithm, bits(signature.as_ref())].concat()))
}

fn extensions(usage: &Use) -> Vec<u8> {
    let extension = |id: u8, critical: bool, value: &[u8]| {
        let critical = if critical { tlv(0x01, &[0xff]) } else { Vec::new() };
        tlv(0x30, &[oid(&[0x55, 0x1d, id]), critical, tlv(0x04, value)].concat())
    };
    let purpose = |last: u8| tlv(0x30, &oid(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, last]));
    match usage {
        Use::Authority => [
            extension(0x13, true, &tlv(0x30, &tlv(0x01, &[0xff]))),
            // keyCertSign and cRLSign.
            extension(0x0f, true, &tlv(0x03, &[1, 0x06])),
        ]
        .concat(),
        Use::Server(names) => {
            let names: Vec<u8> = names
                .iter()
                .flat_map(|name| match name.parse::<IpAddr>() {
                    Ok(IpAddr::V4(address)) => tlv(0x87, &address.octets()),
                    Ok(IpAddr::V6(address)) => tlv(0x87, &address.octets()),
                    Err(_) => tlv(0x82, name.as_bytes()),
                })
                .collect();
            [
                extension(0x0f, true, &tlv(0x03, &[7, 0x80])),
                extension(0x25, false, &purpose(1)),
                extension(0x11, false, &tlv(0x30, &names)),
            ]
            .concat()
        }
        Use::Client => {
            [extension(0x0f, true, &tlv(0x03, &[7, 0x80])), extension(0x25, false, &purpose(2))]
                .concat()
        }
    }
}

fn name(common_name: &str, organisations: &[&str]) -> Vec<u8> {
    let part = |id: u8, value: &str| {
        let pair = [oid(&[0x55, 0x04, id]), tlv(0x0c, value.as_bytes())].concat();
        tlv(0x31, &tlv(0x30, &pair))
    };
    let mut parts: Vec<u8> = organisations.iter().flat_map(|value| part(0x0a, value)).collect();
    parts.extend(part(0x03, common_name));
    tlv(0x30, &parts)
}

fn time(time: OffsetDateTime) -> Result<Vec<u8>, CertificateError> {
    let format = format_description!("[year][month][day][hour][minute][second]Z");
    let text = time.format(format).map_err(failed)?;
    // UTCTime until 2049, as the standard wants it.
    Ok(if time.year() < 2050 {
        tlv(0x17, &text.as_bytes()[2..])
    } else {
        tlv(0x18, text.as_bytes())
    })
}

fn oid(bytes: &[u8]) -> Vec<u8> {
    tlv(0x06, bytes)
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], bytes].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(byte) => out.extend([0x81, byte]),
        Err(_) => {
            let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
            let bytes: Vec<_> = bytes.into_iter().skip_while(|&byte| byte == 0).collect();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(4));
            out.extend(bytes);
        }
    }
    out.extend(content);
    out
}

/// Who a client's certificate says that it is: the common name and the organisations.
pub fn subject(certificate: &[u8]) -> Option<(String, Vec<String>)> {
    let (_, certificate, _) = read(certificate)?;
    let (_, mut body, _) = read(certificate)?;
    // Version, serial, algorithm, issuer, validity.
    for _ in 0..5 {
        (_, _, body) = read(body)?;
    }
    let (_, mut parts, _) = read(body)?;
    let (mut user, mut groups) = (None, Vec::new());
    while !parts.is_empty() {
        let (_, mut set, rest) = read(parts)?;
        parts = rest;
        while !set.is_empty() {
            let (_, pair, rest) = read(set)?;
            set = rest;
            let (_, id, value) = read(pair)?;
            let (_, value, _) = read(value)?;
            let value = String::from_utf8_lossy(value).into_owned();
            match id {
                [0x55, 0x04, 0x03] => user = Some(value),
                [0x55, 0x04, 0x0a] => groups.push(value),
                _ => {}
            }
        }
    }
    Some((user?, groups))
}

/// Tag, content and what follows.
fn read(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let length =
            rest.get(..count.min(4))?.iter().fold(0, |all, &byte| all << 8 | usize::from(byte));
        (length, rest.get(count..)?)
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_who_its_certificate_names() {
        let authority = Authority::new("kubernetes").unwrap();
        let client = authority.client("ada", &["system:masters", "team"]).unwrap();
        let (user, groups) = subject(&client.certificate).unwrap();
        assert_eq!((user.as_str(), groups.len()), ("ada", 2));
        authority.server_config(&authority.server(&["127.0.0.1".to_owned()]).unwrap()).unwrap();
    }
}
