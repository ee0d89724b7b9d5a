//! Rows that point to where this Vault does not write any more: the mount was moved, or the prefix is another one.

use std::time::Duration;

use agentidp_secrets::lifecycle::{Decision, Lifecycle, MemoryLedger};
use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::{
    ClientSecret, CredentialKey, CredentialSecrets, ErrorKind, Held, SecretBackend, SecretStore, VerifyError,
};
use reqwest::Method;
use serde_json::json;

use crate::support::bao::least_privilege;
use crate::support::process::until;
use crate::support::{self, Bao};

const HOUR: Duration = Duration::from_secs(3600);

fn key(credential: &str) -> CredentialKey {
    CredentialKey::parse("agent-7", credential).unwrap()
}

/// A Vault before and after `bao secrets move`, which is carried out by the returned function.
async fn moved_mount(bao: &Bao) -> (VaultKv2, VaultKv2, String, String) {
    let mount = bao.fresh_mount(2).await.name;
    let moved = format!("moved-{mount}");
    bao.write_policy(&mount, &(least_privilege(&mount) + &least_privilege(&moved))).await;
    let token = bao.create_token(json!({ "policies": [mount], "period": "768h" })).await;
    let at = |mount: &str| VaultKv2::builder(bao.address(), token.as_str()).mount(mount).build().unwrap();
    (at(&mount), at(&moved), mount, moved)
}

async fn move_mount(bao: &Bao, from: &str, to: &str) {
    let migration = bao.root(Method::POST, "sys/remount", json!({ "from": from, "to": to })).await;
    let status = format!("sys/remount/status/{}", migration["data"]["migration_id"].as_str().unwrap());
    until("the move of the mount", async || {
        let answer = bao.call(bao.root_token(), Method::GET, &status, None).await.1;
        answer["data"]["migration_info"]["status"] == "success"
    })
    .await;
}

#[tokio::test]
async fn a_store_takes_a_row_over_after_a_mount_was_moved() {
    let bao = support::bao();
    let (old, new, from, to) = moved_mount(bao).await;
    let before = SecretStore::builder(old).build().unwrap();
    let first = before.issue(&key("c")).await.unwrap();
    move_mount(bao, &from, &to).await;

    let store = SecretStore::builder(new.clone()).build().unwrap();
    let row = CredentialSecrets::from(first.stored);
    let Err(VerifyError::Backend(advice)) = store.verify(&key("c"), &row, &first.secret).await else {
        panic!("the row points elsewhere");
    };
    assert_eq!(advice.kind(), ErrorKind::Malformed);
    assert!(advice.to_string().contains("or rotate the credential"), "{advice}");

    // What it advises works, over the entry that came along.
    let rotated = store.rotate(&key("c"), &row, HOUR).await.unwrap();
    assert_eq!(rotated.previous, None, "nobody could verify it");
    let row = CredentialSecrets::from(rotated.stored);
    assert!(store.verify(&key("c"), &row, &rotated.secret).await.is_ok());
    assert!(matches!(store.verify(&key("c"), &row, &first.secret).await, Err(VerifyError::Mismatch)));
    store.revoke(&key("c"), &row).await.unwrap();
    assert!(matches!(new.inspect(&key("c"), None).await.unwrap(), Held::Nothing));
}

#[tokio::test]
async fn a_lifecycle_takes_a_row_over_after_a_mount_was_moved() {
    let bao = support::bao();
    let (old, new, from, to) = moved_mount(bao).await;
    let ledger = MemoryLedger::new();
    let life = |vault: &VaultKv2| {
        let store = SecretStore::builder(vault.clone()).build().unwrap();
        Lifecycle::new(store, ledger.clone(), |task| drop(tokio::spawn(task)))
    };
    let first = life(&old).issue(&key("c"), ()).await.unwrap();
    move_mount(bao, &from, &to).await;

    let after = life(&new);
    let second = after.rotate(&key("c"), HOUR, ()).await.unwrap();
    assert_eq!(second.row.secrets.as_ref().unwrap().previous, None, "nobody could verify it");
    assert!(works(&after, &second.secret).await);
    let wrong = after.authenticate(key("c").client_id(), &first.secret).await.unwrap();
    assert!(matches!(wrong, Decision::Mismatch { known: true }), "wrong is not broken: {wrong:?}");
    // What is owed where it lay waits, and hurts nothing.
    after.round().await;
    assert!(works(&after, &second.secret).await);
    let third = after.rotate(&key("c"), HOUR, ()).await.unwrap();
    assert!(works(&after, &second.secret).await && works(&after, &third.secret).await);
    after.end(&key("c"), ()).await.unwrap();
    assert!(matches!(new.inspect(&key("c"), None).await.unwrap(), Held::Nothing));
}

#[tokio::test]
async fn a_row_below_another_prefix_is_taken_over_and_what_lies_there_is_left_alone() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let at = |token: &str| VaultKv2::builder(bao.address(), token).mount(&mount.name);
    let old = at(&mount.policy_token).build().unwrap();
    let policy = at("t").prefix("idp").build().unwrap().policy();
    bao.write_policy(&mount.name, &(least_privilege(&mount.name) + &policy)).await;
    let new = at(&mount.policy_token).prefix("idp").build().unwrap();

    let before = SecretStore::builder(old.clone()).build().unwrap();
    let (ledger, store) = (MemoryLedger::new(), SecretStore::builder(new.clone()).build().unwrap());
    let life = |store: &SecretStore| Lifecycle::new(store.clone(), ledger.clone(), |task| drop(tokio::spawn(task)));
    for credential in ["by-hand", "kept"] {
        let first = life(&before).issue(&key(credential), ()).await.unwrap();
        let stored = first.row.secrets.unwrap();
        let row = if credential == "kept" {
            let rotated = life(&store).rotate(&key(credential), Duration::ZERO, ()).await.unwrap();
            life(&store).round().await;
            assert!(works(&life(&store), &rotated.secret).await);
            rotated.row.secrets.unwrap()
        } else {
            CredentialSecrets::from(store.rotate(&key(credential), &stored, Duration::ZERO).await.unwrap().stored)
        };
        assert!(row.current.payload().contains("/data/idp/agents/"), "{}", row.current.payload());
        store.revoke(&key(credential), &row).await.unwrap();
        // No deletion goes where this Vault was not set up to write.
        let left = old.inspect(&key(credential), None).await.unwrap();
        assert!(left.secret().is_some_and(|held| held.ct_eq(&first.secret)));
    }
}

#[tokio::test]
async fn a_row_that_was_swapped_is_repaired_by_a_rotation_and_the_other_credential_keeps_its_secret() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let vault = VaultKv2::builder(bao.address(), mount.policy_token.as_str()).mount(&mount.name).build().unwrap();
    let store = SecretStore::builder(vault).build().unwrap();
    let (one, other) = (store.issue(&key("one")).await.unwrap(), store.issue(&key("other")).await.unwrap());
    let swapped = CredentialSecrets::from(other.stored.clone());
    let rotated = store.rotate(&key("one"), &swapped, HOUR).await.unwrap();
    assert_eq!(rotated.previous, None, "one credential never lends another its secret");
    assert!(store.verify(&key("one"), &rotated.stored.into(), &rotated.secret).await.is_ok());
    assert!(store.verify(&key("other"), &other.stored.into(), &other.secret).await.is_ok());
    assert!(store.verify(&key("one"), &one.stored.into(), &one.secret).await.is_ok(), "until its row is committed");
}

async fn works(life: &Lifecycle<MemoryLedger>, secret: &ClientSecret) -> bool {
    matches!(life.authenticate(key("c").client_id(), secret).await.unwrap(), Decision::Proved(_))
}
