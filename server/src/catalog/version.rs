//! Versions of templates: how they compare, and the ranges of `upgrade_from`.

use std::cmp::Ordering;

use semver::{BuildMetadata, Prerelease, Version};

/// Drover's own version.
pub const DROVER: &str = env!("CARGO_PKG_VERSION");

/// Reads a version. Besides semantic versions, those that other systems' catalogs have: `v1.2`.
pub fn parse(text: &str) -> Option<Version> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    Version::parse(text).ok().or_else(|| {
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let missing = 2_usize.checked_sub(numbers.matches('.').count())?;
        Version::parse(&format!("{numbers}{}{rest}", ".0".repeat(missing))).ok()
    })
}

/// Compares two versions; what is no version comes before all that are.
pub fn compare(a: &str, b: &str) -> Ordering {
    parse(a).cmp(&parse(b)).then_with(|| a.cmp(b))
}

/// A range of versions: alternatives of comparisons that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range(Vec<Vec<Comparison>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    /// The first version that what stands here means.
    from: Version,
    /// The first one that it no longer means: `1.2` means all from 1.2.0 up to before 1.3.0.
    until: Option<Version>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Less,
    LessOrIn,
    Greater,
    GreaterOrIn,
}

impl Range {
    /// Reads a range such as `>=1.0.0 <2.0.0 || ^3.1`. `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        text.split("||").map(comparisons).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether a version is in it. Build metadata counts for nothing.
    pub fn contains(&self, version: &Version) -> bool {
        self.0.iter().any(|all| all.iter().all(|one| one.holds(version)))
    }
}

impl Comparison {
    fn holds(&self, version: &Version) -> bool {
        let reaches = version.cmp_precedence(&self.from).is_ge();
        let passes = match &self.until {
            Some(until) => version.cmp_precedence(until).is_ge(),
            None => version.cmp_precedence(&self.from).is_gt(),
        };
        match self.operator {
            Operator::In => reaches && !passes,
            Operator::NotIn => !reaches || passes,
            Operator::Less => !reaches,
            Operator::LessOrIn => !passes,
            Operator::Greater => passes,
            Operator::GreaterOrIn => reaches,
        }
    }
}

fn comparisons(text: &str) -> Option<Vec<Comparison>> {
    let mut found = Vec::new();
    let mut operator = String::new();
    for word in text.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        let start = word.find(|c: char| !"=!<>~^".contains(c)).unwrap_or(word.len());
        operator.push_str(&word[..start]);
        if start < word.len() {
            found.push(comparison(&operator, &word[start..])?);
            operator.clear();
        }
    }
    (operator.is_empty() && !found.is_empty()).then_some(found)
}

fn comparison(operator: &str, text: &str) -> Option<Comparison> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts = Vec::new();
    for part in numbers.split('.') {
        if matches!(part, "x" | "X" | "*") {
            break;
        }
        parts.push(part.parse::<u64>().ok()?);
    }
    let exact = parts.len() == 3;
    if parts.len() > 3 || (!rest.is_empty() && !exact) {
        return None;
    }
    let number = |at: usize| parts.get(at).copied().unwrap_or(0);
    let mut from = Version::new(number(0), number(1), number(2));
    if exact {
        let whole = Version::parse(text).ok()?;
        from.pre = whole.pre;
    }
    // A version ends before the next one's pre-releases.
    let before = |major, minor| Version {
        major,
        minor,
        patch: 0,
        pre: Prerelease::new("0").unwrap_or_default(),
        build: BuildMetadata::EMPTY,
    };
    let until = match (operator, parts.len()) {
        ("^", _) if number(0) == 0 && parts.len() > 1 => match (number(1), parts.len()) {
            (0, 3) => Some(Version { patch: number(2).checked_add(1)?, ..before(0, 0) }),
            (minor, _) => Some(before(0, minor.checked_add(1)?)),
        },
        ("^", 1..) | ("~", 1) => Some(before(number(0).checked_add(1)?, 0)),
        ("~", 2..) => Some(before(number(0), number(1).checked_add(1)?)),
        (_, 0) => Some(before(u64::MAX, 0)),
        (_, 1) => Some(before(number(0).checked_add(1)?, 0)),
        (_, 2) => Some(before(number(0), number(1).checked_add(1)?)),
        _ => None,
    };
    let operator = match operator {
        "" | "=" | "==" | "^" | "~" => Operator::In,
        "!=" => Operator::NotIn,
        "<" => Operator::Less,
        "<=" => Operator::LessOrIn,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterOrIn,
        _ => return None,
    };
    Some(Comparison { operator, from, until })
}

/// Whether a stack with one version can be upgraded to another, newer one. A range that cannot be
/// read holds nothing back.
pub fn can_upgrade(from: &str, to: &str, upgrade_from: Option<&str>) -> bool {
    let newer = match (parse(from), parse(to)) {
        (Some(from), Some(to)) => to > from,
        _ => return false,
    };
    newer
        && upgrade_from
            .and_then(Range::parse)
            .zip(parse(from))
            .is_none_or(|(range, from)| range.contains(&from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_is_newer_than_nine() {
        let mut versions = vec![
            "1.10.0",
            "1.9.0",
            "2.0.0-rc.1",
            "2.0.0",
            "v1.2",
            "latest",
            "1.2.1",
            "2.0.0+rev.2",
        ];
        versions.sort_by(|a, b| compare(a, b));
        assert_eq!(
            versions,
            ["latest", "v1.2", "1.2.1", "1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0", "2.0.0+rev.2"]
        );
    }

    #[test]
    fn ranges_hold_by_the_table() {
        for (range, version, expected) in [
            (">=1.0.0", "1.0.0", true),
            (">=1.0.0", "0.9.9", false),
            (">= 1.0.0 < 2.0.0", "1.9.0", true),
            (">=1.0.0,<2.0.0", "2.0.0", false),
            ("<1.0.0 || ^2.1", "2.5.0", true),
            ("<1.0.0 || ^2.1", "3.0.0-rc.1", false),
            ("<1.0.0 || ^2.1", "1.5.0", false),
            ("~1.2.3", "1.2.9", true),
            ("~1.2.3", "1.3.0", false),
            ("^0.3.1", "0.3.9", true),
            ("^0.3.1", "0.4.0", false),
            ("^0.0.3", "0.0.4", false),
            ("1.x", "1.99.0", true),
            ("1.2", "1.2.7", true),
            ("1.2", "1.3.0", false),
            ("=1.2.3", "1.2.3+rev.4", true),
            ("!=1.2.3", "1.2.3", false),
            (">1.2", "1.2.9", false),
            (">1.2", "1.3.0", true),
            ("<=1.2", "1.2.9", true),
            ("*", "7.0.0", true),
            ("<2.0.0", "1.0.0-rancher2", true),
        ] {
            let holds = Range::parse(range)
                .zip(parse(version))
                .map(|(range, version)| range.contains(&version));
            assert_eq!(holds, Some(expected), "{range} {version}");
        }
        for range in ["", ">=", "one", "1.2.3.4", "1.2-rc", "=>1.0.0", "1.0.0 || "] {
            assert_eq!(Range::parse(range), None, "{range}");
        }
    }

    #[test]
    fn upgrades_go_up_and_follow_the_range() {
        assert!(can_upgrade("1.9.0", "1.10.0", None));
        assert!(!can_upgrade("1.10.0", "1.9.0", None));
        assert!(!can_upgrade("1.0.0", "1.0.0", None));
        assert!(can_upgrade("1.0.0", "2.0.0", Some(">=1.0.0")));
        assert!(!can_upgrade("1.0.0", "3.0.0", Some(">=2.0.0")));
        assert!(can_upgrade("1.0.0", "3.0.0", Some("whatever")));
        assert!(!can_upgrade("latest", "3.0.0", None));
    }
}
