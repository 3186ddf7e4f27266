//! What a certificate says of itself.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use time::OffsetDateTime;

/// Reads a certificate chain with its private key, both PEM, and says when the first of the chain
/// ends.
pub(super) fn expiry(pem: &str) -> Result<OffsetDateTime, String> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "There is no private key (PEM) in this text.".to_owned())?;
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| "A certificate in this text cannot be read.".to_owned())?;
    chain
        .iter()
        .map(|certificate| not_after(certificate))
        .collect::<Option<Vec<_>>>()
        .and_then(|ends| ends.into_iter().min())
        .ok_or_else(|| "There is no certificate (PEM) in this text.".to_owned())
}

/// The end of validity of an X.509 certificate (RFC 5280, section 4.1).
fn not_after(der: &[u8]) -> Option<OffsetDateTime> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    // version [0] is optional; then serial number, signature algorithm, issuer.
    let mut skip = 3;
    if rest.first() == Some(&0xa0) {
        skip = 4;
    }
    for _ in 0..skip {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, after_begin) = element(validity)?;
    let (tag, text, _) = element(after_begin)?;
    let text = std::str::from_utf8(text).ok()?;
    let full = match tag {
        // UTCTime has two digits for the year, 1950 to 2049.
        0x17 => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            format!("{century}{text}")
        }
        _ => text.to_owned(),
    };
    let format = time::macros::format_description!("[year][month][day][hour][minute][second]Z");
    time::PrimitiveDateTime::parse(&full, format).ok().map(time::PrimitiveDateTime::assume_utc)
}

/// The first DER element: tag, content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
