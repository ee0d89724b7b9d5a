//! What lies at a key's place: which version a record means, which one is the last, and nothing once it is forgotten.

use super::fixture::{Credential, generate, holds, matches, set_up, succeeds};
use crate::backend::Custody;
use crate::credential::CredentialKey;
use crate::testkit::harness::Harness;

/// Over a record that names its version, and over one that means the latest where the harness can write it. Cannot claim
/// that a server's standby answers with the latest version.
pub(crate) async fn pinned_record_keeps_its_secret(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, secret, stored } = &credential;
    let clause = "`pin`: the record verifies the same secret, also when a later one is stored";
    let mut pinned = vec![succeeds(backend.pin(key, stored).await, clause)];
    if let Some(latest) = harness.unpinned(stored) {
        pinned.push(succeeds(backend.pin(key, &latest).await, clause));
    }
    credential.rotated().await;
    for record in &pinned {
        matches(backend.verify(key, record, secret).await, clause);
    }
}

/// Where the backend can say it. Cannot claim that a write which is under way counts.
pub(crate) async fn latest_is_what_was_written_last(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, secret, .. } = &credential;
    let nothing = succeeds(backend.latest(&harness.key()).await, "`latest`: an empty place is no error");
    holds(nothing.is_none(), "`latest`: there is no record of an empty place");
    let Some(first) = set_up("latest", backend.latest(key).await) else { return };
    let clause = "`latest`: the record is that of the secret that was written last";
    matches(backend.verify(key, &first, secret).await, clause);
    let (new_secret, _) = credential.rotated().await;
    let last = succeeds(backend.latest(key).await, clause);
    let Some(last) = last else { return holds(false, clause) };
    matches(backend.verify(key, &last, &new_secret).await, clause);
    let over = generate();
    let written = succeeds(backend.rotate(key, &last, &over).await, "`latest`: `rotate` writes over the record");
    matches(backend.verify(key, &written, &over).await, clause);
}

/// Cannot claim anything on a write that arrives after the call. That the answer is not-found, `revoked_is_not_found` shows.
pub(crate) async fn forgotten_admits_nothing(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, secret, stored } = &credential;
    let (new_secret, rotated) = credential.rotated().await;
    let sibling_key = CredentialKey::new(key.client_id().clone(), harness.key().credential_id().clone());
    let sibling = set_up("store", backend.store(&sibling_key, secret).await);
    for key in [key, key, &harness.key()] {
        succeeds(backend.forget(key).await, "`forget` is idempotent, and needs no secret");
    }
    for (record, secret) in [(stored, secret), (&rotated, &new_secret)] {
        let outcome = backend.verify(key, record, secret).await;
        match backend.info().custody {
            Custody::Backend => {
                let admitted = outcome.is_ok_and(|verdict| verdict.is_match());
                holds(!admitted, "`forget`: with custody `Backend` every version is gone");
            }
            Custody::Record => matches(outcome, "`forget`: with custody `Record` the call does nothing"),
        }
    }
    matches(backend.verify(&sibling_key, &sibling, secret).await, "`forget`: other credentials keep their secrets");
}
