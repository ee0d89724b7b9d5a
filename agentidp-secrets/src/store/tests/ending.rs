//! The end of a credential, and secrets that the caller brings.

use super::*;
use crate::layer::stack;
use crate::testkit::FaultLayer;

/// Digests for what is new, and secrets in memory whose calls are counted.
fn beside_memory() -> (FaultLayer, SecretStore) {
    let faults = FaultLayer::new();
    let memory = stack(Memory::new(), &[&faults]);
    (faults, SecretStore::builder(scripted(&Arc::default())).accepts(memory).build().unwrap())
}

#[tokio::test]
async fn the_end_asks_every_backend_with_custody_once() {
    let (faults, store) = beside_memory();
    let in_memory = StoredSecret::new(BackendId::MEMORY, "client/credential?version=1");
    let previous = Previous { stored: in_memory.clone(), selector: None, valid_until: SystemTime::UNIX_EPOCH };
    let moved = CredentialSecrets { current: digest("a"), selector: None, previous: Some(previous) };
    for (row, asked) in [(digest("a").into(), 1), (in_memory.into(), 2), (moved, 3)] {
        store.revoke(&key(), &row).await.unwrap();
        assert_eq!(faults.calls(Operation::Revoke), asked);
    }
    store.forget(&key()).await.unwrap();
    assert_eq!(faults.calls(Operation::Revoke), 4);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_does_not_keep_what_lies_at_the_place() {
    let memory: SharedBackend = Arc::new(Memory::new());
    let left = memory.store(&key(), &"left".into()).await.unwrap();
    let store = SecretStore::builder(Arc::clone(&memory)).build().unwrap();
    let damaged = StoredSecret::new(BackendId::MEMORY, "elsewhere/credential?version=1");
    let error = store.revoke(&key(), &damaged.into()).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Malformed, Some(Operation::Revoke)));
    let gone = memory.verify(&key(), &left, &"left".into()).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_backend_with_custody_that_cannot_forget_is_an_error() {
    let fixture = Fixture::digest_primary().await;
    for ended in [fixture.store.forget(&key()).await, fixture.store.revoke(&key(), &digest("a").into()).await] {
        let error = ended.unwrap_err();
        assert_eq!((error.kind(), error.backend()), (ErrorKind::Internal, Some(&BackendId::VAULT_KV2)));
    }
}

#[tokio::test]
async fn a_secret_that_the_caller_has_generated_is_stored_as_it_is() {
    let store = SecretStore::builder(Memory::new()).build().unwrap();
    let (first, second) = (ClientSecret::generate().unwrap(), ClientSecret::generate().unwrap());
    let issued = store.issue_with(&key(), first.clone()).await.unwrap();
    assert!(issued.secret.ct_eq(&first) && store.verify(&key(), &issued.stored.clone().into(), &first).await.is_ok());
    let rotated = store.rotate_with(&key(), &issued.stored.into(), GRACE, second.clone()).await.unwrap();
    let row = CredentialSecrets { current: rotated.stored, selector: None, previous: rotated.previous };
    for (secret, generation) in [(first, Generation::Previous), (second, Generation::Current)] {
        assert_eq!(store.verify(&key(), &row, &secret).await.unwrap().generation, generation);
    }
}
