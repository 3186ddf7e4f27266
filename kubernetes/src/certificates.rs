//! When certificates end, read out of them without a library for all that they can hold.
//!
//! RFC 5280, section 4.1: `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version?,
//! serialNumber, signature, issuer, validity SEQUENCE { notBefore, notAfter } … } … }`.

use base64::{Engine, prelude::BASE64_STANDARD};
use time::{Date, OffsetDateTime, Time};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The tag, the content, and what stands behind, of the DER element at the beginning.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) || rest.len() < count {
            return None;
        }
        let (bytes, rest) = rest.split_at(count);
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    (length <= rest.len()).then(|| {
        let (content, behind) = rest.split_at(length);
        (tag, content, behind)
    })
}

fn inside(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, behind) = element(der)?;
    (tag == wanted).then_some((content, behind))
}

/// When a certificate (DER) ends; `None` for what is none.
pub fn ends(der: &[u8]) -> Option<OffsetDateTime> {
    let (certificate, _) = inside(der, SEQUENCE)?;
    let (mut rest, _) = inside(certificate, SEQUENCE)?;
    if let Some((_, behind)) = inside(rest, VERSION) {
        rest = behind;
    }
    for _ in ["serial number", "signature", "issuer"] {
        rest = element(rest)?.2;
    }
    let (validity, _) = inside(rest, SEQUENCE)?;
    let (_, _, behind) = element(validity)?;
    let (tag, text, _) = element(behind)?;
    moment(tag, std::str::from_utf8(text).ok()?)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn moment(tag: u8, text: &str) -> Option<OffsetDateTime> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let short: i32 = text.get(..2)?.parse().ok()?;
            (if short < 50 { 2000 + short } else { 1900 + short }, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let digits = rest.strip_suffix('Z')?;
    let number = |at: usize| digits.get(at..at + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, number(0)?.try_into().ok()?, number(2)?).ok()?;
    let time = Time::from_hms(number(4)?, number(6)?, number(8)?).ok()?;
    Some(date.with_time(time).assume_utc())
}

/// When the first certificate in a PEM text ends.
pub fn pem_ends(pem: &str) -> Option<OffsetDateTime> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (base64, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let base64: String = base64.split_whitespace().collect();
    ends(&BASE64_STANDARD.decode(base64).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut all = vec![tag, 0x82];
        all.extend((content.len() as u16).to_be_bytes());
        all.extend(content);
        all
    }

    fn certificate(version: bool, tag: u8, until: &str) -> Vec<u8> {
        let mut fields = Vec::new();
        if version {
            fields.extend(wrap(VERSION, &[2, 1, 2]));
        }
        fields.extend(wrap(2, &[7]));
        fields.extend(wrap(SEQUENCE, &[]));
        fields.extend(wrap(SEQUENCE, &[]));
        let times = [wrap(UTC_TIME, b"250101000000Z"), wrap(tag, until.as_bytes())].concat();
        fields.extend(wrap(SEQUENCE, &times));
        wrap(SEQUENCE, &wrap(SEQUENCE, &fields))
    }

    #[test]
    fn the_end_is_read() {
        let unix = |at: Option<OffsetDateTime>| at.map(OffsetDateTime::unix_timestamp);
        let short = certificate(true, UTC_TIME, "300102030405Z");
        assert_eq!(unix(ends(&short)), Some(1_893_553_445));
        let long = certificate(false, GENERALIZED_TIME, "20510102030405Z");
        assert_eq!(unix(ends(&long)), Some(2_556_241_445));
        let pem = format!(
            "x\n-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            BASE64_STANDARD.encode(&short)
        );
        assert_eq!(pem_ends(&pem), ends(&short));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let good = certificate(true, UTC_TIME, "300102030405Z");
        for length in 0..good.len() {
            // Cut anywhere: nothing, and no panic.
            assert_eq!(ends(&good[..length]), None);
        }
        assert_eq!(ends(&certificate(true, UTC_TIME, "309902030405Z")), None);
        assert_eq!(pem_ends("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"), None);
    }
}
