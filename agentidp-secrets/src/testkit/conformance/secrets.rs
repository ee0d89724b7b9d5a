//! Which secrets can be stored.

use super::fixture::{
    Credential, does_not_apply, fails, generate, longest, matches, mismatches, secret_of_len, succeeds,
    with_another_end,
};
use crate::error::ErrorKind;
use crate::secret::ClientSecret;
use crate::testkit::harness::Harness;

/// Cannot find the true limit of a backend that states none: 4 KiB have to do.
pub(crate) async fn longest_secret_accepted(harness: &dyn Harness) {
    let (backend, key) = (harness.backend().await, harness.key());
    let longest = longest(backend.info());
    let clause = "`store`: a secret of `max_secret_len` bytes is accepted, and counts to its last byte";
    let stored = succeeds(backend.store(&key, &longest).await, clause);
    matches(backend.verify(&key, &stored, &longest).await, clause);
    mismatches(backend.verify(&key, &stored, &with_another_end(&longest)).await, clause);
}

/// Says nothing about a backend that states no limit.
pub(crate) async fn oversize_secret_refused(harness: &dyn Harness) {
    let Some(limit) = harness.backend().await.info().max_secret_len else {
        return does_not_apply("oversize_secret_refused", "the backend states no limit");
    };
    refused(harness, &secret_of_len(limit + 1), "a secret longer than `max_secret_len` is refused").await;
}

/// Cannot claim that the backend's storage could not hold such a secret, only that it is not asked to.
pub(crate) async fn empty_or_nul_secret_refused(harness: &dyn Harness) {
    refused(harness, &ClientSecret::from(""), "an empty secret is refused").await;
    refused(harness, &ClientSecret::from("sk_live_\0_after"), "a secret with a NUL byte is refused").await;
}

/// Where `generated_only` says so: a function too fast for secrets that can be guessed gets none. Cannot claim that a
/// secret of the generated form was generated.
pub(crate) async fn chosen_secret_refused(harness: &dyn Harness) {
    if !harness.backend().await.info().generated_only {
        return does_not_apply("chosen_secret_refused", "the backend takes secrets of any form");
    }
    let generated = generate();
    let text = generated.expose_secret();
    for chosen in ["correct horse", &text.to_uppercase(), &text[..71], &text.replacen("live", "test", 1)] {
        let chosen = ClientSecret::from(chosen);
        refused(harness, &chosen, "with `generated_only` a secret of another form is refused").await;
        let credential = Credential::stored(harness).await;
        mismatches(credential.verify(&chosen).await, "`verify`: with `generated_only` any other form is a mismatch");
    }
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
