//! The table of errors: what is wrong with a real OpenBao, the kind of error that it becomes, and that its text names
//! what the operator does next.

use std::time::Duration;

use agentidp_secrets::vault::{VaultKv2, VaultKv2Builder};
use agentidp_secrets::{BackendId, ClientSecret, CredentialKey, Error, ErrorKind, SecretBackend, StoredSecret};
use serde_json::json;

use crate::support::bao::{Bao, Mount};
use crate::support::process::until;
use crate::support::scripted_vault::{Answer, ScriptedVault};
use crate::support::{self};

fn builder(bao: &Bao, token: &str, mount: &str) -> VaultKv2Builder {
    VaultKv2::builder(bao.address(), token).mount(mount)
}

fn backend(bao: &Bao, mount: &Mount) -> VaultKv2 {
    builder(bao, &mount.policy_token, &mount.name).build().unwrap()
}

fn key() -> CredentialKey {
    CredentialKey::parse("a", "c").unwrap()
}

fn secret() -> ClientSecret {
    ClientSecret::from("sk_live_canary")
}

/// The path of the credential, and a version of it where one is meant.
fn record(mount: &str, version: Option<u64>) -> StoredSecret {
    let pin = version.map(|version| format!("?version={version}")).unwrap_or_default();
    StoredSecret::new(BackendId::VAULT_KV2, format!("{mount}/data/agentidp/agents/a/credentials/c{pin}"))
}

async fn read(vault: &VaultKv2, stored: &StoredSecret) -> Error {
    vault.verify(&key(), stored, &secret()).await.expect_err("nothing can be decided")
}

async fn write(vault: &VaultKv2) -> Error {
    vault.store(&key(), &secret()).await.expect_err("nothing can be stored")
}

/// A row: how it was provoked, the error, the kind that it is to be, and what its text is to name.
type Row = (&'static str, Error, ErrorKind, &'static str);

fn assert_all(rows: Vec<Row>) {
    for (how, error, kind, next_step) in rows {
        assert_eq!(error.kind(), kind, "{how}: {error}");
        let text = error.to_string();
        assert!(text.contains(next_step), "{how}: `{next_step}` is not in: {text}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{how}: {error:?}");
    }
}

#[tokio::test]
async fn settings_that_are_wrong() {
    let bao = support::bao();
    let (good, old) = (bao.fresh_mount(2).await, bao.fresh_mount(1).await);
    let (unmounted, no_right) = (("missing", bao.root_token()), ("missing", good.policy_token.as_str()));
    let nowhere = |(mount, token): (&str, &str)| builder(bao, token, mount).build().unwrap();
    let other_space = builder(bao, &good.policy_token, &good.name).namespace("nowhere").build().unwrap();
    let missing = record("missing", None);
    assert_all(vec![
        (
            "read, no such mount",
            read(&nowhere(unmounted), &missing).await,
            ErrorKind::InvalidConfig,
            "`VaultKv2Builder::mount`",
        ),
        (
            "write, no such mount",
            write(&nowhere(unmounted)).await,
            ErrorKind::InvalidConfig,
            "`VaultKv2Builder::mount`",
        ),
        (
            "probe, no such mount",
            nowhere(unmounted).probe().await.unwrap_err(),
            ErrorKind::InvalidConfig,
            "`VaultKv2Builder::mount`",
        ),
        ("the same for a token", read(&nowhere(no_right), &missing).await, ErrorKind::Denied, "must allow `read` on"),
        (
            "read, KV version 1",
            {
                let path = format!("{}/data/agentidp/agents/a/credentials/c", old.name);
                bao.root(reqwest::Method::POST, &path, json!({ "data": { "clientSecret": "sk_live_canary" } })).await;
                read(&backend(bao, &old), &record(&old.name, None)).await
            },
            ErrorKind::InvalidConfig,
            "enable-versioning",
        ),
        ("write, KV version 1", write(&backend(bao, &old)).await, ErrorKind::InvalidConfig, "enable-versioning"),
        (
            "no such namespace",
            read(&other_space, &record(&good.name, None)).await,
            ErrorKind::InvalidConfig,
            "`VaultKv2Builder::namespace`",
        ),
    ]);
}

#[tokio::test]
async fn what_vault_refuses() {
    let bao = support::bao();
    let (mount, limited) = (bao.fresh_mount(2).await, bao.fresh_mount(2).await);
    let poor = bao.create_token(json!({ "policies": ["default"] })).await;
    let poor = builder(bao, &poor, &mount.name).build().unwrap();
    let dead = bao.create_token(json!({ "policies": [mount.name] })).await;
    bao.revoke_token(&dead).await;
    let dead = builder(bao, &dead, &mount.name).build().unwrap();
    let (bare, throttled) = (record(&mount.name, None), backend(bao, &limited));
    bao.limit_rate(&limited.name, 1.0).await;
    throttled.probe().await.unwrap();
    assert_all(vec![
        ("read, no right", read(&poor, &bare).await, ErrorKind::Denied, "must allow `read` on"),
        ("write, no right", write(&poor).await, ErrorKind::Denied, "must allow `create` on"),
        (
            "read, token revoked",
            read(&dead, &bare).await,
            ErrorKind::Denied,
            "renew or replace the token of `VaultAuth::Token`",
        ),
        (
            "write, token revoked",
            write(&dead).await,
            ErrorKind::Denied,
            "renew or replace the token of `VaultAuth::Token`",
        ),
        (
            "read, over a quota",
            read(&throttled, &record(&limited.name, None)).await,
            ErrorKind::Throttled,
            "raise it, or ask less",
        ),
        ("write, over a quota", write(&throttled).await, ErrorKind::Throttled, "raise it, or ask less"),
    ]);
}

#[tokio::test]
async fn what_vault_does_not_hold() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let vault = backend(bao, &mount);
    let path = format!("{}/data/agentidp/agents/a/credentials/c", mount.name);
    let (bare, first) = (record(&mount.name, None), record(&mount.name, Some(1)));
    let absent = read(&vault, &bare).await;
    vault.store(&key(), &secret()).await.unwrap();
    let pruned = read(&vault, &record(&mount.name, Some(7))).await;
    let taken = vault.store(&key(), &ClientSecret::from("another")).await.unwrap_err();
    bao.soft_delete(&path).await;
    let deleted = read(&vault, &first).await;
    bao.destroy(&path, 1).await;
    let destroyed = read(&vault, &first).await;
    bao.root(reqwest::Method::POST, &path, json!({ "data": { "other": "canary" } })).await;
    let foreign = read(&vault, &record(&mount.name, Some(2))).await;
    bao.write_root(&path, &"s".repeat(1200 * 1024)).await;
    let huge = read(&vault, &bare).await;
    assert_all(vec![
        ("never written", absent, ErrorKind::NotFound, "rotate the credential"),
        ("a version that is not there", pruned, ErrorKind::NotFound, "rotate the credential"),
        ("somebody else stored first", taken, ErrorKind::Conflict, "read the row again"),
        ("soft-deleted", deleted, ErrorKind::NotFound, "undelete it"),
        ("destroyed", destroyed, ErrorKind::NotFound, "rotate the credential"),
        ("written by somebody else", foreign, ErrorKind::Malformed, "rotate the credential"),
        ("larger than anything of ours", huge, ErrorKind::Unavailable, "is the address of `VaultKv2::builder` right?"),
    ]);
}

/// Who keeps other members in the entry may fill it to what Vault stores at most.
#[tokio::test]
async fn a_secret_is_read_from_a_long_entry() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let path = format!("{}/data/agentidp/agents/a/credentials/c", mount.name);
    let entry = json!({ "clientSecret": secret().expose_secret(), "notes": "n".repeat(1024 * 1024) });
    bao.root(reqwest::Method::POST, &path, json!({ "data": entry })).await;
    let read = backend(bao, &mount).verify(&key(), &record(&mount.name, None), &secret()).await;
    assert!(read.unwrap().is_match());
}

#[tokio::test]
async fn a_server_that_cannot_answer() {
    let mut bao = Bao::start_own().await;
    let mount = bao.fresh_mount(2).await;
    let vault = backend(&bao, &mount);
    let stored = vault.store(&key(), &secret()).await.unwrap();
    let hasty = builder(&bao, &mount.policy_token, &mount.name).read_timeout(Duration::from_millis(50));
    let hasty = hasty.write_timeout(Duration::from_millis(50)).build().unwrap();

    bao.seal().await;
    let sealed = (read(&vault, &stored).await, write(&vault).await);
    bao.unseal().await;
    bao.pause().await;
    let slow = (read(&hasty, &stored).await, write(&hasty).await);
    bao.resume();
    bao.stop().await;
    let stopped = (read(&vault, &stored).await, write(&vault).await);
    let garbage = ScriptedVault::start((0..3).map(|_| Answer::new(200, "<html>canary</html>"))).await;
    let garbled = VaultKv2::builder(garbage.address(), "s.token").build().unwrap();
    assert_all(vec![
        ("read, sealed", sealed.0, ErrorKind::Unavailable, "unseal it"),
        ("write, sealed", sealed.1, ErrorKind::Unavailable, "unseal it"),
        ("read, hung", slow.0, ErrorKind::Unavailable, "no answer in time"),
        ("write, hung", slow.1, ErrorKind::Unavailable, "no answer in time"),
        (
            "read, stopped",
            stopped.0,
            ErrorKind::Unavailable,
            "is it running, is the address of `VaultKv2::builder` right?",
        ),
        (
            "write, stopped",
            stopped.1,
            ErrorKind::Unavailable,
            "is it running, is the address of `VaultKv2::builder` right?",
        ),
        // No real server says this.
        (
            "read, not Vault's",
            read(&garbled, &record("secret", Some(1))).await,
            ErrorKind::Unavailable,
            "is a proxy in between",
        ),
        ("write, not Vault's", write(&garbled).await, ErrorKind::Unavailable, "is a proxy in between"),
    ]);
}

#[tokio::test]
async fn a_standby_without_its_leader() {
    let mut cluster = support::cluster().await;
    let mount = cluster.fresh_mount().await;
    let leader = cluster.leader().await;
    let (other, left) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(other).await;
    cluster.kill(leader).await;
    // Two of three are gone: nobody can be elected.
    let node = cluster.node(left);
    let vault = builder(node, &mount.policy_token, &mount.name).build().unwrap();
    let said = std::sync::Mutex::new(None);
    until("the standby to have given up its leader", async || {
        let error = write(&vault).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let alone = error.to_string().contains("standby");
        *said.lock().unwrap() = Some(error);
        alone
    })
    .await;
    let error = said.into_inner().unwrap().unwrap();
    assert_all(vec![("write, no leader", error, ErrorKind::Unavailable, "a standby without")]);
}
