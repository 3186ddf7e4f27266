//! Quantities: `100m`, `1Gi`, `1e3`.

use serde_json::Value;

/// What is said of a text that is none.
pub const NOT_ONE: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// The quantity in thousandths, if it is one.
pub fn milli(text: &str) -> Option<i128> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    if number.is_empty() || number.starts_with('-') && number.len() == 1 {
        return None;
    }
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if !part.bytes().all(|c| c.is_ascii_digit()) || whole.is_empty() && part.is_empty() {
        return None;
    }
    let negative = whole.starts_with('-');
    let whole: i128 = match whole.trim_start_matches(['+', '-']) {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let mut scaled = whole.checked_mul(1_000_000_000_000)?;
    let mut unit: i128 = 100_000_000_000;
    for digit in part.bytes() {
        scaled = scaled.checked_add(i128::from(digit - b'0') * unit)?;
        unit /= 10;
    }
    // In units of 10^-12 here.
    let value = match suffix {
        "" => scaled,
        "n" => scaled / 1_000_000_000,
        "u" => scaled / 1_000_000,
        "m" => scaled / 1000,
        "k" => scaled.checked_mul(1000)?,
        "M" => scaled.checked_mul(1_000_000)?,
        "G" => scaled.checked_mul(1_000_000_000)?,
        "T" => scaled.checked_mul(1_000_000_000_000)?,
        "P" => scaled.checked_mul(1_000_000_000_000_000)?,
        "Ki" => scaled.checked_mul(1 << 10)?,
        "Mi" => scaled.checked_mul(1 << 20)?,
        "Gi" => scaled.checked_mul(1 << 30)?,
        "Ti" => scaled.checked_mul(1 << 40)?,
        "Pi" => scaled.checked_mul(1 << 50)?,
        _ => {
            let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            scaled.checked_mul(10_i128.checked_pow(exponent)?)?
        }
    };
    // Rounded up to thousandths.
    let milli = (value + 999_999_999) / 1_000_000_000;
    Some(if negative { -milli } else { milli })
}

/// A quantity of an object: text or number.
pub fn of(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => milli(text),
        Value::Number(number) => milli(&number.to_string()),
        _ => None,
    }
}

/// Thousandths as a short text.
pub fn shown(milli: i128, binary: bool) -> String {
    if milli % 1000 != 0 {
        return format!("{milli}m");
    }
    let mut value = milli / 1000;
    if binary && value != 0 {
        let mut unit = 0;
        while value % 1024 == 0 && unit < 5 {
            value /= 1024;
            unit += 1;
        }
        return format!("{value}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi"][unit]);
    }
    let mut unit = 0;
    while value != 0 && value % 1000 == 0 && unit < 5 {
        value /= 1000;
        unit += 1;
    }
    format!("{value}{}", ["", "k", "M", "G", "T", "P"][unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        for (text, expected) in [
            ("1", Some(1000)),
            ("100m", Some(100)),
            ("1.5", Some(1500)),
            ("1Ki", Some(1_024_000)),
            ("1e3", Some(1_000_000)),
            ("2G", Some(2_000_000_000_000)),
            ("abc", None),
            ("", None),
            ("1 Gi", None),
        ] {
            assert_eq!(milli(text), expected, "{text}");
        }
        assert_eq!(shown(1_073_741_824_000, true), "1Gi");
        assert_eq!(shown(1500, false), "1500m");
        assert_eq!(shown(2000, false), "2");
    }
}
