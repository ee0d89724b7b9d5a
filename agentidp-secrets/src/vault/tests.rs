//! The verbs over a stand-in for the three calls.

use std::sync::Arc;

use mockall::predicate::eq;

use super::cause::Cause;
use super::failure::Failure;
use super::kv::{KvEntry, KvValue, MockKvV2};
use super::rights::Right;
use super::{VaultKv2, VaultPath};
use crate::backend::{SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

const PATH: &str = "secret/data/agentidp/agents/a/credentials/c";

fn vault(prepare: impl FnOnce(&mut MockKvV2)) -> VaultKv2 {
    let mut kv = MockKvV2::new();
    prepare(&mut kv);
    // Nothing listens on port 1, and an unexpected call of the mock panics.
    let vault = VaultKv2::builder("http://127.0.0.1:1", "s.token").build().unwrap();
    VaultKv2 { kv: Arc::new(kv), ..vault }
}

fn key() -> CredentialKey {
    CredentialKey::parse("a", "c").unwrap()
}

fn record(payload: &str) -> StoredSecret {
    StoredSecret::new(BackendId::VAULT_KV2, payload)
}

fn pinned(version: u64) -> StoredSecret {
    record(&format!("{PATH}?version={version}"))
}

fn holds(version: u64, secret: &str) -> Result<KvEntry, Failure> {
    Ok(KvEntry { written: version.into(), value: KvValue::Secret(ClientSecret::from(secret)) })
}

fn entry(version: u64, value: KvValue) -> Result<KvEntry, Failure> {
    Ok(KvEntry { written: version.into(), value })
}

/// What `verify` says about `candidate` when Vault holds `value`.
async fn verify(answer: Result<KvEntry, Failure>, candidate: &str) -> crate::Result<Verdict> {
    let vault = vault(|kv| {
        kv.expect_read().times(1).return_once(|_, _| answer);
    });
    vault.verify(&key(), &pinned(3), &ClientSecret::from(candidate)).await
}

/// What `store` (or `rotate` of version `cas`) says when the write and the read-back are answered so.
async fn write(
    cas: u64,
    written: Result<u64, Failure>,
    read_back: Option<Result<KvEntry, Failure>>,
) -> crate::Result<StoredSecret> {
    let vault = vault(|kv| {
        kv.expect_write()
            .times(1)
            .withf(move |_, _, sent| *sent == cas)
            .return_once(move |_, _, _| written.map(Into::into));
        if let Some(answer) = read_back {
            kv.expect_read().times(1).withf(move |_, version| *version == Some(cas + 1)).return_once(|_, _| answer);
        }
    });
    let secret = ClientSecret::from("ours");
    match cas {
        0 => vault.store(&key(), &secret).await,
        _ => vault.rotate(&key(), &pinned(cas), &secret).await,
    }
}

#[tokio::test]
async fn a_pinned_record_reads_its_version_and_a_bare_one_the_latest() {
    for (stored, version) in [(pinned(3), Some(3)), (record(PATH), None)] {
        let path = VaultPath::parse(stored.payload()).unwrap();
        let vault = vault(|kv| {
            kv.expect_read().times(1).with(eq(path), eq(version)).return_once(|_, _| holds(3, "s"));
        });
        assert_eq!(vault.verify(&key(), &stored, &ClientSecret::from("s")).await.unwrap(), Verdict::Match);
    }
}

#[tokio::test]
async fn a_bare_record_is_pinned_to_the_latest_version_of_the_active_node_and_a_pinned_one_asks_nobody() {
    assert_eq!(vault(|_| ()).pin(&key(), &pinned(3)).await.unwrap(), pinned(3));
    let table = [
        (holds(7, "s"), Ok(pinned(7))),
        (entry(7, KvValue::Deleted), Err(ErrorKind::NotFound)),
        (entry(7, KvValue::Unreadable), Err(ErrorKind::Malformed)),
        (Err(Failure::Missing), Err(ErrorKind::NotFound)),
        (Err(Failure::Sealed), Err(ErrorKind::Unavailable)),
    ];
    for (answer, expected) in table {
        let vault = vault(|kv| {
            kv.expect_latest().times(1).return_once(|_| answer);
        });
        let found = vault.pin(&key(), &record(PATH)).await;
        assert_eq!(
            found.map_err(|error| (error.kind(), error.operation())),
            expected.map_err(|kind| (kind, Some(Operation::Pin)))
        );
    }
}

#[tokio::test]
async fn the_last_version_of_a_key_counts_whatever_it_holds() {
    let table = [
        (holds(7, "s"), Ok(7)),
        (entry(7, KvValue::Deleted), Ok(7)),
        (entry(7, KvValue::Unreadable), Ok(7)),
        (Err(Failure::Missing), Ok(0)),
        (Err(Failure::Sealed), Err(ErrorKind::Unavailable)),
    ];
    for (answer, expected) in table {
        let vault = vault(|kv| {
            kv.expect_latest().times(1).with(eq(VaultPath::parse(PATH).unwrap())).return_once(|_| answer);
        });
        let held = vault.inspect(&key(), None).await;
        assert_eq!(held.map(|held| held.version()).map_err(|error| error.kind()), expected);
    }
}

#[tokio::test]
async fn a_key_is_forgotten_at_its_place() {
    for (answer, expected) in [(Ok(()), Ok(())), (Err(Failure::Sealed), Err(ErrorKind::Unavailable))] {
        let vault = vault(|kv| {
            kv.expect_purge().times(1).with(eq(VaultPath::parse(PATH).unwrap())).return_once(move |_| answer);
        });
        let forgotten = vault.forget(&key()).await;
        assert_eq!(
            forgotten.map_err(|error| (error.kind(), error.operation())),
            expected.map_err(|kind| (kind, Some(Operation::Revoke)))
        );
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_a_mismatch_once_vault_has_answered() {
    let long = "s".repeat(VaultKv2::MAX_SECRET_LEN + 1);
    for candidate in ["other", "", "\0", "s\0", &long] {
        assert_eq!(verify(holds(3, "s"), candidate).await.unwrap(), Verdict::Mismatch);
        assert_eq!(verify(holds(3, &long), candidate).await.unwrap(), Verdict::Mismatch, "written by hand");
        let error = verify(Err(Failure::Sealed), candidate).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "an outage is no mismatch");
    }
}

#[tokio::test]
async fn what_cannot_be_decided_is_an_error() {
    let table = [
        (entry(3, KvValue::Deleted), ErrorKind::NotFound),
        (entry(3, KvValue::Unreadable), ErrorKind::Malformed),
        (Err(Failure::Missing), ErrorKind::NotFound),
        (Err(Failure::Denied(Right::Read)), ErrorKind::Denied),
        (Err(Failure::NotSent(Cause::Refused)), ErrorKind::Unavailable),
    ];
    for (answer, kind) in table {
        let error = verify(answer, "s").await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.operation(), Some(Operation::Verify));
        assert_eq!(error.backend(), Some(&BackendId::VAULT_KV2));
    }
}

#[tokio::test]
async fn a_record_that_is_not_the_keys_never_reaches_vault() {
    let foreign = [
        StoredSecret::new(BackendId::BCRYPT, PATH),
        record("$2b$10$canary"),
        record("secret/data/agentidp/agents/b/credentials/c?version=1"),
        record("secret/data/agentidp/agents/a/credentials/d?version=1"),
        record("secret/data/other/agents/a/credentials/c?version=1"),
        record("other/data/agentidp/agents/a/credentials/c?version=1"),
        record("secret/data/agentidp/agents/a/credentials/c?version=0"),
    ];
    let (vault, secret) = (vault(|_| ()), ClientSecret::from("s"));
    for stored in foreign {
        let errors = [
            vault.verify(&key(), &stored, &secret).await.unwrap_err(),
            vault.rotate(&key(), &stored, &secret).await.unwrap_err(),
            vault.revoke(&key(), &stored).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Malformed, "{stored:?}");
            assert!(!format!("{error} {error:?}").contains("agents/a"), "{error}");
        }
    }
}

#[tokio::test]
async fn unstorable_secrets_never_reach_vault() {
    let vault = vault(|_| ());
    for secret in ["", "a\0b", &"s".repeat(VaultKv2::MAX_SECRET_LEN + 1)] {
        let secret = ClientSecret::from(secret);
        assert_eq!(vault.store(&key(), &secret).await.unwrap_err().kind(), ErrorKind::InvalidSecret);
        assert_eq!(vault.rotate(&key(), &pinned(1), &secret).await.unwrap_err().kind(), ErrorKind::InvalidSecret);
    }
}

#[tokio::test]
async fn records_pin_the_version_that_was_written() {
    assert_eq!(write(0, Ok(1), None).await.unwrap(), pinned(1));
    assert_eq!(write(4, Ok(5), None).await.unwrap(), pinned(5));
}

#[tokio::test]
async fn a_bare_record_is_rotated_from_whatever_vault_has() {
    let found = [(holds(7, "old"), 7), (entry(7, KvValue::Deleted), 7), (Err(Failure::Missing), 0)];
    for (answer, cas) in found {
        let vault = vault(|kv| {
            kv.expect_latest().times(1).return_once(|_| answer);
            kv.expect_write()
                .times(1)
                .withf(move |_, _, sent| *sent == cas)
                .return_once(move |_, _, _| Ok((cas + 1).into()));
        });
        let rotated = vault.rotate(&key(), &record(PATH), &ClientSecret::from("new")).await.unwrap();
        assert_eq!(rotated, pinned(cas + 1));
    }
    let vault = vault(|kv| {
        kv.expect_latest().times(1).return_once(|_| Err(Failure::Sealed));
    });
    let error = vault.rotate(&key(), &record(PATH), &ClientSecret::from("new")).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unavailable, Some(Operation::Rotate)));
}

#[tokio::test]
async fn an_undecided_write_is_read_back() {
    for cas in [0, 4] {
        let undecided =
            [Failure::Lost(Cause::Timeout), Failure::Lost(Cause::Cut), Failure::Failed(502), Failure::Foreign(200)];
        for lost in undecided {
            let ours = write(cas, Err(lost), Some(holds(cas + 1, "ours"))).await.unwrap();
            assert_eq!(ours, pinned(cas + 1), "it had happened");
            for other in [holds(cas + 1, "theirs"), entry(cas + 1, KvValue::Deleted)] {
                let error = write(cas, Err(lost), Some(other)).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Conflict, "somebody else was first");
            }
            let missing = write(cas, Err(lost), Some(Err(Failure::Missing))).await.unwrap_err();
            assert_eq!(missing.kind(), ErrorKind::Unavailable);
            assert!(missing.to_string().contains("no trace"), "{missing}");
            let unknown = write(cas, Err(lost), Some(Err(Failure::Sealed))).await.unwrap_err();
            assert_eq!(unknown.kind(), ErrorKind::Unavailable);
            assert!(!unknown.to_string().contains("sealed"), "the first failure is the one to look at: {unknown}");
        }
    }
}

#[tokio::test]
async fn a_lost_compare_and_set_is_ours_only_if_the_secret_is() {
    let repeated = write(0, Err(Failure::Conflict), Some(holds(1, "ours"))).await.unwrap();
    assert_eq!(repeated, pinned(1));
    for answer in [holds(1, "theirs"), entry(1, KvValue::Deleted), Err(Failure::Sealed)] {
        let error = write(0, Err(Failure::Conflict), Some(answer)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_compare_and_set_lost_to_nobody_is_tried_once_more() {
    for (second, expected) in [(Ok(5.into()), Ok(pinned(5))), (Err(Failure::Conflict), Err(ErrorKind::Conflict))] {
        let vault = vault(|kv| {
            let mut answers = [Err(Failure::Conflict), second].into_iter();
            kv.expect_write().times(2).returning(move |_, _, _| answers.next().unwrap());
            kv.expect_read().times(1).return_once(|_, _| Err(Failure::Missing));
        });
        let rotated = vault.rotate(&key(), &pinned(4), &ClientSecret::from("ours")).await;
        assert_eq!(rotated.map_err(|error| error.kind()), expected);
    }
}

#[tokio::test]
async fn a_write_that_was_decided_is_not_read_back() {
    let decided = [
        (Failure::Denied(Right::Create), ErrorKind::Denied),
        (Failure::NotSent(Cause::Refused), ErrorKind::Unavailable),
        (Failure::NotVersioned, ErrorKind::InvalidConfig),
        (Failure::Quota, ErrorKind::Throttled),
        (Failure::Redirected, ErrorKind::Unavailable),
        (Failure::Sealed, ErrorKind::Unavailable),
        (Failure::Standby, ErrorKind::Unavailable),
        (Failure::TooLarge, ErrorKind::InvalidSecret),
    ];
    for (failure, kind) in decided {
        assert_eq!(write(0, Err(failure), None).await.unwrap_err().kind(), kind, "{failure:?}");
    }
}

#[tokio::test]
async fn revoke_purges_whatever_version_the_record_pins() {
    for stored in [pinned(3), record(PATH)] {
        let vault = vault(|kv| {
            kv.expect_purge().times(1).return_once(|_| Ok(()));
        });
        vault.revoke(&key(), &stored).await.unwrap();
    }
}

#[tokio::test]
async fn a_probe_is_told_that_its_path_is_not_there() {
    for (answer, fine) in [(Err(Failure::Missing), true), (Err(Failure::Denied(Right::Read)), false)] {
        let vault = vault(|kv| {
            kv.expect_read().times(1).return_once(|_, _| answer);
        });
        assert_eq!(vault.probe().await.is_ok(), fine);
    }
}

#[tokio::test]
async fn a_secret_is_read_back_at_its_version_and_only_where_the_record_is_the_keys() {
    let vault = vault(|kv| {
        kv.expect_read().times(1).with(mockall::predicate::always(), eq(Some(3))).return_once(|_, _| holds(3, "s"));
    });
    assert_eq!(vault.read_secret(&key(), &pinned(3)).await.unwrap().expose_secret(), "s");
    let other = CredentialKey::parse("a", "other").unwrap();
    let refused = vault.read_secret(&other, &pinned(3)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.operation()), (ErrorKind::Malformed, Some(Operation::Verify)));
}
