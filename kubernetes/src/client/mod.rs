//! One cluster's API: from a kubeconfig to requests, as Drover itself or as one of its users.

pub mod access;
mod call;
mod connect;
pub mod dial;
pub mod error;
pub mod kubeconfig;
mod tls;
mod warned;

pub use access::{Access, Basic, ClientCertificate, Credentials, ServerAddress};
pub use call::{Answer, content};
pub use connect::{Body, Cluster, Identity, Impersonation, RequestBody, empty, full};
pub(crate) use connect::{get_request, read_body};
pub use dial::{Dial, Reach, RefusedAddress, Stream, TcpDialer};
pub use error::{Cause, Failure, FailureKind, Result};
pub use warned::Warned;
