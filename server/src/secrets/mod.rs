//! Secrets: the cipher that keeps them at rest.

mod cipher;

pub use cipher::{Cipher, CipherError};
