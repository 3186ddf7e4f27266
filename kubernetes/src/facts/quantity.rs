//! Quantities as Kubernetes writes them: `100m`, `1.5`, `64Mi`, `2e3`.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>

/// The number that a quantity is. `None` for anything else.
pub fn parse(text: &str) -> Option<f64> {
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || matches!(first, b'.' | b'-' | b'+')) {
        return None;
    }
    let end = text
        .bytes()
        .position(|b| !(b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+')))
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let factor = match &text[end..] {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        "Ei" => 1_152_921_504_606_846_976.0,
        rest => {
            let exponent = rest.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
            10f64.powi(exponent.clamp(-30, 30))
        }
    };
    Some(number * factor)
}

/// Thousandths of a CPU, rounded up as Kubernetes does; 0 for what is none.
pub fn cpu_milli(text: &str) -> u32 {
    parse(text).map_or(0, |cpus| (cpus * 1000.0).ceil() as u32)
}

/// Bytes, rounded up; 0 for what is none.
pub fn bytes(text: &str) -> u64 {
    parse(text).map_or(0, |bytes| bytes.ceil() as u64)
}

/// Bytes as people write them.
pub fn show_bytes(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor {
            let value = bytes as f64 / factor as f64;
            return if value.fract() < 0.05 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, value) in [
            ("0", 0.0),
            ("100m", 0.1),
            ("1.5", 1.5),
            ("64Mi", 67_108_864.0),
            ("1G", 1e9),
            ("2e3", 2000.0),
            ("1E", 1e18),
            ("1E2", 100.0),
            ("-1", -1.0),
            ("128974848000m", 128_974_848.0),
        ] {
            let read = parse(text).unwrap();
            assert!((read - value).abs() <= value.abs() * 1e-9, "{text}: {read}");
        }
        for bad in ["", "m", "1/1", "1Mib", "abc", "1.2.3", "5m30s", "10%", "1e", "-", "NaN", "inf"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!((cpu_milli("0.5"), cpu_milli("1n"), cpu_milli("x")), (500, 1, 0));
        assert_eq!(bytes("1Ki"), 1024);
    }

    #[test]
    fn bytes_for_people() {
        assert_eq!(show_bytes(512 << 20), "512 MiB");
        assert_eq!(show_bytes(1536 << 20), "1.5 GiB");
        assert_eq!(show_bytes(10), "10 bytes");
    }
}
