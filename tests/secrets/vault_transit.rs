//! The transit backend on a real OpenBao, under exactly the policy of the guide.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::testkit::{assert_error_redacted, assert_redacted, fresh_key};
use agentidp_secrets::vault::transit::{VaultTransit, VaultTransitBuilder};
use agentidp_secrets::{
    BackendId, ClientSecret, CredentialKey, CredentialSecrets, Error, ErrorKind, ManualClock, SecretBackend,
    SecretStore, StoredSecret, Verdict,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support;
use crate::support::bao::transit::{TransitMount, guides_policy};
use crate::support::scripted_vault::{Answer, ScriptedVault};

const GUIDE: &str = include_str!("../../agentidp-secrets/src/guide/transit.md");

fn builder(mount: &TransitMount) -> VaultTransitBuilder {
    let bao = support::bao();
    VaultTransit::builder(bao.address(), mount.policy_token.as_str(), TransitMount::KEY).mount(&*mount.name)
}

fn backend(mount: &TransitMount) -> VaultTransit {
    builder(mount).build().unwrap()
}

/// What an error is to say, and what it is never to show.
fn assert_says(error: &Error, kind: ErrorKind, says: &str) {
    assert_eq!((error.kind(), error.backend()), (kind, Some(&BackendId::VAULT_TRANSIT)), "{error}");
    assert!(error.to_string().contains(says), "`{says}` is not in: {error}");
}

/// The version of the key that made a record.
fn version(stored: &StoredSecret) -> u64 {
    let (_, rest) = stored.payload().split_once("$vault:v").unwrap();
    rest.split(':').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_policy_shown_is_the_one_that_is_printed() {
    let transit = VaultTransit::builder("http://127.0.0.1:8200", "t", "agentidp").build().unwrap();
    assert_eq!(guides_policy("transit"), transit.policy());
}

#[tokio::test]
async fn every_command_of_the_guide_works_in_the_order_of_the_page() {
    let bao = support::bao();
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("agentidp-transit.hcl");
    std::fs::write(&policy, guides_policy("transit")).unwrap();
    let (key, secret) = (fresh_key(), ClientSecret::generate().unwrap());
    let mut made: Option<(VaultTransit, StoredSecret)> = None;
    let blocks = GUIDE.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    for line in blocks.flat_map(str::lines) {
        let line = line.replace("agentidp-transit.hcl", policy.to_str().unwrap());
        let arguments: Vec<&str> = line.strip_prefix("bao ").unwrap().split(' ').collect();
        let output = bao.cli(bao.root_token(), &arguments).await;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{line}: {said} {}", String::from_utf8_lossy(&output.stderr));
        if arguments.starts_with(&["token", "create"]) {
            let transit = VaultTransit::builder(bao.address(), said, "agentidp").build().unwrap();
            transit.check().await.unwrap();
            assert!(transit.token_status().await.unwrap().renewable);
            let stored = transit.store(&key, &secret).await.unwrap();
            made = Some((transit, stored));
        }
    }
    // The last command has taken version 1 out of use.
    let (transit, stored) = made.unwrap();
    let error = transit.verify(&key, &stored, &secret).await.unwrap_err();
    assert_says(&error, ErrorKind::InvalidConfig, "min_decryption_version=1");
    assert_eq!(version(&transit.rotate(&key, &stored, &secret).await.unwrap()), 2);
}

#[tokio::test]
async fn the_record_holds_the_hmac_and_is_bound_to_its_credential() {
    let mount = support::bao().fresh_transit().await;
    let transit = backend(&mount);
    let (key, secret) = (fresh_key(), ClientSecret::from("correct horse battery staple"));
    let stored = transit.store(&key, &secret).await.unwrap();
    assert!(stored.payload().starts_with("$vault-transit$v=1$key=agentidp$"));
    assert_eq!((version(&stored), transit.info().remote), (1, true));
    assert_eq!(transit.verify(&key, &stored, &secret).await.unwrap(), Verdict::Match);
    let near_misses = ["correct horse battery staple ", "correct horse battery stapl", "", "\0", &"x".repeat(5000)];
    for near_miss in near_misses {
        assert_eq!(transit.verify(&key, &stored, &near_miss.into()).await.unwrap(), Verdict::Mismatch, "{near_miss:?}");
    }
    let ids = (key.client_id().as_str(), key.credential_id().as_str());
    for (client, credential) in [(ids.0, "other"), ("other", ids.1), (ids.1, ids.0)] {
        let other = CredentialKey::parse(client, credential).unwrap();
        assert_eq!(transit.verify(&other, &stored, &secret).await.unwrap(), Verdict::Mismatch);
    }
    assert!(transit.reveal(&key, &stored).await.unwrap().is_none());
    assert_redacted(&transit, secret.expose_secret());
    assert_redacted(&transit, &mount.policy_token);
}

#[tokio::test]
async fn a_rotated_key_is_noticed_and_upgrade_makes_the_newest_version() {
    let bao = support::bao();
    let mount = bao.fresh_transit().await;
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
    let transit = builder(&mount).clock(Arc::<ManualClock>::clone(&clock)).build().unwrap();
    let store = SecretStore::builder(transit.clone()).build().unwrap();
    let key = fresh_key();
    let issued = store.issue(&key).await.unwrap();
    let row = CredentialSecrets::from(issued.stored);
    assert!(!store.verify(&key, &row, &issued.secret).await.unwrap().outdated);

    bao.rotate_transit(&mount).await;
    let wrong = ClientSecret::generate().unwrap();
    clock.advance(Duration::from_secs(61));
    assert_eq!(transit.verify(&key, &row.current, &wrong).await.unwrap(), Verdict::Mismatch);
    let proof = store.verify(&key, &row, &issued.secret).await.unwrap();
    assert!(proof.outdated, "a match looks for a newer version once a minute");
    let upgraded = store.upgrade(&key, &row.current, &proof, &issued.secret).await.unwrap().unwrap();
    assert_eq!((version(&row.current), version(&upgraded.stored)), (1, 2));

    bao.configure_transit(&mount, json!({ "min_decryption_version": 2 })).await;
    assert!(!store.verify(&key, &upgraded.stored.into(), &issued.secret).await.unwrap().outdated);
    for candidate in [&issued.secret, &wrong] {
        let error = transit.verify(&key, &row.current, candidate).await.unwrap_err();
        assert_says(&error, ErrorKind::InvalidConfig, "config min_decryption_version=1");
    }
    // As a previous record it is an error too, and no secret that is gone.
    let error = store.verify(&key, &row, &issued.secret).await.unwrap_err();
    assert!(matches!(error, agentidp_secrets::VerifyError::Backend(_)), "{error:?}");
}

#[tokio::test]
async fn what_the_engine_refuses_is_an_outage_that_says_what_to_do() {
    let bao = support::bao();
    let (mount, kv) = (bao.fresh_transit().await, bao.fresh_mount(2).await);
    let (key, secret) = (fresh_key(), ClientSecret::generate().unwrap());
    let stored = backend(&mount).store(&key, &secret).await.unwrap();
    let at = |token: &str, mount: &str, name: &str| {
        VaultTransit::builder(bao.address(), token, name).mount(mount).build().unwrap()
    };
    let of_version = |version: u64| {
        let payload = stored.payload().replace("$vault:v1:", &format!("$vault:v{version}:"));
        StoredSecret::new(BackendId::VAULT_TRANSIT, payload)
    };
    let of_key = |name: &str| {
        StoredSecret::new(BackendId::VAULT_TRANSIT, stored.payload().replace("key=agentidp", &format!("key={name}")))
    };
    let poor = bao.create_token(json!({ "policies": ["default"] })).await;
    let dead = bao.create_token(json!({ "policies": [mount.name] })).await;
    bao.revoke_token(&dead).await;
    let root = bao.root_token();
    let own = mount.name.as_str();
    let hmac_only = format!("path \"{own}/hmac/agentidp\" {{ capabilities = [\"update\"] }}");
    bao.write_policy(&format!("{own}-hmac"), &hmac_only).await;
    let hmac_only = bao.create_token(json!({ "policies": [format!("{own}-hmac")] })).await;

    let table = [
        ("no such key", at(root, own, "missing"), of_key("missing"), ErrorKind::InvalidConfig, "bao write -f"),
        (
            "no such mount",
            at(root, "nowhere", "agentidp"),
            of_version(1),
            ErrorKind::InvalidConfig,
            "VaultTransitBuilder::mount",
        ),
        (
            "another engine",
            at(root, &kv.name, "agentidp"),
            of_version(1),
            ErrorKind::InvalidConfig,
            "no transit engine",
        ),
        ("no right", at(&poor, own, "agentidp"), of_version(1), ErrorKind::Denied, "must allow `update` on"),
        ("one right", at(&hmac_only, own, "agentidp"), of_version(1), ErrorKind::Denied, "/verify/agentidp`"),
        ("token dead", at(&dead, own, "agentidp"), of_version(1), ErrorKind::Denied, "renew or replace"),
        ("a version to come", backend(&mount), of_version(7), ErrorKind::InvalidConfig, "has no version 7"),
        ("another key", backend(&mount), of_key("former"), ErrorKind::InvalidConfig, "`former`"),
    ];
    for (how, transit, record, kind, says) in table {
        for candidate in [&secret, &ClientSecret::generate().unwrap()] {
            let error = transit.verify(&key, &record, candidate).await.expect_err(how);
            assert_says(&error, kind, says);
            assert_error_redacted(&error, secret.expose_secret());
            assert_error_redacted(&error, &stored.payload()[33..]);
        }
        if !matches!(how, "a version to come" | "another key") {
            transit.check().await.expect_err(how);
        }
    }
    let error = at(&hmac_only, own, "agentidp").probe().await.unwrap_err();
    assert_says(&error, ErrorKind::Denied, "/verify/agentidp`");

    bao.configure_transit(&mount, json!({ "deletion_allowed": true })).await;
    bao.root(Method::DELETE, &format!("{own}/keys/agentidp"), Value::Null).await;
    let error = backend(&mount).verify(&key, &stored, &secret).await.unwrap_err();
    assert_says(&error, ErrorKind::InvalidConfig, "restore it from a backup");
}

const HMAC: &str = "vault:v1:VyrFUhA4ilD0C8eYBCf9tvfu2xMJpI+77uw4K5cQ9xY=";

fn record() -> StoredSecret {
    let payload = format!("$vault-transit$v=1$key=k$000102030405060708090a0b0c0d0e0f${HMAC}");
    StoredSecret::new(BackendId::VAULT_TRANSIT, payload)
}

fn scripted(address: &str) -> VaultTransit {
    VaultTransit::builder(address, "s.t", "k").read_timeout(Duration::from_millis(200)).build().unwrap()
}

fn valid(valid: bool) -> Answer {
    Answer::new(200, json!({ "data": { "valid": valid } }).to_string())
}

fn made(version: u64) -> Answer {
    let hmac = HMAC.replace("v1", &format!("v{version}"));
    Answer::new(200, json!({ "data": { "hmac": hmac } }).to_string())
}

#[tokio::test]
async fn a_vault_that_cannot_be_asked_is_never_a_verdict() {
    let gone = scripted("http://127.0.0.1:1");
    let error = gone.verify(&fresh_key(), &record(), &"candidate".into()).await.unwrap_err();
    assert_says(&error, ErrorKind::Unavailable, "is it running");
    for (answer, kind, says) in [
        (Answer::error(503, "Vault is sealed"), ErrorKind::Unavailable, "unseal it"),
        (Answer::hang(), ErrorKind::Unavailable, "no answer in time"),
        (Answer::reset(), ErrorKind::Unavailable, "broke off"),
        (Answer::new(200, "{}"), ErrorKind::Unavailable, "not Vault's"),
        (
            Answer::new(429, r#"{"errors":["request path \"a\": rate limit quota exceeded"]}"#),
            ErrorKind::Throttled,
            "quota",
        ),
    ] {
        let vault = ScriptedVault::start([answer]).await;
        let error = scripted(vault.address()).verify(&fresh_key(), &record(), &"candidate".into()).await.unwrap_err();
        assert_says(&error, kind, says);
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_of_the_next_node() {
    let (first, second) =
        (ScriptedVault::start([Answer::reset()]).await, ScriptedVault::start([valid(true), made(1)]).await);
    let transit = scripted(&format!("{},{}", first.address(), second.address()));
    let verdict = transit.verify(&fresh_key(), &record(), &"candidate".into()).await.unwrap();
    assert_eq!(verdict, Verdict::Match);
    assert_eq!(first.requests().len(), 1);
}

#[tokio::test]
async fn a_look_for_a_newer_version_fails_no_login() {
    let vault =
        ScriptedVault::start([valid(true), Answer::error(503, "Vault is sealed"), valid(true), valid(true), made(2)])
            .await;
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
    let builder = VaultTransit::builder(vault.address(), "s.t", "k").clock(Arc::<ManualClock>::clone(&clock));
    let (transit, key) = (builder.build().unwrap(), fresh_key());
    let verify = async || transit.verify(&key, &record(), &"candidate".into()).await.unwrap();
    assert_eq!(verify().await, Verdict::Match, "the look failed");
    assert_eq!(verify().await, Verdict::Match, "and is not repeated within the minute");
    assert_eq!(vault.requests().len(), 3);
    clock.advance(Duration::from_secs(60));
    assert_eq!(verify().await, Verdict::MatchOutdated);
    let targets: Vec<_> = vault.requests().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets[3..], ["/v1/transit/verify/k", "/v1/transit/hmac/k"]);
}
