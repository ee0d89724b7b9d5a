//! `SECRET_BACKEND` beside `VAULT_ADDR`: a login moves a secret to the named backend, in either direction.

use std::time::Duration;

use agentidp_server::workers::overlaps;
use serde_json::json;
use uuid::Uuid;

use super::site::Site;
use super::support::process::until;
use super::support::{self, Bao};
use super::wired::{restart, restart_with_vault, site, vault_site};

const KEYS: (&str, &str) = ("MAC_KEYS", "k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92");
const UPGRADE: (&str, &str) = ("UPGRADE_ON_VERIFY", "true");

fn target(backend: &str) -> (&str, &str) {
    ("SECRET_BACKEND", backend)
}

async fn path(site: &Site, agent: Uuid, credential: Uuid) -> Option<String> {
    site.row(agent, credential).await.secret.vault_path
}

/// Waits until the record is a digest that begins so, or a path.
async fn becomes(site: &Site, agent: Uuid, credential: Uuid, prefix: Option<&str>) {
    until("the row", || async {
        let secret = site.row(agent, credential).await.secret;
        match prefix {
            Some(prefix) => secret.vault_path.is_none() && secret.secret_hash.unwrap().starts_with(prefix),
            None => secret.vault_path.is_some(),
        }
    })
    .await;
}

/// Carries out what is owed; nothing may be left of it.
async fn drain(site: &Site) {
    until("debts to drain", || async {
        site.app.life().round().await;
        site.app.repos.changes.pending().await.unwrap() == 0
    })
    .await;
}

/// How many of the versions at a path hold one of the secrets.
async fn held(bao: &Bao, path: &str, secrets: &[&str]) -> usize {
    let mut found = 0;
    for version in 1..=32 {
        let entry = bao.read_root(&format!("{path}?version={version}")).await;
        let text = entry.map(|entry| entry.data.to_string()).unwrap_or_default();
        found += usize::from(secrets.iter().any(|secret| text.contains(secret)));
    }
    found
}

#[tokio::test]
async fn a_login_moves_a_secret_to_vault_and_back_and_leaves_none_there() {
    let (bao, mount) = (support::bao(), support::bao().fresh_mount(2).await);
    for (backend, digest) in [("bcrypt", "$2b$10$"), ("keyed-digest", "$hmac-sha256$")] {
        let mut site = site(&[KEYS, target(backend)]).await;
        let agent = site.agent("a@example.com").await;
        let (credential, secret) = site.credential(agent).await;
        for round in 1..=2 {
            restart_with_vault(&mut site, bao, &mount, &[KEYS, target("vault-kv2"), UPGRADE]).await;
            site.granted(agent, &secret).await;
            becomes(&site, agent, credential, None).await;
            let place = path(&site, agent, credential).await.unwrap();
            site.granted(agent, &secret).await;
            assert_eq!(held(bao, &place, &[&secret]).await, 1, "{backend}, round {round}");

            restart_with_vault(&mut site, bao, &mount, &[KEYS, target(backend), UPGRADE]).await;
            site.granted(agent, &secret).await;
            becomes(&site, agent, credential, Some(digest)).await;
            drain(&site).await;
            assert_eq!(held(bao, &place, &[&secret]).await, 0, "{backend}, round {round}");
            site.granted(agent, &secret).await;
        }
        restart(&mut site, &[KEYS]).await;
        site.granted(agent, &secret).await;
    }
}

#[tokio::test]
async fn on_the_way_back_an_overlap_lasts_as_long_as_it_was_promised() {
    let (bao, mut site) = (support::bao(), site(&[]).await);
    let mount = bao.fresh_mount(2).await;
    restart_with_vault(&mut site, bao, &mount, &[]).await;
    let agent = site.agent("a@example.com").await;
    let (credential, old) = site.credential(agent).await;
    let rotate = format!("/agents/{agent}/credentials/{credential}/rotate");
    let new = site.call("POST", &rotate, json!({ "overlapSeconds": 60 })).await.secret();
    let place = path(&site, agent, credential).await.unwrap();

    restart_with_vault(&mut site, bao, &mount, &[target("bcrypt"), UPGRADE]).await;
    site.granted(agent, &old).await;
    assert!(path(&site, agent, credential).await.is_some(), "a previous secret is not moved");
    site.granted(agent, &new).await;
    becomes(&site, agent, credential, Some("$2b$")).await;
    site.app.life().round().await;
    for secret in [&old, &new] {
        site.granted(agent, secret).await;
    }
    site.clock.advance(Duration::from_secs(60));
    drain(&site).await;
    assert_eq!(held(bao, &place, &[&old, &new]).await, 0);
    assert_eq!(site.grant(agent, &old).await.status, 401);
    site.granted(agent, &new).await;
}

#[tokio::test]
async fn an_idle_overlap_in_vault_ends_and_leaves_no_secret_there() {
    let (bao, mut site) = (support::bao(), site(&[]).await);
    let mount = bao.fresh_mount(2).await;
    restart_with_vault(&mut site, bao, &mount, &[]).await;
    let agent = site.agent("a@example.com").await;
    let (credential, old) = site.credential(agent).await;
    let place = path(&site, agent, credential).await.unwrap();
    restart_with_vault(&mut site, bao, &mount, &[target("bcrypt")]).await;
    let rotate = format!("/agents/{agent}/credentials/{credential}/rotate");
    let new = site.call("POST", &rotate, json!({ "overlapSeconds": 86_400 })).await.secret();
    site.change(|app| app.settings.end_idle_overlaps = Duration::from_secs(3600));
    site.clock.advance(Duration::from_secs(3600 + 120));
    assert_eq!(held(bao, &place, &[&old]).await, 1);
    overlaps::round(&site.app).await;
    drain(&site).await;
    assert_eq!(held(bao, &place, &[&old]).await, 0);
    assert_eq!(site.grant(agent, &old).await.status, 401);
    site.granted(agent, &new).await;
}

#[tokio::test]
async fn beside_vault_new_secrets_go_to_the_named_backend_and_upgrades_wait_to_be_switched_on() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let mut site = site(&[]).await;
    restart_with_vault(&mut site, bao, &mount, &[target("vault-kv2")]).await;
    let agent = site.agent("a@example.com").await;
    let (vaulted, vaulted_secret) = site.credential(agent).await;
    assert!(path(&site, agent, vaulted).await.is_some());

    restart_with_vault(&mut site, bao, &mount, &[target("bcrypt")]).await;
    let (new, new_secret) = site.credential(agent).await;
    assert!(path(&site, agent, new).await.is_none());
    for secret in [&vaulted_secret, &new_secret] {
        site.granted(agent, secret).await;
    }
    assert!(path(&site, agent, vaulted).await.is_some(), "it is left alone unless it is switched on");
    let moved = site.rotate(agent, vaulted).await.secret();
    assert!(path(&site, agent, vaulted).await.is_none(), "a rotation moves it");
    site.granted(agent, &moved).await;
}

#[tokio::test]
async fn a_login_raises_the_cost_of_a_digest_and_never_lowers_it() {
    let mut site = site(&[]).await;
    let agent = site.agent("a@example.com").await;
    let (credential, secret) = site.credential(agent).await;
    for (cost, digest) in [("11", "$2b$11$"), ("10", "$2b$11$")] {
        restart(&mut site, &[UPGRADE, ("BCRYPT_COST", cost)]).await;
        site.granted(agent, &secret).await;
        becomes(&site, agent, credential, Some(digest)).await;
    }
    site.granted(agent, &secret).await;
}

#[tokio::test]
async fn health_tells_of_vault_also_where_new_secrets_go_elsewhere() {
    let mut site = vault_site(&[target("bcrypt")]).await;
    let vault = async |site: &Site| site.get_health().await["services"]["vault"].clone();
    assert_eq!(vault(&site).await, "connected");
    let gone = [("VAULT_ADDR", "http://127.0.0.1:1"), ("VAULT_TOKEN", "none"), target("bcrypt")];
    restart(&mut site, &gone).await;
    assert_eq!(vault(&site).await, "disconnected");
}
