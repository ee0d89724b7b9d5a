//! What records are, and what they and errors never show.

use super::fixture::{
    Credential, NOT_BACKEND, NOT_RECORD, does_not_apply, fails, generate, holds, matches, mismatches, secret_of_len,
    set_up,
};
use crate::backend::Custody;
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind};
use crate::record::StoredSecret;
use crate::testkit::harness::Harness;
use crate::testkit::redaction::{assert_error_redacted, assert_redacted, assert_text_redacted, leaked_form};

/// Custody `Record` only. Cannot claim that the salt is random, only that it is not constant.
pub(crate) async fn records_differ_for_same_secret(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    if credential.backend.info().custody != Custody::Record {
        return does_not_apply("records_differ_for_same_secret", NOT_RECORD);
    }
    for key in [credential.key.clone(), harness.key()] {
        let again = set_up("store", credential.backend.store(&key, &credential.secret).await);
        holds(
            again.payload() != credential.stored.payload(),
            "`store`: with custody `Record` the same secret stored twice gives different payloads",
        );
    }
}

/// Cannot claim that no other backend uses the id: ids are given out by people.
pub(crate) async fn record_names_its_backend(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let (_, rotated) = credential.rotated().await;
    let id = &credential.backend.info().id;
    holds(credential.stored.backend() == id, "`store`: the record carries the id of `info()`");
    holds(rotated.backend() == id, "`rotate`: the record carries the id of `info()`");
}

/// Cannot claim that a column of the caller is wide enough.
pub(crate) async fn record_roundtrips(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let clause = "a record survives its text form and serde, and still verifies";
    let as_text = StoredSecret::parse(&credential.stored.to_text());
    let as_json = serde_json::to_string(&credential.stored).and_then(|json| serde_json::from_str(&json));
    holds(as_text.as_ref().is_ok_and(|record| *record == credential.stored), clause);
    holds(as_json.is_ok_and(|record: StoredSecret| record == credential.stored), clause);
    let record = set_up("parse", as_text);
    matches(credential.backend.verify(&credential.key, &record, &credential.secret).await, clause);
}

/// Cannot claim that the secret cannot be computed from the record: that is the digest's own promise.
pub(crate) async fn record_hides_secret(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let (new_secret, rotated) = credential.rotated().await;
    for (secret, record) in [(&credential.secret, &credential.stored), (&new_secret, &rotated)] {
        let leak = leaked_form(&record.to_text(), secret.expose_secret());
        holds(leak.is_none(), &format!("a record does not hold the secret, neither whole nor in part ({leak:?})"));
    }
}

/// Provokes the errors that any backend can be brought to, and formats them and the backend. Cannot claim anything on
/// errors that only a broken server causes, nor on what is logged.
pub(crate) async fn debug_and_errors_redacted(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, secret, stored } = &credential;
    let oversize = secret_of_len(backend.info().max_secret_len.unwrap_or(64) + 1);
    let next = generate();
    let damaged = StoredSecret::new(stored.backend().clone(), format!("~{}", stored.payload()));
    let foreign = credential.foreign_record();

    let mut errors: Vec<Error> = Vec::new();
    errors.extend(backend.store(key, &next).await.err());
    errors.extend(backend.store(&harness.key(), &oversize).await.err());
    for record in [&damaged, &foreign] {
        errors.extend(backend.verify(key, record, secret).await.err());
        errors.extend(backend.rotate(key, record, &next).await.err());
        errors.extend(backend.revoke(key, record).await.err());
    }
    errors.extend(backend.rotate(key, stored, &oversize).await.err());
    errors.extend(backend.verify(&harness.key(), stored, secret).await.err());
    if let Some(unreachable) = harness.unreachable().await {
        errors.extend(unreachable.store(key, secret).await.err());
        errors.extend(unreachable.verify(key, stored, secret).await.err());
        errors.extend(unreachable.rotate(key, stored, &next).await.err());
        assert_redacted(&unreachable, secret.expose_secret());
    }
    // Before the revocation: a backend that has forgotten the secret cannot show it.
    for shown in [secret, &next, &oversize] {
        assert_redacted(backend, shown.expose_secret());
    }
    set_up("revoke", backend.revoke(key, stored).await);
    errors.extend(backend.verify(key, stored, secret).await.err());

    for shown in [secret, &next, &oversize] {
        assert_redacted(stored, shown.expose_secret());
        for error in &errors {
            assert_error_redacted(error, shown.expose_secret());
        }
    }
    if backend.info().custody == Custody::Record {
        // A digest is sensitive too, and so is a damaged one.
        for error in &errors {
            assert_text_redacted(&format!("{error} {error:?}"), stored.payload());
        }
    }
}

/// Cannot tell a foreign payload under the backend's own id: `damaged_record_is_malformed` comes near it.
pub(crate) async fn foreign_record_is_malformed(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, secret, .. } = &credential;
    let foreign = credential.foreign_record();
    for candidate in [secret, &generate()] {
        let outcome = backend.verify(key, &foreign, candidate).await;
        fails(outcome, ErrorKind::Malformed, "`verify`: a record of another backend is refused, and is no mismatch");
    }
    let outcome = backend.revoke(key, &foreign).await;
    fails(outcome, ErrorKind::Malformed, "`revoke`: a record of another backend is refused");
    matches(credential.verify(secret).await, "`revoke`: a refused record revokes nothing");
}

/// Cannot claim that every damage is noticed: a payload that is another valid one is another record.
pub(crate) async fn damaged_record_is_malformed(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let payload = credential.stored.payload();
    for damaged in ["", "~", "\u{1}\u{2}", &format!("~{payload}"), &format!("{payload}\n")] {
        let record = StoredSecret::new(credential.stored.backend().clone(), damaged);
        for candidate in [&credential.secret, &generate()] {
            let outcome = credential.backend.verify(&credential.key, &record, candidate).await;
            fails(outcome, ErrorKind::Malformed, "`verify`: a damaged record is an error, and is no mismatch");
        }
    }
}

/// Custody `Record`, where the backend says that its records are bound to their key. A swapped row verifies nothing. Whether
/// that is an error or a mismatch is the backend's to say.
pub(crate) async fn bound_record_verifies_nothing_elsewhere(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, secret, stored } = &credential;
    if backend.info().custody != Custody::Record || !backend.info().bound_records {
        return does_not_apply(
            "bound_record_verifies_nothing_elsewhere",
            "the backend does not say `with_bound_records`",
        );
    }
    let sibling = CredentialKey::new(key.client_id().clone(), harness.key().credential_id().clone());
    let stranger = CredentialKey::new(harness.key().client_id().clone(), key.credential_id().clone());
    for other in [sibling, stranger, harness.key()] {
        let admitted = backend.verify(&other, stored, secret).await.is_ok_and(|verdict| verdict.is_match());
        holds(!admitted, "`verify`: a record that is bound to its key verifies nothing under another one");
    }
    matches(credential.verify(secret).await, "`verify`: a record that is bound to its key verifies under that key");
}

/// Where the backend says that it only reads.
pub(crate) async fn reads_only_writes_nothing(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, key, stored, .. } = &credential;
    if !backend.info().reads_only {
        return does_not_apply("reads_only_writes_nothing", "the backend does not say `with_reads_only`");
    }
    let clause = "a backend that only reads refuses to write";
    fails(backend.store(key, &generate()).await, ErrorKind::InvalidConfig, &format!("`store`: {clause}"));
    fails(backend.rotate(key, stored, &generate()).await, ErrorKind::InvalidConfig, &format!("`rotate`: {clause}"));
    let decoy = backend.info().decoy();
    let decides = match &decoy {
        Some(decoy) => backend.verify(key, decoy, &generate()).await.is_ok_and(|verdict| !verdict.is_match()),
        None => false,
    };
    holds(decides, "`with_reads_only`: the decoy is a record that verifies, and that no secret matches");
}

/// Custody `Backend` only: a swapped row must not borrow another client's secret. Cannot claim it for digests, which
/// may but need not bind the key.
pub(crate) async fn record_bound_to_key(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let Credential { backend, secret, stored, .. } = &credential;
    if backend.info().custody != Custody::Backend {
        return does_not_apply("record_bound_to_key", NOT_BACKEND);
    }
    let clause = "with custody `Backend` a record that is not the key's is refused";
    let other = Credential::stored(harness).await;
    for key in [&harness.key(), &other.key] {
        fails(backend.verify(key, stored, secret).await, ErrorKind::Malformed, &format!("`verify`: {clause}"));
        fails(backend.rotate(key, stored, &generate()).await, ErrorKind::Malformed, &format!("`rotate`: {clause}"));
        fails(backend.revoke(key, stored).await, ErrorKind::Malformed, &format!("`revoke`: {clause}"));
    }
    matches(credential.verify(secret).await, &format!("{clause}, and stays usable under its own"));
    mismatches(other.verify(secret).await, clause);
}
