//! Which agents fit this server. Versions are the server's own; the protocol is what has to match.

use drover_api::AgentFit;
use semver::Version;

/// The version of the tunnel's protocol that this build speaks.
pub const PROTOCOL: u32 = 1;
/// The oldest that it still speaks.
pub const OLDEST_PROTOCOL: u32 = 1;
/// This build's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How an agent of this version stands to the server's own.
pub fn fit(agent: &str, refused: bool) -> AgentFit {
    if refused {
        return AgentFit::TooOld;
    }
    match (Version::parse(agent), Version::parse(VERSION)) {
        (Ok(agent), Ok(own)) if agent < own => AgentFit::Outdated,
        (Ok(agent), Ok(own)) if agent > own => AgentFit::Newer,
        (Ok(_), Ok(_)) => AgentFit::Current,
        _ => AgentFit::Unknown,
    }
}

/// The newest protocol that both speak.
pub fn common(theirs: (u32, u32)) -> Option<u32> {
    let newest = PROTOCOL.min(theirs.1);
    (newest >= OLDEST_PROTOCOL && newest >= theirs.0).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_versions() {
        assert_eq!(fit(VERSION, false), AgentFit::Current);
        assert_eq!(fit("0.0.9", false), AgentFit::Outdated);
        assert_eq!(fit("10.0.0", false), AgentFit::Newer);
        assert_eq!(fit("", false), AgentFit::Unknown);
        assert_eq!(fit("0.0.1", true), AgentFit::TooOld);
    }

    #[test]
    fn the_newest_common_protocol_is_spoken() {
        assert_eq!(common((OLDEST_PROTOCOL, PROTOCOL)), Some(PROTOCOL));
        assert_eq!(common((OLDEST_PROTOCOL, PROTOCOL + 5)), Some(PROTOCOL));
        assert_eq!(common((PROTOCOL + 1, PROTOCOL + 5)), None);
        assert_eq!(common((0, OLDEST_PROTOCOL - 1)), None);
    }
}
