//! What can be wrong with the settings of GitHub before anybody is asked.

use drover_api::{FieldError, GithubConfig};

use crate::providers::http::{check_ca, check_client_id, parse_address, wrong};

/// All that is wrong with these settings.
pub fn check(config: &GithubConfig) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(url(&config.url).err().map(|message| wrong("url", message)));
    errors.extend(check_ca(config.ca.as_deref()));
    errors.extend(check_client_id(&config.client_id));
    errors
}

fn url(text: &str) -> Result<(), String> {
    let url = parse_address(text)?;
    if url.host_str() == Some("api.github.com") || url.path().starts_with("/api/") {
        return Err("Enter the address of GitHub's pages, not that of its API.".into());
    }
    if url.path() != "/" {
        return Err("Enter it without a path: https://github.com, or your server's.".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(url: &str) -> Vec<String> {
        let config =
            GithubConfig { url: url.into(), client_id: "Iv1.0123".into(), ..GithubConfig::new() };
        check(&config).into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn the_address_is_that_of_the_pages() {
        assert!(with("https://github.com").is_empty());
        assert!(with("https://github.example.com/").is_empty());
        for bad in [
            "",
            "github.com",
            "http://github.com",
            "https://api.github.com",
            "https://github.example.com/api/v3",
            "https://github.com/example",
        ] {
            assert_eq!(with(bad), ["config.url"], "{bad}");
        }
    }

    #[test]
    fn the_client_id_is_needed() {
        let errors = check(&GithubConfig::new());
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].field, "config.client_id");
    }
}
