//! Which secrets can be stored.

use super::fixture::{Credential, LONG_WITHOUT_LIMIT, fails, generate, matches, mismatches, secret_of_len, succeeds};
use crate::error::ErrorKind;
use crate::secret::ClientSecret;
use crate::testkit::harness::Harness;

/// Cannot find the true limit of a backend that states none: 4 KiB have to do.
pub(crate) async fn longest_secret_accepted(harness: &dyn Harness) {
    let (backend, key) = (harness.backend().await, harness.key());
    let longest = secret_of_len(backend.info().max_secret_len.unwrap_or(LONG_WITHOUT_LIMIT));
    let clause = "`store`: a secret of `max_secret_len` bytes is accepted, and counts to its last byte";
    let stored = succeeds(backend.store(&key, &longest).await, clause);
    matches(backend.verify(&key, &stored, &longest).await, clause);
    let text = longest.expose_secret();
    let other_end = ClientSecret::from(format!("{}~", &text[..text.len() - 1]));
    mismatches(backend.verify(&key, &stored, &other_end).await, clause);
}

/// Says nothing about a backend that states no limit.
pub(crate) async fn oversize_secret_refused(harness: &dyn Harness) {
    let Some(limit) = harness.backend().await.info().max_secret_len else { return };
    refused(harness, &secret_of_len(limit + 1), "a secret longer than `max_secret_len` is refused").await;
}

/// Cannot claim that the backend's storage could not hold such a secret, only that it is not asked to.
pub(crate) async fn empty_or_nul_secret_refused(harness: &dyn Harness) {
    refused(harness, &ClientSecret::from(""), "an empty secret is refused").await;
    refused(harness, &ClientSecret::from("sk_live_\0_after"), "a secret with a NUL byte is refused").await;
}

/// `store` and `rotate` both refuse the secret, and the credential stays as it was.
async fn refused(harness: &dyn Harness, secret: &ClientSecret, clause: &str) {
    let backend = harness.backend().await;
    let outcome = backend.store(&harness.key(), secret).await;
    fails(outcome, ErrorKind::InvalidSecret, &format!("`store`: {clause}"));

    let credential = Credential::with_secret(harness, generate()).await;
    let outcome = credential.backend.rotate(&credential.key, &credential.stored, secret).await;
    fails(outcome, ErrorKind::InvalidSecret, &format!("`rotate`: {clause}"));
    matches(credential.verify(&credential.secret).await, "`rotate`: after a refusal the present secret still matches");
}
