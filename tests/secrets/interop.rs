//! Digests that other libraries made verify here: a database may come from another implementation. The way back, ours
//! checked by them, needs them installed: `scripts/interop`.

use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::{BackendId, ClientSecret, CredentialKey, SecretBackend, StoredSecret, Verdict};

const DIGITS: &str = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const ALL_F: &str = "sk_live_ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// What made the digest, the secret, the digest.
const FOREIGN: [(&str, &str, &str); 9] = [
    ("Node bcrypt 6.0.0", DIGITS, "$2b$10$aHAeds9hYRXtR.TYEGgbf.YOUOi3XYZ.RfVMplBLO5SWorXnD15pa"),
    ("Node bcrypt 6.0.0", ALL_F, "$2b$10$lEUlFPiYyvxGhB9v3TqbxuzxI9nbeB8Zw2jJhAKbvcP8gSG5./mIi"),
    ("Node bcrypt 6.0.0, 2a", DIGITS, "$2a$10$eK9H2EQ233uG9LrT5wf3.OWpCDR8Z4cixCFWZpNhNP9Trtp7JN2US"),
    ("Node bcryptjs 3.0.3", DIGITS, "$2b$10$E6Pd/.oT2ralz5eyDBz3auwCEqG9WtJEacr85xJbTOniJUCawGk/K"),
    ("Node bcryptjs 3.0.3", ALL_F, "$2b$10$uuktrOn4bquzutetqPphMu0gDUOR1Y6Cq/.GADxM1hYCjRSU60Xl2"),
    ("Node bcryptjs 2.4.3", DIGITS, "$2a$10$qOWuPGQ7qBNeWYhRKL1VKOp05OgzJlN6CXJU4kYfVAn7Cy3xCXwQS"),
    ("Python bcrypt 5.0.0", DIGITS, "$2b$10$hQ127naISg4aVWiWuHx73uHjnKwXgBsXl52DcwRKmXju9aX.dqG.y"),
    ("Python bcrypt 5.0.0", ALL_F, "$2b$10$cqf/AMtnCUYpzGsWpY.WveNKjOK0qJgvv.TISxkw1Q2LRA5teNWdy"),
    ("Python bcrypt 5.0.0, 2a", DIGITS, "$2a$10$3BWhggB.1c1AFxc/43oT6OWOz6ggaQnwbrDs/4pNDW4AaKIxDf8Uq"),
];

#[tokio::test]
async fn bcrypt_digests_of_node_and_python_verify() {
    let bcrypt = Bcrypt::builder().build().unwrap();
    let key = CredentialKey::parse("agent", "credential").unwrap();
    for (maker, secret, digest) in FOREIGN {
        let record = StoredSecret::new(BackendId::BCRYPT, digest);
        let verdict = async |candidate: String| {
            bcrypt
                .verify(&key, &record, &ClientSecret::from(candidate))
                .await
                .unwrap_or_else(|e| panic!("{maker}: {e}"))
        };
        assert_eq!(verdict(secret.to_owned()).await, Verdict::Match, "{maker}");
        // The last of the 72 bytes that bcrypt reads counts, and so does one that it would not read.
        assert_eq!(verdict(format!("{}e", &secret[..71])).await, Verdict::Mismatch, "{maker}");
        assert_eq!(verdict(format!("{secret}0")).await, Verdict::Mismatch, "{maker}");
    }
}
