//! The key that signs tokens, and those that tokens are checked with.
//!
//! What a PEM holds decides the algorithm: RSA signs RS256, P-256 signs ES256, Ed25519 signs `EdDSA`. There are no other
//! pairs, so no setting and no token can ask one key for the algorithm of another.

mod algorithm;
mod error;
mod pem;
mod pool;
mod private;
mod signing;
#[cfg(test)]
pub(crate) mod test_keys;
mod verifying;

pub use algorithm::KeyAlgorithm;
pub use error::{KeyError, SignError};
pub(crate) use pool::Pool;
pub use signing::SigningKey;
pub use verifying::VerifyingKey;
