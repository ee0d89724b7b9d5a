//! Entries that other software has written: another path, another member, and more members beside the secret.

use std::collections::BTreeMap;
use std::time::Duration;

use agentidp_secrets::backends::Memory;
use agentidp_secrets::inventory::{Inventory, RecordState};
use agentidp_secrets::lifecycle::compare::{Difference, Mode};
use agentidp_secrets::lifecycle::{Decision, Lifecycle, MemoryLedger};
use agentidp_secrets::vault::{VaultKv2, VaultKv2Builder};
use agentidp_secrets::{ClientSecret, CredentialKey, SecretBackend, SecretStore, StoredSecret};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support;
use crate::support::bao::Mount;

const HOUR: Duration = Duration::from_secs(3600);
const CLIENT: &str = "https://idp.example/7";
/// As the other software wrote it.
const PATH: &str = "apps/app-https~3a~2f~2fidp.example~2f7/keys/c1";
const OURS: &str = "apps/agents/https~3a~2f~2fidp.example~2f7/credentials/c1";

/// A Vault for a layout of `secret/apps/app-CLIENT/keys/CREDENTIAL`, with a token for its own policies and no more.
async fn fixture() -> (Mount, VaultKv2Builder) {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let at = |token: &str| {
        let builder = VaultKv2::builder(bao.address(), token).mount(&mount.name).prefix("apps");
        builder.layout("app-{client}/keys/{credential}").member("value")
    };
    let vault = at("t").build().unwrap();
    bao.write_policy(&mount.name, &(vault.policy() + &vault.listing_policy())).await;
    let builder = at(&mount.policy_token);
    (mount, builder)
}

async fn write(path: &str, data: Value) {
    support::bao().root(Method::POST, path, json!({ "data": data })).await;
}

async fn read(path: &str) -> Value {
    support::bao().read_root(path).await.unwrap().data
}

fn key() -> CredentialKey {
    CredentialKey::parse(CLIENT, "c1").unwrap()
}

#[tokio::test]
async fn an_entry_of_another_layout_verifies_and_rotates_with_its_other_members() {
    let (mount, builder) = fixture().await;
    let (path, store) = (format!("{}/data/{PATH}", mount.name), SecretStore::builder(builder.build().unwrap()));
    let store = store.build().unwrap();
    write(&path, json!({ "value": "theirs", "owner": "team <a>", "weights": [1, 2.5e300], "clientSecret": "a decoy" }))
        .await;

    let row = StoredSecret::parse(&path).unwrap();
    assert!(store.verify(&key(), &row.clone().into(), &"theirs".into()).await.is_ok());
    assert!(store.verify(&key(), &row.clone().into(), &"a decoy".into()).await.is_err());
    let rotated = store.rotate(&key(), &row.into(), HOUR).await.unwrap();
    let (current, previous) = (rotated.stored.clone(), rotated.previous.unwrap().stored);
    assert!(current.payload().starts_with(&format!("{path}?version=2")), "{}", current.payload());
    assert!(store.verify(&key(), &current.into(), &rotated.secret).await.is_ok());
    assert!(store.verify(&key(), &previous.into(), &"theirs".into()).await.is_ok());
    let held = read(&path).await;
    assert_eq!(held["value"], rotated.secret.expose_secret());
    assert_eq!((&held["owner"], &held["weights"]), (&json!("team <a>"), &json!([1, 2.5e300])));
    assert_eq!(held["clientSecret"], "a decoy");
}

#[tokio::test]
async fn other_members_are_dropped_only_where_that_was_said_or_where_all_entries_are_ours() {
    let (mount, builder) = fixture().await;
    for (vault, path, member, kept) in [
        (builder.clone().build().unwrap(), PATH, "value", true),
        (builder.clone().keep_other_members(false).build().unwrap(), PATH, "value", false),
        (at_our_layout(&mount).build().unwrap(), OURS, "clientSecret", false),
        (at_our_layout(&mount).keep_other_members(true).build().unwrap(), OURS, "clientSecret", true),
        (at_our_layout(&mount).member("value").build().unwrap(), OURS, "value", true),
    ] {
        let path = format!("{}/data/{path}", mount.name);
        write(&path, json!({ member: "theirs", "owner": "they" })).await;
        let store = SecretStore::builder(vault).build().unwrap();
        store.rotate(&key(), &StoredSecret::parse(&path).unwrap().into(), HOUR).await.unwrap();
        assert_eq!(read(&path).await["owner"] == "they", kept, "{path} {member}");
    }
}

/// With the documented layout below the same prefix.
fn at_our_layout(mount: &Mount) -> VaultKv2Builder {
    VaultKv2::builder(support::bao().address(), mount.policy_token.as_str()).mount(&mount.name).prefix("apps")
}

#[tokio::test]
async fn an_entry_is_taken_over_and_what_others_write_beside_the_secret_is_never_lost() {
    let (mount, builder) = fixture().await;
    let (path, vault) = (format!("{}/data/{PATH}", mount.name), builder.build().unwrap());
    write(&path, json!({ "value": "theirs", "count": 1 })).await;
    let ledger = MemoryLedger::new();
    let life = |store: SecretStore| {
        Lifecycle::new(store, ledger.clone(), |task| drop(tokio::spawn(task))).with_upgrades(false)
    };
    let store = SecretStore::builder(vault.clone()).accepts(Memory::new()).build().unwrap();
    let here = life(store);
    let works = async |secret: &ClientSecret| {
        matches!(here.authenticate(key().client_id(), secret).await.unwrap(), Decision::Proved(_))
    };

    here.take_over(&key(), &StoredSecret::parse(&path).unwrap(), ()).await.unwrap();
    assert!(works(&"theirs".into()).await);
    // Another program changes what is its own, in a version of which no row knows.
    write(&path, json!({ "value": "theirs", "count": 2 })).await;
    let rotated = here.rotate(&key(), HOUR, ()).await.unwrap();
    assert!(works(&rotated.secret).await && works(&"theirs".into()).await);
    assert_eq!(read(&path).await, json!({ "value": rotated.secret.expose_secret(), "count": 2 }));

    // A credential that moves away takes its secret along, and nothing else.
    here.end_previous(&key(), ()).await.unwrap();
    let away = life(SecretStore::builder(Memory::new()).accepts(vault.clone()).build().unwrap());
    let moved = away.rotate(&key(), Duration::ZERO, ()).await.unwrap();
    assert_eq!(moved.row.secrets.unwrap().current.backend().as_str(), "memory");
    away.round().await;
    assert_eq!(read(&path).await, json!({ "count": 2 }));
    let latest = vault.inspect(&key(), None).await.unwrap().version();
    for version in 1..=latest {
        let held = vault.inspect(&key(), Some(version)).await.unwrap();
        assert!(held.secret().is_none(), "version {version} of {latest}");
    }
}

#[tokio::test]
async fn a_comparison_reads_the_layout() {
    let (mount, builder) = fixture().await;
    let vault = builder.build().unwrap();
    let store = SecretStore::builder(vault.clone()).build().unwrap();
    let life = Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task)));
    let row = life.issue(&key(), ()).await.unwrap().row.secrets.unwrap().current;
    assert_eq!(vault.record_state(&key(), &row).await.unwrap(), RecordState::Sound);
    let base = format!("{}/data/apps", mount.name);
    write(&format!("{base}/app-agent-8/keys/c1"), json!({ "value": "orphan" })).await;
    write(&format!("{base}/other/keys/c1"), json!({ "value": "foreign" })).await;

    let names = Inventory::clients(&vault, None, 100).await.unwrap().names;
    let clients: Vec<_> = names.iter().map(|name| vault.client_named(name).map(|id| id.to_string())).collect();
    assert_eq!(clients, [Some("agent-8".to_owned()), Some(CLIENT.to_owned()), None]);
    let mut found = Vec::new();
    let mut tell = |difference: &Difference| found.push(difference.to_string());
    life.compare(&vault, Mode::DryRun, &mut tell).await.unwrap();
    found.sort();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("foreign_name: ") && found[1].starts_with("path_without_row: "), "{found:?}");
}

#[tokio::test]
async fn entries_may_lie_at_the_root_of_a_mount() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let at = |token: &str| VaultKv2::builder(bao.address(), token).mount(&mount.name).prefix("");
    let policy = at("t").layout("{client}/{credential}").build().unwrap();
    bao.write_policy(&mount.name, &(policy.policy() + &policy.listing_policy())).await;
    let vault = at(&mount.policy_token).layout("{client}/{credential}").build().unwrap();
    let path = format!("{}/data/agent-7/c1", mount.name);
    write(&path, json!({ "clientSecret": "theirs", "owner": "they" })).await;
    write(&format!("{}/data/agent-8/c1", mount.name), json!({ "clientSecret": "orphan" })).await;

    let store = SecretStore::builder(vault.clone()).build().unwrap();
    let life = Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task)));
    let key = CredentialKey::parse("agent-7", "c1").unwrap();
    life.take_over(&key, &StoredSecret::parse(&path).unwrap(), ()).await.unwrap();
    let rotated = life.rotate(&key, HOUR, ()).await.unwrap();
    for secret in [&"theirs".into(), &rotated.secret] {
        let decision = life.authenticate(key.client_id(), secret).await.unwrap();
        assert!(matches!(decision, Decision::Proved(_)));
    }
    assert_eq!(read(&path).await, json!({ "clientSecret": rotated.secret.expose_secret(), "owner": "they" }));
    let mut found = Vec::new();
    let mut tell = |difference: &Difference| found.push(difference.to_string());
    life.compare(&vault, Mode::DryRun, &mut tell).await.unwrap();
    assert!(found.len() == 1 && found[0].starts_with("path_without_row: "), "{found:?}");
    life.end(&key, ()).await.unwrap();
    life.round().await;
    assert!(bao.read_root(&path).await.is_none_or(|read| read.data.is_null()), "nothing is left of it");
}

#[tokio::test]
async fn whose_the_folder_is_lies_beside_the_clients_of_a_short_layout() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let at = |token: &str| {
        VaultKv2::builder(bao.address(), token).mount(&mount.name).layout("{client}/{credential}").build().unwrap()
    };
    let vault = at(&mount.policy_token);
    bao.write_policy(&mount.name, &(vault.policy() + &vault.listing_policy())).await;
    vault.write_ledger_entry(&BTreeMap::new(), 0).await.unwrap();
    let key = CredentialKey::parse("ledger", "c1").unwrap();
    let stored = vault.store(&key, &"secret".into()).await.unwrap();
    assert!(stored.payload().starts_with(&format!("{}/data/agentidp/ledger/c1?", mount.name)));
    assert_eq!(vault.ledger_entry().await.unwrap().version(), 1);
    assert_eq!(vault.clients(None, 10).await.unwrap().names, ["ledger"], "the client, and not the entry");
    assert_eq!(vault.credentials_of("ledger", None, 10).await.unwrap().names, ["c1"]);
}
