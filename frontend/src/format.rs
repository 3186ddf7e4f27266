//! Figures and times in words.

use drover_api::Timestamp;

use crate::i18n::{Language, language, plural, t};

/// Now, in Unix milliseconds.
pub fn now_ms() -> f64 {
    #[cfg(target_arch = "wasm32")]
    return js_sys::Date::now();
    #[cfg(not(target_arch = "wasm32"))]
    return time::OffsetDateTime::now_utc().unix_timestamp() as f64 * 1000.0;
}

/// At most three significant digits: `1.23`, `12.3`, `123`.
fn significant(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Bytes in binary units: `1.5 GiB`.
pub fn bytes(value: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = value;
    let mut unit = 0;
    while value.abs() >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{value:.0} B")
    } else {
        format!("{} {}", significant(value), UNITS[unit])
    }
}

/// Bytes a second: `12.3 KiB/s`.
pub fn rate(value: f64) -> String {
    format!("{}/s", bytes(value))
}

/// CPU in cores: `0.025`, `1.5`.
pub fn cores(value: f64) -> String {
    match value {
        value if value < 0.0005 => "0".into(),
        value if value < 0.0995 => {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').to_owned()
        }
        value => significant(value),
    }
}

/// A count with groups of three: `10,000`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in its largest two units: `3 h 20 min`, `45 s`.
pub fn duration(ms: f64) -> String {
    let s = (ms / 1000.0).max(0.0);
    if s < 10.0 {
        return format!("{s:.1} s");
    }
    let s = s.round() as u64;
    let two = |a: u64, ua: &str, b: u64, ub: &str| {
        if b == 0 { format!("{a} {ua}") } else { format!("{a} {ua} {b} {ub}") }
    };
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => two(s / 60, "min", s % 60, "s"),
        3_600..86_400 => two(s / 3_600, "h", s % 3_600 / 60, "min"),
        _ => two(s / 86_400, "d", s % 86_400 / 3_600, "h"),
    }
}

/// How long ago (or ahead), in words.
pub fn ago(at: Timestamp, now: f64) -> String {
    let words = &t().time;
    let s = (now - at.unix_ms() as f64) / 1000.0;
    let (s, texts) = if s < -1.0 { (-s, &words.ahead) } else { (s, &words.ago) };
    let n = |value: f64| value.floor() as u64;
    match s {
        s if s < 45.0 => words.now.to_owned(),
        s if s < 3_600.0 => plural(n(s / 60.0).max(1), texts[0]),
        s if s < 86_400.0 => plural(n(s / 3_600.0), texts[1]),
        s if s < 30.0 * 86_400.0 => plural(n(s / 86_400.0), texts[2]),
        s if s < 365.0 * 86_400.0 => plural(n(s / (30.0 * 86_400.0)), texts[3]),
        _ => plural(n(s / (365.0 * 86_400.0)), texts[4]),
    }
}

fn locale() -> &'static str {
    match language() {
        Language::English => "en-GB",
        Language::Chinese => "zh-CN",
    }
}

/// Date and time in the browser's time zone.
pub fn date_time(at: Timestamp) -> String {
    date(at.unix_ms() as f64, &[("dateStyle", "medium"), ("timeStyle", "medium")])
}

/// The time of day, to the second.
pub fn clock(unix_ms: f64) -> String {
    date(unix_ms, &[("timeStyle", "medium")])
}

/// The time of day, to the minute.
pub fn clock_short(unix_ms: f64) -> String {
    date(unix_ms, &[("timeStyle", "short")])
}

fn date(unix_ms: f64, options: &[(&str, &str)]) -> String {
    let settings = js_sys::Object::new();
    for (name, value) in options {
        // Setting a property of a fresh plain object cannot fail.
        let _ = js_sys::Reflect::set(&settings, &(*name).into(), &(*value).into());
    }
    js_sys::Date::new(&unix_ms.into()).to_locale_string(locale(), &settings).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1023.0), "1023 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(1024.0 * 1024.0 - 1.0), "1 MiB");
        assert_eq!(bytes(123.4 * 1024.0 * 1024.0), "123 MiB");
        assert_eq!(cores(0.0004), "0");
        assert_eq!(cores(0.001), "0.001");
        assert_eq!(cores(0.02), "0.02");
        assert_eq!(cores(0.25), "0.25");
        assert_eq!(cores(12.345), "12.3");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(duration(2_340.0), "2.3 s");
        assert_eq!(duration(62_000.0), "1 min 2 s");
        assert_eq!(duration(3_600_000.0), "1 h");
    }
}
