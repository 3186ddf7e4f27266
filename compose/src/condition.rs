//! The conditions of `x-drover-when` in Compose texts and of `show_if` in catalogs:
//! `a=b`, `a!=b`, joined by `&&` and `||` (`||` binds weakest). `a=` means that `a` is false,
//! empty or not set; a bare `a` the opposite. What cannot be read counts as true, so that a
//! misspelt condition hides nothing.

/// Whether a condition holds, with the values that `lookup` gives.
pub fn holds(condition: &str, lookup: impl Fn(&str) -> Option<String>) -> bool {
    condition.split("||").any(|all| all.split("&&").all(|one| one_holds(one.trim(), &lookup)))
}

/// The names that a condition asks for.
pub fn names(condition: &str) -> Vec<&str> {
    condition
        .split("||")
        .flat_map(|all| all.split("&&"))
        .map(|one| one.split(['=', '!']).next().unwrap_or_default().trim())
        .filter(|name| !name.is_empty())
        .collect()
}

fn one_holds(one: &str, lookup: &impl Fn(&str) -> Option<String>) -> bool {
    let (name, wanted, negated) = if let Some((name, value)) = one.split_once("!=") {
        (name, Some(value), true)
    } else if let Some((name, value)) = one.split_once('=') {
        (name, Some(value.trim_start_matches('=')), false)
    } else {
        (one, None, false)
    };
    let name = name.trim();
    if name.is_empty() {
        return true;
    }
    let value = lookup(name).unwrap_or_default();
    let matches = match wanted.map(|wanted| wanted.trim().trim_matches(['"', '\''])) {
        None => !is_falsy(&value),
        Some("") => is_falsy(&value),
        Some(wanted) => value == wanted,
    };
    matches != negated
}

fn is_falsy(value: &str) -> bool {
    matches!(value, "" | "false" | "False" | "FALSE" | "no" | "0" | "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_by_the_table() {
        let lookup = |name: &str| match name {
            "mode" => Some("cluster".to_owned()),
            "on" => Some("true".to_owned()),
            "off" => Some("false".to_owned()),
            _ => None,
        };
        for (condition, expected) in [
            ("mode=cluster", true),
            ("mode = single", false),
            ("mode!=single", true),
            ("mode=single || on=true", true),
            ("mode=cluster && off=true", false),
            ("mode=single&&on=true||mode=cluster", true),
            ("off=", true),
            ("on=", false),
            ("unset=", true),
            ("unset!=", false),
            ("on", true),
            ("off", false),
            ("", true),
            ("=x", true),
        ] {
            assert_eq!(holds(condition, lookup), expected, "{condition}");
        }
    }
}
