//! The verbs of the Vault backend on a real OpenBao, with the token of the least-privilege policy.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::vault::{VaultKv2, VaultPath};
use agentidp_secrets::{
    BackendId, ClientSecret, Clock, CredentialKey, CredentialSecrets, ErrorKind, Generation, ManualClock, Operation,
    SecretBackend, SecretStore, StoredSecret, Verdict,
};

use crate::support;
use crate::support::bao::Mount;

struct Fixture {
    vault: VaultKv2,
    mount: Mount,
    key: CredentialKey,
}

impl Fixture {
    async fn new() -> Self {
        let mount = support::bao().fresh_mount(2).await;
        let vault = VaultKv2::builder(support::bao().address(), mount.policy_token.as_str())
            .mount(mount.name.as_str())
            .build()
            .unwrap();
        Self { vault, mount, key: CredentialKey::parse("a", "c").unwrap() }
    }

    /// The path in the documented form, as an older system's row holds it.
    fn path(&self) -> String {
        format!("{}/data/agentidp/agents/a/credentials/c", self.mount.name)
    }

    fn bare(&self) -> StoredSecret {
        StoredSecret::new(BackendId::VAULT_KV2, self.path())
    }

    async fn verdict(&self, stored: &StoredSecret, candidate: &str) -> Verdict {
        self.vault.verify(&self.key, stored, &ClientSecret::from(candidate)).await.unwrap()
    }

    /// Whether the record pins this version, and says when it was written.
    fn is_version(&self, stored: &StoredSecret, version: u64) -> bool {
        stored.payload().starts_with(&format!("{}?version={version}&created=20", self.path()))
    }

    async fn refusal(&self, stored: &StoredSecret) -> ErrorKind {
        self.vault.verify(&self.key, stored, &ClientSecret::from("s")).await.unwrap_err().kind()
    }
}

#[tokio::test]
async fn a_secret_lives_at_the_documented_path_from_store_to_revoke() {
    let (it, bao) = (Fixture::new().await, support::bao());
    let secret = ClientSecret::generate().unwrap();
    let stored = it.vault.store(&it.key, &secret).await.unwrap();
    assert!(it.is_version(&stored, 1));
    let entry = bao.read_root(&it.path()).await.unwrap();
    assert_eq!((entry.client_secret(), entry.version), (secret.expose_secret(), Some(1)));
    assert_eq!(it.verdict(&stored, secret.expose_secret()).await, Verdict::Match);
    assert_eq!(it.verdict(&stored, "sk_live_wrong").await, Verdict::Mismatch);
    assert_eq!(it.verdict(&stored, "").await, Verdict::Mismatch);

    let again = it.vault.store(&it.key, &ClientSecret::from("other")).await.unwrap_err();
    assert_eq!((again.kind(), again.operation()), (ErrorKind::Conflict, Some(Operation::Store)));
    assert_eq!(it.vault.store(&it.key, &secret).await.unwrap(), stored, "sent again after a lost answer");

    it.vault.revoke(&it.key, &stored).await.unwrap();
    it.vault.revoke(&it.key, &stored).await.unwrap();
    assert!(!bao.metadata_exists(&it.path()).await);
    assert_eq!(it.refusal(&stored).await, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_rotation_makes_a_version_and_a_stale_one_is_a_conflict() {
    let it = Fixture::new().await;
    let first = it.vault.store(&it.key, &ClientSecret::from("first")).await.unwrap();
    let second = it.vault.rotate(&it.key, &first, &ClientSecret::from("second")).await.unwrap();
    assert!(it.is_version(&second, 2));
    assert_eq!(it.verdict(&second, "second").await, Verdict::Match);
    assert_eq!(it.verdict(&second, "first").await, Verdict::Mismatch);
    assert_eq!(it.verdict(&first, "first").await, Verdict::Match, "the old record pins the old version");
    assert_eq!(it.verdict(&it.bare(), "second").await, Verdict::Match, "a bare path reads the latest");

    let stale = it.vault.rotate(&it.key, &first, &ClientSecret::from("third")).await.unwrap_err();
    assert_eq!((stale.kind(), stale.operation()), (ErrorKind::Conflict, Some(Operation::Rotate)));
}

#[tokio::test]
async fn of_two_rotations_at_once_one_wins() {
    let it = Fixture::new().await;
    let current = it.vault.store(&it.key, &ClientSecret::from("s")).await.unwrap();
    let (one, other) = (ClientSecret::from("one"), ClientSecret::from("other"));
    let (one, other) =
        tokio::join!(it.vault.rotate(&it.key, &current, &one), it.vault.rotate(&it.key, &current, &other));
    let lost = [&one, &other].into_iter().filter_map(|result| result.as_ref().err()).collect::<Vec<_>>();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_bare_path_is_rotated_from_whatever_state_vault_is_in() {
    let (it, bao) = (Fixture::new().await, support::bao());
    let absent = it.vault.rotate(&it.key, &it.bare(), &ClientSecret::from("1")).await.unwrap();
    assert!(it.is_version(&absent, 1));
    bao.write_root(&it.path(), "by hand").await;
    let ahead = it.vault.rotate(&it.key, &it.bare(), &ClientSecret::from("3")).await.unwrap();
    assert!(it.is_version(&ahead, 3));
    bao.soft_delete(&it.path()).await;
    let deleted = it.vault.rotate(&it.key, &it.bare(), &ClientSecret::from("4")).await.unwrap();
    assert!(it.is_version(&deleted, 4));
    assert_eq!(it.verdict(&deleted, "4").await, Verdict::Match);
}

#[tokio::test]
async fn a_bare_path_is_pinned_to_its_latest_version() {
    let (it, bao) = (Fixture::new().await, support::bao());
    let absent = it.vault.pin(&it.key, &it.bare()).await.unwrap_err();
    assert_eq!((absent.kind(), absent.operation()), (ErrorKind::NotFound, Some(Operation::Pin)));
    bao.write_root(&it.path(), "first").await;
    bao.write_root(&it.path(), "second").await;
    let pinned = it.vault.pin(&it.key, &it.bare()).await.unwrap();
    assert!(it.is_version(&pinned, 2));
    assert_eq!(it.vault.pin(&it.key, &pinned).await.unwrap(), pinned);
    bao.write_root(&it.path(), "third").await;
    assert_eq!(it.verdict(&pinned, "second").await, Verdict::Match);
    assert_eq!(it.verdict(&it.bare(), "second").await, Verdict::Mismatch);
    bao.soft_delete(&it.path()).await;
    assert_eq!(it.vault.pin(&it.key, &it.bare()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_bare_path_rotated_with_an_overlap_keeps_its_old_secret_until_the_overlap_ends() {
    let (it, bao) = (Fixture::new().await, support::bao());
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
    let store = SecretStore::builder(it.vault.clone()).clock(Arc::clone(&clock) as Arc<dyn Clock>).build().unwrap();
    bao.write_root(&it.path(), "old").await;
    let day = Duration::from_secs(24 * 60 * 60);
    let rotated = store.rotate(&it.key, &it.bare().into(), day).await.unwrap();
    assert!(it.is_version(&rotated.previous.as_ref().unwrap().stored, 1));
    let row = CredentialSecrets { current: rotated.stored, selector: None, previous: rotated.previous };
    let generation = async |candidate: &ClientSecret| {
        let proof = store.verify(&it.key, &row, candidate).await;
        proof.ok().map(|proof| proof.generation)
    };
    assert_eq!(generation(&rotated.secret).await, Some(Generation::Current));
    assert_eq!(generation(&"old".into()).await, Some(Generation::Previous));
    clock.advance(day);
    assert_eq!(generation(&rotated.secret).await, Some(Generation::Current));
    assert_eq!(generation(&"old".into()).await, None);

    // What Vault no longer holds is no previous secret, and the row is repaired.
    bao.soft_delete(&it.path()).await;
    let repaired = store.rotate(&it.key, &it.bare().into(), day).await.unwrap();
    assert_eq!(repaired.previous, None);
    assert!(store.verify(&it.key, &repaired.stored.into(), &repaired.secret).await.is_ok());
}

#[tokio::test]
async fn every_way_to_be_gone_is_not_found() {
    let (it, bao) = (Fixture::new().await, support::bao());
    let pinned = |version| {
        let path = VaultPath::parse(&it.path()).unwrap().with_version(version).unwrap();
        StoredSecret::new(BackendId::VAULT_KV2, path.to_string())
    };
    assert_eq!(it.refusal(&pinned(1)).await, ErrorKind::NotFound, "never written");
    for _ in 0..12 {
        bao.write_root(&it.path(), "s").await;
    }
    assert_eq!(it.refusal(&pinned(2)).await, ErrorKind::NotFound, "pruned");
    assert_eq!(it.refusal(&pinned(13)).await, ErrorKind::NotFound, "not written yet");
    bao.destroy(&it.path(), 11).await;
    assert_eq!(it.refusal(&pinned(11)).await, ErrorKind::NotFound, "destroyed");
    bao.soft_delete(&it.path()).await;
    assert_eq!(it.refusal(&pinned(12)).await, ErrorKind::NotFound, "deleted");
    assert_eq!(it.refusal(&it.bare()).await, ErrorKind::NotFound, "the latest is deleted");
    assert_eq!(it.verdict(&pinned(10), "s").await, Verdict::Match, "the others are still there");
}

#[tokio::test]
async fn secrets_of_any_text_come_back_whole() {
    let it = Fixture::new().await;
    let longest = "<".repeat(VaultKv2::MAX_SECRET_LEN);
    for (credential, text) in [("c1", "<&>\"\\\u{7f}\n ä 🔑"), ("c2", longest.as_str())] {
        let (key, secret) = (CredentialKey::parse("a", credential).unwrap(), ClientSecret::from(text));
        let stored = it.vault.store(&key, &secret).await.unwrap();
        assert_eq!(it.vault.verify(&key, &stored, &secret).await.unwrap(), Verdict::Match);
    }
}

#[tokio::test]
async fn what_somebody_else_wrote_is_malformed() {
    let (it, bao) = (Fixture::new().await, support::bao());
    for data in [serde_json::json!({}), serde_json::json!({ "clientSecret": 7 }), serde_json::json!({ "other": "s" })] {
        bao.root(reqwest::Method::POST, &it.path(), serde_json::json!({ "data": data })).await;
        assert_eq!(it.refusal(&it.bare()).await, ErrorKind::Malformed);
    }
    bao.write_root(&it.path(), "").await;
    assert_eq!(it.refusal(&it.bare()).await, ErrorKind::Malformed, "an empty secret would match an empty candidate");
}

#[tokio::test]
async fn a_probe_takes_no_more_than_the_policy() {
    Fixture::new().await.vault.probe().await.unwrap();
}
