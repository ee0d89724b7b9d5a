//! How the Vault backend tells what is wrong with a real OpenBao, its mount, its policy or its token. The table of what
//! each failure of a call says is in `vault_errors`.

use std::time::Duration;

use agentidp_secrets::vault::check::Right;
use agentidp_secrets::vault::{VaultKv2, VaultKv2Builder};
use agentidp_secrets::{ClientSecret, CredentialKey, Error, ErrorKind, SecretBackend, Verdict};
use serde_json::json;

use crate::support::bao::{Bao, Mount, least_privilege};
use crate::support::{self};

fn builder(bao: &Bao, mount: &Mount) -> VaultKv2Builder {
    VaultKv2::builder(bao.address(), mount.policy_token.as_str()).mount(mount.name.as_str())
}

fn with_token(mount: &str, token: &str) -> VaultKv2 {
    VaultKv2::builder(support::bao().address(), token).mount(mount).build().unwrap()
}

fn key() -> CredentialKey {
    CredentialKey::parse("a", "c").unwrap()
}

fn secret() -> ClientSecret {
    ClientSecret::from("sk_live_s")
}

fn assert_says(error: &Error, kind: ErrorKind, text: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn the_start_check_accepts_a_mount_of_version_2_and_nothing_else() {
    let bao = support::bao();
    let (good, old) = (bao.fresh_mount(2).await, bao.fresh_mount(1).await);
    builder(bao, &good).build().unwrap().check().await.unwrap();

    let error = builder(bao, &old).build().unwrap().check().await.unwrap_err();
    assert_says(&error, ErrorKind::InvalidConfig, "KV version 1");
    for token in [bao.root_token(), good.policy_token.as_str()] {
        let error = with_token("missing", token).check().await.unwrap_err();
        assert_says(&error, ErrorKind::InvalidConfig, "`VaultKv2Builder::mount`");
    }
    let below = with_token(&format!("{}/deeper", good.name), bao.root_token()).check().await.unwrap_err();
    assert_says(&below, ErrorKind::InvalidConfig, "`VaultKv2Builder::mount`");
    let other_engine = with_token("cubbyhole", bao.root_token()).check().await.unwrap_err();
    assert_says(&other_engine, ErrorKind::InvalidConfig, "no KV engine");
    let dead = with_token(&good.name, "s.unknown").check().await.unwrap_err();
    assert_says(&dead, ErrorKind::Denied, "`VaultAuth::Token`");
}

#[tokio::test]
async fn a_dead_token_is_told_apart_from_a_poor_policy() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let vault = builder(bao, &mount).build().unwrap();
    let stored = vault.store(&key(), &secret()).await.unwrap();
    bao.revoke_token(&mount.policy_token).await;
    let dead = vault.verify(&key(), &stored, &secret()).await.unwrap_err();
    assert_says(&dead, ErrorKind::Denied, "the Vault token is dead");
    assert_says(&vault.probe().await.unwrap_err(), ErrorKind::Denied, "`VaultAuth::Token`");
    assert_says(&vault.token_status().await.unwrap_err(), ErrorKind::Denied, "`VaultAuth::Token`");

    let fresh = bao.create_token(json!({ "policies": [mount.name] })).await;
    vault.clone().replace_token(fresh).unwrap();
    assert_eq!(vault.verify(&key(), &stored, &secret()).await.unwrap(), Verdict::Match, "clones share the token");
}

#[tokio::test]
async fn each_missing_right_is_named_by_the_verb_and_by_the_check() {
    let bao = support::bao();
    for missing in Right::ALL {
        let mount = bao.fresh_mount(2).await;
        let stored = builder(bao, &mount).build().unwrap().store(&key(), &secret()).await.unwrap();
        let (data, metadata) =
            least_privilege(&mount.name).split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let word = format!("\"{}\"", missing.capability());
        let poor = match missing {
            Right::Purge => data,
            _ => data.replace(&format!("{word}, "), "").replace(&format!(", {word}"), "") + "\n" + &metadata,
        };
        bao.write_policy(&mount.name, &poor).await;
        let vault = builder(bao, &mount).build().unwrap();
        let on_data = format!("`{}` on `{}/data/agentidp/*`", missing.capability(), mount.name);
        let verb = match missing {
            Right::Create => vault.store(&CredentialKey::parse("a", "d").unwrap(), &secret()).await.map(drop),
            Right::Read => vault.verify(&key(), &stored, &secret()).await.map(drop),
            Right::Update => vault.rotate(&key(), &stored, &secret()).await.map(drop),
            Right::Purge => vault.revoke(&key(), &stored).await,
            _ => Ok(()),
        };
        match (missing, verb) {
            (Right::Delete, verb) => verb.unwrap(),
            (Right::Purge, verb) => {
                let on_metadata = format!("`delete` on `{}/metadata/agentidp/*`", mount.name);
                assert_says(&verb.unwrap_err(), ErrorKind::Denied, &on_metadata);
            }
            (_, verb) => assert_says(&verb.unwrap_err(), ErrorKind::Denied, &on_data),
        }
        for check in vault.check_rights().await {
            let fine = check.result.is_ok();
            // Without a first version there is nothing to try an update on.
            let untried = check.right == Right::Update && missing == Right::Create;
            assert_eq!(fine, check.right != missing && !untried, "{missing:?} is missing: {check:?}");
        }
    }
}

#[tokio::test]
async fn the_printed_policy_suffices_and_the_check_leaves_nothing_behind() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let policy = builder(bao, &mount).build().unwrap().policy();
    bao.write_policy("printed", &policy).await;
    let token = bao.create_token(json!({ "policies": ["printed"], "period": "1h" })).await;
    let vault = with_token(&mount.name, &token);
    vault.check().await.unwrap();
    for check in vault.check_rights().await {
        check.result.unwrap_or_else(|error| panic!("{}: {error}", check.right));
    }
    let listing = format!("{}/metadata/agentidp?list=true", mount.name);
    assert_eq!(bao.call(bao.root_token(), reqwest::Method::GET, &listing, None).await.0, 404, "the folder is empty");
}

#[tokio::test]
async fn the_token_tells_how_long_it_lives() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let status = builder(bao, &mount).build().unwrap().token_status().await.unwrap();
    assert_eq!(status.period, Some(Duration::from_secs(768 * 3600)));
    assert!(status.renewable && !status.root);
    assert!(status.ttl.unwrap() > Duration::from_secs(767 * 3600));

    let root = with_token(&mount.name, bao.root_token()).token_status().await.unwrap();
    assert!(root.root && root.ttl.is_none() && root.period.is_none());

    let mute = bao.create_token(json!({ "policies": [mount.name], "no_default_policy": true, "ttl": "1h" })).await;
    let error = with_token(&mount.name, &mute).token_status().await.unwrap_err();
    assert_says(&error, ErrorKind::Denied, "default policy");
}

#[tokio::test]
async fn an_outage_is_an_outage_and_ends_by_itself() {
    let mut bao = Bao::start_own().await;
    let mount = bao.fresh_mount(2).await;
    let vault = builder(&bao, &mount).build().unwrap();
    let stored = vault.store(&key(), &secret()).await.unwrap();
    let wrong = ClientSecret::from("sk_live_wrong");

    bao.seal().await;
    for candidate in [&secret(), &wrong] {
        let error = vault.verify(&key(), &stored, candidate).await.unwrap_err();
        assert_says(&error, ErrorKind::Unavailable, "unseal it");
    }
    assert_says(&vault.probe().await.unwrap_err(), ErrorKind::Unavailable, "sealed");
    bao.unseal().await;
    assert_eq!(vault.verify(&key(), &stored, &secret()).await.unwrap(), Verdict::Match);

    bao.stop().await;
    let error = vault.verify(&key(), &stored, &wrong).await.unwrap_err();
    assert_says(&error, ErrorKind::Unavailable, &format!("{} refuses connections", bao.address()));
    let error = vault.rotate(&key(), &stored, &wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(vault.revoke(&key(), &stored).await.unwrap_err().kind(), ErrorKind::Unavailable);
    bao.start_again().await;
    assert_eq!(vault.verify(&key(), &stored, &secret()).await.unwrap(), Verdict::Match);
    assert_eq!(vault.verify(&key(), &stored, &wrong).await.unwrap(), Verdict::Mismatch);

    let impatient = builder(&bao, &mount).read_timeout(Duration::from_millis(50)).build().unwrap();
    bao.pause().await;
    let error = impatient.verify(&key(), &stored, &secret()).await.unwrap_err();
    assert_says(&error, ErrorKind::Unavailable, "no answer in time");
    bao.resume();
    assert_eq!(vault.verify(&key(), &stored, &secret()).await.unwrap(), Verdict::Match);
}
