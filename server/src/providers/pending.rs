//! Stands in for the adapters until their branches are merged.
macro_rules! pending {
    ($module:ident, $name:ident, $config:ty) => {
        pub mod $module {
            use super::super::{IdentityProvider, ProviderError};
            use std::sync::Arc;
            pub struct $name;
            impl $name {
                pub fn new(
                    _: &$config,
                    _: Option<secrecy::SecretString>,
                ) -> Result<Arc<dyn IdentityProvider>, ProviderError> {
                    Err(ProviderError::Misconfigured("not here yet".into()))
                }
            }
            pub fn check(_: &$config) -> Vec<drover_api::FieldError> {
                Vec::new()
            }
        }
    };
}
pending!(ldap, Ldap, drover_api::LdapConfig);
pending!(active_directory, ActiveDirectory, drover_api::ActiveDirectoryConfig);
pending!(github, Github, drover_api::GithubConfig);
pending!(openid, OpenId, drover_api::OpenidConfig);
