//! Keys of tests.

use std::sync::OnceLock;

use super::{KeyAlgorithm, SigningKey};

/// One key of each kind for all tests: making an RSA key takes a second without optimisation.
pub(crate) fn pem(algorithm: KeyAlgorithm) -> &'static str {
    static PEMS: [OnceLock<String>; 3] = [const { OnceLock::new() }; 3];
    let make = || SigningKey::generate_pem(algorithm).unwrap().to_string();
    let at = KeyAlgorithm::ALL.iter().position(|known| *known == algorithm).unwrap();
    PEMS[at].get_or_init(make)
}

pub(crate) fn key(algorithm: KeyAlgorithm) -> SigningKey {
    SigningKey::from_pem(pem(algorithm)).unwrap()
}
