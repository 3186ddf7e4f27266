//! How Docker's own command line is used with a host.

use serde::{Deserialize, Serialize};

/// What to paste to use a host with `docker` and `docker-compose`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DockerContext {
    /// The engine's address for Docker's clients.
    #[cfg_attr(
        feature = "openapi",
        schema(
            example = "tcp://drover.example.com:443/docker/hosts/01978d2e-5a7c-7b1e-9d3f-0c4b5a697887"
        )
    )]
    pub address: String,
    /// Whether it is behind TLS.
    pub tls: bool,
    /// What stands in the `config.json` of the folder that `DOCKER_CONFIG` names.
    pub config: String,
    /// Commands for bash that write that file and make a context.
    pub set_up: String,
    /// Commands for bash that use the context, in each new shell.
    pub use_it: String,
    /// The same for `docker-compose` 1.
    pub compose: String,
    /// What stands for the API key in the texts above.
    pub key_placeholder: String,
}
