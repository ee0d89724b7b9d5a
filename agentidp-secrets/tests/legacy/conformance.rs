//! The conformance suite over the backends that only read. The records are made as other software makes them.

use agentidp_secrets::backends::legacy::{LegacyKdf, LegacySha};
use agentidp_secrets::testkit::BackendHarness;
use agentidp_secrets::{BackendId, ClientSecret, StoredSecret, conformance};
use sha2::{Digest, Sha256};

conformance!(legacy_kdf, BackendHarness::reading(LegacyKdf::builder().build().unwrap(), bcrypt_sha256));
conformance!(legacy_sha, BackendHarness::reading(LegacySha::builder().bare_hex().build().unwrap(), sha256));

/// As Django stores a secret.
fn bcrypt_sha256(secret: &ClientSecret) -> StoredSecret {
    let inner = hex::encode(Sha256::digest(secret.expose_secret()));
    #[expect(clippy::disallowed_methods, reason = "what bcrypt is given here is 64 bytes long")]
    let outer = bcrypt::hash(inner, 4).unwrap();
    StoredSecret::new(BackendId::LEGACY_KDF, format!("bcrypt_sha256${outer}"))
}

/// As Doorkeeper stores a secret.
fn sha256(secret: &ClientSecret) -> StoredSecret {
    StoredSecret::new(BackendId::LEGACY_SHA, hex::encode(Sha256::digest(secret.expose_secret())))
}
