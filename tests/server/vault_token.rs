//! The server's own token for Vault: nobody notices when it is replaced, and everybody is told before it dies.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::certificates::Authority;
use crate::log::Log;
use crate::site::Site;
use crate::support;
use crate::support::bao::auth::Role;
use crate::support::bao::tls::TlsListener;
use crate::support::bao::{Bao, Mount};
use crate::support::process::until;
use crate::wired;

const MINUTE: Duration = Duration::from_secs(60);

/// A site that knows `bao` by what these settings say.
async fn site(bao: &str, mount: &Mount, settings: &[(&str, &str)]) -> Site {
    wired::site(&[settings, &[("VAULT_ADDR", bao), ("VAULT_KV_MOUNT", &mount.name)]].concat()).await
}

async fn with_role(role: &Role, mount: &Mount) -> Site {
    let login =
        [("VAULT_ROLE_ID", &*role.role_id), ("VAULT_SECRET_ID", &role.secret_id), ("VAULT_AUTH_MOUNT", &role.mount)];
    site(support::bao().address(), mount, &login).await
}

async fn with_token(token: &str, mount: &Mount) -> Site {
    site(support::bao().address(), mount, &[("VAULT_TOKEN", token)]).await
}

async fn get(site: &Site, path: &str) -> String {
    site.handle(hyper::Request::get(path).body(Full::new(Bytes::new())).unwrap()).await.text
}

/// Status and the word for Vault.
async fn health(site: &Site) -> (String, String) {
    site.ask_dependencies().await;
    let health: Value = serde_json::from_str(&get(site, "/health").await).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&health["status"]), text(&health["services"]["vault"]))
}

fn says(status: &str, vault: &str) -> (String, String) {
    (status.to_owned(), vault.to_owned())
}

async fn tend(site: &Site) {
    site.app.vault_token.as_ref().unwrap().tend(&site.app.metrics).await;
}

/// A gauge or counter by its whole name.
async fn metric(site: &Site, name: &str) -> Option<f64> {
    let text = get(site, "/metrics").await;
    let line = text.lines().find(|line| line.starts_with(name))?.to_owned();
    line.rsplit_once(' ')?.1.parse().ok()
}

async fn renewals(site: &Site, outcome: &str) -> Option<f64> {
    metric(site, &format!("agentidp_vault_token_renewals_total{{outcome=\"{outcome}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_expire_under_load_cost_no_client_an_answer() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({ "token_ttl": "2s", "token_max_ttl": "2s" })).await;
    let site = std::sync::Arc::new(with_role(&role, &mount).await);
    let agent = site.agent("a@agents.example").await;
    let (_, secret) = site.credential(agent).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let (site, secret, stopped) = (std::sync::Arc::clone(&site), secret.clone(), stopped.clone());
        clients.spawn(async move {
            while !*stopped.borrow() {
                if number == 0 {
                    assert_eq!(site.grant(agent, "wrong").await.refusal(), (401, "invalid_client".to_owned()));
                }
                site.granted(agent, &secret).await;
            }
        });
    }
    until("two more logins", async || bao.logins(&role).await >= 3).await;
    stop.send(true).unwrap();
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

#[tokio::test]
async fn a_revoked_token_is_an_outage_and_no_wrong_secret() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let site = with_token(&mount.policy_token, &mount).await;
    let agent = site.agent("a@agents.example").await;
    let (_, secret) = site.credential(agent).await;
    tend(&site).await;
    assert_eq!(health(&site).await, says("ok", "connected"));
    assert_eq!(metric(&site, "agentidp_vault_up ").await, Some(1.0));
    assert!(metric(&site, "agentidp_vault_token_ttl_seconds ").await.is_some());
    bao.revoke_token(&mount.policy_token).await;
    for candidate in [secret.as_str(), "wrong"] {
        assert_eq!(site.grant(agent, candidate).await.failure(), (500, "VAULT_READ_ERROR".to_owned()));
    }
    let (log, _listening) = Log::of_this_thread();
    for _ in 0..3 {
        assert_eq!(health(&site).await, says("degraded", "disconnected"));
    }
    let told = log.text();
    assert_eq!(told.matches("bao token create").count(), 1, "one line, that says what to do: {told}");
    assert_eq!(metric(&site, "agentidp_vault_up ").await, Some(0.0));
    assert_eq!(metric(&site, "agentidp_vault_token_ttl_seconds ").await, None, "a dead token has no life left");
    assert!(!told.contains(&mount.policy_token));
}

#[tokio::test]
async fn a_token_that_nobody_can_renew_degrades_the_health_long_before_it_dies() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let batch = bao.create_token(json!({ "policies": [mount.name], "type": "batch", "ttl": "1h" })).await;
    let site = with_token(&batch, &mount).await;
    assert_eq!(metric(&site, "agentidp_vault_token_ttl_seconds").await, None);
    tend(&site).await;
    let ttl = async || metric(&site, "agentidp_vault_token_ttl_seconds ").await.unwrap();
    assert!((3500.0..=3600.0).contains(&ttl().await));
    site.clock.advance(39 * MINUTE);
    assert_eq!(health(&site).await, says("ok", "connected"));
    site.clock.advance(2 * MINUTE);
    assert_eq!(health(&site).await, says("degraded", "connected"));
    assert!((1000.0..=1140.0).contains(&ttl().await), "it grows shorter without being looked after");
}

#[tokio::test]
async fn the_log_says_what_to_do_about_a_token_and_says_it_once() {
    let (log, _guard) = Log::of_this_thread();
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let batch = bao.create_token(json!({ "policies": [mount.name], "type": "batch", "ttl": "1h" })).await;
    let site = with_token(&batch, &mount).await;
    let times = |text: &str| log.text().matches(text).count();
    tend(&site).await;
    assert_eq!(times("bao token create -orphan -period=768h"), 1, "{}", log.text());
    site.clock.advance(41 * MINUTE);
    tend(&site).await;
    tend(&site).await;
    assert_eq!(times("less than a third of the Vault token's life is left"), 1, "{}", log.text());

    let site = with_token(&mount.policy_token, &mount).await;
    bao.revoke_token(&mount.policy_token).await;
    tend(&site).await;
    assert_eq!(times("cannot be renewed unless somebody acts"), 1, "{}", log.text());
    assert!(times("renew or replace VAULT_TOKEN") > 0, "{}", log.text());
    for token in [&batch, &mount.policy_token] {
        assert_eq!(times(token), 0, "a token is in the log");
    }
}

#[tokio::test]
async fn renewals_are_counted_by_what_became_of_them() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let given = with_token(&mount.policy_token, &mount).await;
    tend(&given).await;
    assert_eq!(renewals(&given, "renewed").await, Some(0.0));
    given.clock.advance(768 * 40 * MINUTE);
    tend(&given).await;
    assert_eq!((renewals(&given, "renewed").await, renewals(&given, "failed").await), (Some(1.0), Some(0.0)));

    given.clock.advance(768 * 41 * MINUTE);
    bao.revoke_token(&mount.policy_token).await;
    tend(&given).await;
    assert_eq!((renewals(&given, "renewed").await, renewals(&given, "failed").await), (Some(1.0), Some(1.0)));

    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({ "token_ttl": "1h" })).await;
    let logged_in = with_role(&role, &mount).await;
    tend(&logged_in).await;
    assert_eq!(renewals(&logged_in, "replaced").await, Some(1.0));
    logged_in.clock.advance(41 * MINUTE);
    tend(&logged_in).await;
    assert_eq!(renewals(&logged_in, "renewed").await, Some(1.0));
}

#[tokio::test]
async fn a_server_that_runs_looks_after_its_token_by_itself() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let site = with_token(&mount.policy_token, &mount).await;
    let served = crate::wire::Served::within(agentidp_server::server::Bounds::default(), &site.app).await;
    until("the token to be known", async || metric(&site, "agentidp_vault_token_ttl_seconds ").await.is_some()).await;
    served.stop().await.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_file_of_an_agent_may_change_under_a_running_server() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, &mount.policy_token).unwrap();
    let site = site(bao.address(), &mount, &[("VAULT_TOKEN_FILE", file.to_str().unwrap())]).await;
    let agent = site.agent("a@agents.example").await;
    let (_, secret) = site.credential(agent).await;
    fs::write(&file, bao.create_token(json!({ "policies": [mount.name] })).await).unwrap();
    bao.revoke_token(&mount.policy_token).await;
    site.granted(agent, &secret).await;
    assert_eq!(health(&site).await, says("ok", "connected"));
}

#[tokio::test]
async fn the_settings_lead_to_mutual_tls() {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let (server, client) = (ours.server(&["127.0.0.1"]), clients.client());
    let listener = TlsListener { certificate: &server.certificate, key: &server.key, client_ca: Some(&clients.pem) };
    let (bao, addresses) = Bao::start_with_tls(&[listener]).await;
    let mount = bao.fresh_mount(2).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ca, certificate, key) =
        (file("ca", &ours.pem), file("certificate", &client.certificate), file("key", &client.key));
    let settings = [
        ("VAULT_TOKEN", mount.policy_token.as_str()),
        ("VAULT_CACERT", &ca),
        ("VAULT_CLIENT_CERT", &certificate),
        ("VAULT_CLIENT_KEY", &key),
    ];
    let sound = site(&addresses[0], &mount, &settings).await;
    let agent = sound.agent("a@agents.example").await;
    let (_, secret) = sound.credential(agent).await;
    sound.granted(agent, &secret).await;
    assert_eq!(health(&sound).await, says("ok", "connected"));
    assert_eq!(health(&site(&addresses[0], &mount, &settings[..2]).await).await, says("degraded", "disconnected"));
}

#[tokio::test]
async fn a_token_that_ends_whatever_is_done_is_warned_of_at_the_start() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let policies = [mount.name.as_str()];
    for (token, told) in [
        (json!({ "policies": policies, "ttl": "1h" }), "the Vault token has no period"),
        (json!({ "policies": policies, "ttl": "1h", "explicit_max_ttl": "1h" }), "ends 3600 s after it was made"),
        // It looks as if it could be renewed for ever.
        (json!({ "policies": policies, "period": "768h", "explicit_max_ttl": "1h" }), "ends 3600 s after it was made"),
        (json!({ "policies": policies, "period": "768h" }), "the Vault token lives, and will be renewed"),
    ] {
        let (log, _listening) = Log::of_this_thread();
        let site = with_token(&bao.create_token(token.clone()).await, &mount).await;
        tend(&site).await;
        assert!(log.text().contains(told), "{token}: {}", log.text());
    }
}
