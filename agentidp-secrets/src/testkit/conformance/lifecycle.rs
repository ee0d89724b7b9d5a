//! Store, rotate, revoke: what each leaves behind.

use super::fixture::{
    Credential, NOT_BACKEND, NOT_RECORD, does_not_apply, fails, generate, holds, matches, mismatches, set_up, succeeds,
};
use crate::backend::Custody;
use crate::credential::CredentialKey;
use crate::error::ErrorKind;
use crate::testkit::harness::Harness;

/// Custody `Backend` only. Cannot claim that of two stores at the same instant only one wins: a server has to be
/// trusted on its compare-and-set.
pub(crate) async fn store_refuses_overwrite(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    if credential.backend.info().custody != Custody::Backend {
        return does_not_apply("store_refuses_overwrite", NOT_BACKEND);
    }
    let clause = "`store`: with custody `Backend` an existing secret of the key is never overwritten";
    let outcome = credential.backend.store(&credential.key, &generate()).await;
    fails(outcome, ErrorKind::Conflict, clause);
    matches(credential.verify(&credential.secret).await, clause);
}

/// Cannot claim that the new secret was not seen before: the caller generates it.
pub(crate) async fn rotate_new_record_rejects_old_secret(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let (new_secret, rotated) = credential.rotated().await;
    let Credential { backend, key, secret, .. } = &credential;
    let accepted = backend.verify(key, &rotated, &new_secret).await;
    matches(accepted, "`rotate`: the new record verifies the new secret");
    let refused = backend.verify(key, &rotated, secret).await;
    mismatches(refused, "`rotate`: the new record never verifies the old secret");
}

/// Cannot claim for how many rotations a server keeps old versions.
pub(crate) async fn old_record_still_verifies_after_rotate(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let (new_secret, _) = credential.rotated().await;
    let clause = "`rotate`: the old record keeps verifying the old secret, and only that";
    matches(credential.verify(&credential.secret).await, clause);
    mismatches(credential.verify(&new_secret).await, clause);
}

/// Cannot claim that a store above picks the right backend: that is `SecretStore`'s work.
pub(crate) async fn rotate_rejects_foreign_record(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let clause = "`rotate`: a record of another backend is refused, and nothing is written";
    let outcome = credential.backend.rotate(&credential.key, &credential.foreign_record(), &generate()).await;
    fails(outcome, ErrorKind::Malformed, clause);
    matches(credential.verify(&credential.secret).await, clause);
    succeeds(credential.backend.rotate(&credential.key, &credential.stored, &generate()).await, clause);
}

/// Custody `Backend` only: of two processes that rotate at once, one learns that it lost. Cannot claim it for digests,
/// where the caller's compare-and-set on the row decides.
pub(crate) async fn stale_rotate_conflicts(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    if credential.backend.info().custody != Custody::Backend {
        return does_not_apply("stale_rotate_conflicts", NOT_BACKEND);
    }
    let (new_secret, rotated) = credential.rotated().await;
    let Credential { backend, key, stored, .. } = &credential;
    let clause =
        "`rotate`: with custody `Backend` a record that is no longer the latest is a conflict, and changes nothing";
    fails(backend.rotate(key, stored, &generate()).await, ErrorKind::Conflict, clause);
    matches(backend.verify(key, &rotated, &new_secret).await, clause);
    succeeds(backend.rotate(key, &rotated, &generate()).await, clause);
}

/// Cannot claim that a revocation which failed half-way can be finished: only a server that fails can show it.
pub(crate) async fn revoke_is_idempotent(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let (_, rotated) = credential.rotated().await;
    let Credential { backend, key, stored, .. } = &credential;
    for record in [&rotated, &rotated, stored] {
        succeeds(backend.revoke(key, record).await, "`revoke` is idempotent");
    }
}

/// Custody `Backend` only. Cannot claim that the server's storage was overwritten, or that no replica still answers.
pub(crate) async fn revoked_is_not_found(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, secret, stored } = &credential;
    if backend.info().custody != Custody::Backend {
        return does_not_apply("revoked_is_not_found", NOT_BACKEND);
    }
    let (new_secret, rotated) = credential.rotated().await;
    set_up("revoke", backend.revoke(key, &rotated).await);
    let clause = "`revoke`: with custody `Backend` every version is gone, and `verify` is not-found, never a verdict";
    for record in [stored, &rotated] {
        for candidate in [secret, &new_secret, &generate()] {
            fails(backend.verify(key, record, candidate).await, ErrorKind::NotFound, clause);
        }
    }
}

/// Custody `Backend` only, for whatever remembers proofs. Cannot claim anything on a revocation by another process.
pub(crate) async fn proof_ends_with_revocation(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, secret, stored } = &credential;
    if backend.info().custody != Custody::Backend {
        return does_not_apply("proof_ends_with_revocation", NOT_BACKEND);
    }
    let (new_secret, rotated) = credential.rotated().await;
    for (record, secret) in [(stored, secret), (&rotated, &new_secret)] {
        let proof = set_up("verify", backend.verify(key, record, secret).await);
        holds(proof.is_match(), "`rotate`: both records verify their secrets until the revocation");
    }
    set_up("revoke", backend.revoke(key, &rotated).await);
    for (record, secret) in [(stored, secret), (&rotated, &new_secret)] {
        let admitted = backend.verify(key, record, secret).await.is_ok_and(|verdict| verdict.is_match());
        holds(!admitted, "`revoke`: a secret that was proved before is gone like any other");
    }
}

/// For whatever remembers proofs; who remembers nothing recalls nothing. Cannot claim that asking would take longer.
pub(crate) async fn recall_agrees_with_verify(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, secret, stored } = &credential;
    matches(credential.verify(secret).await, "`verify`: the secret that was stored matches");
    let (new_secret, rotated) = credential.rotated().await;
    let pairs = [(stored, secret), (stored, &new_secret), (&rotated, secret), (&rotated, &new_secret)];
    for (record, candidate) in pairs {
        let recalled = backend.recall(key, record, candidate);
        let among = backend.recall_for(key.client_id(), candidate).recall(key, record);
        holds(among == recalled, "`recall_for` says what `recall` does");
        let verified = set_up("verify", backend.verify(key, record, candidate).await);
        holds(recalled.is_none_or(|verdict| verdict == verified), "`recall` says what `verify` would, or nothing");
    }
    set_up("revoke", backend.revoke(key, &rotated).await);
    for (record, candidate) in pairs {
        let recalled = backend.recall_for(key.client_id(), candidate).recall(key, record);
        let verified = backend.verify(key, record, candidate).await.ok();
        holds(recalled.is_none() || recalled == verified, "`recall`: what was revoked is not remembered");
    }
}

/// Custody `Record` only: dropping the row is the revocation. Cannot claim that the caller does drop it.
pub(crate) async fn revoke_is_noop(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    if credential.backend.info().custody != Custody::Record {
        return does_not_apply("revoke_is_noop", NOT_RECORD);
    }
    set_up("revoke", credential.backend.revoke(&credential.key, &credential.stored).await);
    matches(credential.verify(&credential.secret).await, "`revoke`: with custody `Record` the call does nothing");
}

/// For a backend that says `with_reveal`; any other shows nothing. Cannot claim anything on who asks.
pub(crate) async fn revealed_is_what_was_stored(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let (new_secret, rotated) = credential.rotated().await;
    let Credential { backend, key, secret, stored } = &credential;
    if !backend.info().reveals {
        let shown = backend.reveal(key, stored).await.ok().flatten();
        holds(shown.is_none(), "`reveal`: a backend that does not say `with_reveal` shows nothing");
        return does_not_apply("revealed_is_what_was_stored", "the backend does not say `with_reveal`");
    }
    for (record, secret) in [(stored, secret), (&rotated, &new_secret)] {
        let clause = "`reveal`: shows the secret that the record stands for";
        let shown = succeeds(backend.reveal(key, record).await, clause);
        holds(shown.is_some_and(|shown| shown.ct_eq(secret)), clause);
        let elsewhere = backend.reveal(&harness.key(), record).await.ok().flatten();
        holds(elsewhere.is_none(), "`reveal`: shows nothing under another key");
    }
    let foreign = backend.reveal(key, &credential.foreign_record()).await.ok().flatten();
    holds(foreign.is_none(), "`reveal`: shows nothing for a record of another backend");
}

/// Two credentials of one client, as a rotation without downtime has them. Cannot claim anything on two mounts or
/// namespaces of one server.
pub(crate) async fn credentials_are_independent(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, secret, stored } = &credential;
    let sibling_key = CredentialKey::new(key.client_id().clone(), harness.key().credential_id().clone());
    let sibling_secret = generate();
    let clause = "one credential of a client does not touch another";
    let sibling = succeeds(backend.store(&sibling_key, &sibling_secret).await, clause);
    mismatches(credential.verify(&sibling_secret).await, clause);
    mismatches(backend.verify(&sibling_key, &sibling, secret).await, clause);
    set_up("revoke", backend.revoke(key, stored).await);
    matches(backend.verify(&sibling_key, &sibling, &sibling_secret).await, clause);
}
