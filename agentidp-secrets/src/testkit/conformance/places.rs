//! What lies at a key's place: which version a record means, which one is the last, and nothing once it is forgotten.

use super::fixture::{Credential, does_not_apply, fails, generate, holds, matches, set_up, succeeds};
use crate::backend::{Custody, Held, Verdict};
use crate::credential::CredentialKey;
use crate::error::ErrorKind;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;
use crate::testkit::harness::Harness;

/// Over ids with slashes, blanks and other signs, two of which print the same. Cannot claim that a longer id fits.
pub(crate) async fn every_id_has_a_place(harness: &dyn Harness) {
    let backend = harness.backend().await;
    let fresh = harness.key();
    let id = fresh.credential_id();
    let clause = "ids are any text: each key has a place of its own";
    let mut kept: Vec<(CredentialKey, ClientSecret, StoredSecret)> = Vec::new();
    let ids = [
        (format!("https://idp.example/{id}"), "a".to_owned()),
        ("https://idp.example".to_owned(), format!("{id}/a")),
        (format!("../{id}"), "..".to_owned()),
        (format!("{id} user@example.com"), "a%2Fb?version=1#@1".to_owned()),
        (format!("{id} \u{1f511}\"'"), "a~2fb".to_owned()),
    ];
    for (client, credential) in ids {
        let key = set_up("a key", CredentialKey::parse(&client, &credential));
        let secret = generate();
        let stored = succeeds(backend.store(&key, &secret).await, clause);
        if let Some(place) = backend.place(&key).filter(|_| backend.info().custody == Custody::Backend) {
            holds(backend.points_to(&stored).is_none_or(|to| to.place == place), clause);
            holds(kept.iter().all(|(other, ..)| backend.place(other).as_ref() != Some(&place)), clause);
        }
        kept.push((key, secret, stored));
    }
    for (key, secret, stored) in &kept {
        matches(backend.verify(key, stored, secret).await, clause);
    }
}

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
    let place = harness.key();
    let Ok(nothing) = backend.inspect(&place, None).await else {
        return does_not_apply("latest_is_what_was_written_last", "the backend keeps no numbered versions");
    };
    holds(nothing.version() == 0, "`inspect`: there is nothing at an empty place");
    let clause = "`inspect`: the latest version is the one that was written last";
    let (new_secret, _) = credential.rotated().await;
    let first = succeeds(backend.inspect(key, Some(1)).await, clause);
    holds(first.secret().is_some_and(|held| held.ct_eq(secret)), "`inspect`: an earlier version is still there");
    let Held::Version { version, stored, .. } = succeeds(backend.inspect(key, None).await, clause) else {
        return holds(false, clause);
    };
    matches(backend.verify(key, &stored, &new_secret).await, clause);
    let over = generate();
    let written =
        succeeds(backend.overwrite(key, version, Some(&over)).await, "`overwrite`: the latest is written over");
    matches(backend.verify(key, &written, &over).await, "`overwrite`: the record is that of the secret");
    let stale = backend.overwrite(key, version, Some(&generate())).await;
    fails(stale, ErrorKind::Conflict, "`overwrite`: a version that is no longer the latest is a conflict");
    matches(credential.verify(secret).await, "`overwrite`: records of earlier versions keep verifying");
    let written =
        succeeds(backend.overwrite(&place, 0, Some(&over)).await, "`overwrite`: an empty place has version 0");
    matches(backend.verify(&place, &written, &over).await, "`overwrite`: the record is that of the secret");
}

/// Where the backend keeps numbered versions. Cannot claim that a blank version is no secret to whoever reads the storage.
pub(crate) async fn blank_version_verifies_nothing(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, .. } = &credential;
    let Ok(blank) = backend.overwrite(key, 1, None).await else {
        return does_not_apply("blank_version_verifies_nothing", "the backend keeps no numbered versions");
    };
    for candidate in [ClientSecret::from(""), ClientSecret::from(" ")] {
        let decided = backend.verify(key, &blank, &candidate).await;
        let is_match = decided.is_ok_and(Verdict::is_match);
        holds(!is_match, "`overwrite`: a blank version verifies nothing, an empty candidate neither");
    }
    let held = succeeds(backend.inspect(key, Some(2)).await, "`inspect`: a blank version is there");
    holds(held.version() == 2 && held.secret().is_none(), "`inspect`: there is no secret in a blank version");
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
