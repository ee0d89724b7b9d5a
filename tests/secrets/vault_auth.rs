//! Where the Vault token comes from, and what a dead one costs: on a real OpenBao with the least-privilege policy.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::auth::{AppRole, Kubernetes, VaultAuth};
use agentidp_secrets::{
    ClientSecret, Clock, CredentialKey, ErrorKind, ManualClock, Result, SecretBackend, StoredSecret, Verdict,
};
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::certificates::Authority;
use crate::support;
use crate::support::bao::Mount;
use crate::support::bao::auth::Role;
use crate::support::scripted_vault::{Answer, ScriptedVault};

fn key() -> CredentialKey {
    CredentialKey::parse("a", "c").unwrap()
}

fn secret() -> ClientSecret {
    ClientSecret::from("sk_live_s")
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH))
}

fn vault(mount: &Mount, auth: VaultAuth, clock: &Arc<ManualClock>) -> VaultKv2 {
    let builder = VaultKv2::builder(support::bao().address(), auth).mount(mount.name.as_str());
    builder.clock(Arc::clone(clock) as Arc<dyn Clock>).build().unwrap()
}

fn app_role(role: &Role) -> VaultAuth {
    VaultAuth::AppRole(AppRole::new(role.role_id.as_str(), role.secret_id.as_str()).mount(role.mount.as_str()))
}

/// On a server that answers from a script.
fn scripted(server: &ScriptedVault, clock: &Arc<ManualClock>) -> VaultKv2 {
    let auth = VaultAuth::AppRole(AppRole::new("role", "secret-id"));
    VaultKv2::builder(server.address(), auth).clock(Arc::clone(clock) as Arc<dyn Clock>).build().unwrap()
}

fn granted(token: &str) -> Answer {
    let auth = json!({ "client_token": token, "lease_duration": 3600, "renewable": true });
    Answer::new(200, json!({ "auth": auth }).to_string())
}

fn nothing_there() -> Answer {
    Answer::new(404, json!({ "errors": [] }).to_string())
}

async fn verify(vault: &VaultKv2, stored: &StoredSecret) -> Result<Verdict> {
    vault.verify(&key(), stored, &secret()).await
}

#[tokio::test]
async fn a_hundred_callers_with_a_dead_token_cost_one_login() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({ "token_ttl": "1h" })).await;
    let vault = vault(&mount, app_role(&role), &clock());
    assert_eq!(bao.logins(&role).await, 0, "nothing is sent before it has to be");
    let stored = vault.store(&key(), &secret()).await.unwrap();
    assert_eq!(bao.logins(&role).await, 1);

    for round in 2..4 {
        bao.revoke_logins(&role.mount).await;
        let verdicts = join_all((0..100).map(|_| verify(&vault, &stored))).await;
        assert!(verdicts.into_iter().all(|verdict| verdict.unwrap() == Verdict::Match));
        assert_eq!(bao.logins(&role).await, round);
    }
    bao.revoke_logins(&role.mount).await;
    let rotated = vault.rotate(&key(), &stored, &ClientSecret::from("sk_live_2")).await.unwrap();
    assert!(rotated.payload().contains("?version=2&"), "the write that met the dead token was done, and once");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_expire_under_load_are_noticed_by_nobody() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({ "token_ttl": "2s", "token_max_ttl": "2s" })).await;
    let vault = vault(&mount, app_role(&role), &clock());
    let stored = vault.store(&key(), &secret()).await.unwrap();
    let mut callers = JoinSet::new();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    for _ in 0..8 {
        let (vault, stored, stopped) = (vault.clone(), stored.clone(), stopped.clone());
        callers.spawn(async move {
            while !*stopped.borrow() {
                assert_eq!(verify(&vault, &stored).await.unwrap(), Verdict::Match);
                let wrong = vault.verify(&key(), &stored, &ClientSecret::from("wrong")).await;
                assert_eq!(wrong.unwrap(), Verdict::Mismatch);
            }
        });
    }
    support::process::until("two more logins", async || bao.logins(&role).await >= 3).await;
    stop.send(true).unwrap();
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
}

#[tokio::test]
async fn a_refused_login_says_what_to_look_at_and_waits() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({})).await;
    let wrong = [
        AppRole::new(role.role_id.as_str(), "wrong").mount(role.mount.as_str()),
        AppRole::new("wrong", role.secret_id.as_str()).mount(role.mount.as_str()),
        AppRole::new(role.role_id.as_str(), role.secret_id.as_str()).mount("nowhere"),
    ];
    for role in wrong {
        let error = vault(&mount, VaultAuth::AppRole(role), &clock()).check().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(
            error.to_string().contains("`AppRole::new`") && error.to_string().contains("`mount` of the login"),
            "{error}"
        );
    }

    let refused = || Answer::error(400, "invalid role or secret ID");
    let server = ScriptedVault::start([refused(), refused()]).await;
    let clock = clock();
    let vault = scripted(&server, &clock);
    let storm = async || {
        for outcome in join_all((0..50).map(|_| vault.probe())).await {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Denied);
        }
    };
    storm().await;
    storm().await;
    assert_eq!(server.requests().len(), 1, "no storm");
    clock.advance(Duration::from_secs(30));
    storm().await;
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_login_that_finds_nobody_is_an_outage_and_is_tried_again_soon() {
    let script = [Answer::error(503, "Vault is sealed"), Answer::reset(), granted("s.one"), nothing_there()];
    let server = ScriptedVault::start(script).await;
    let clock = clock();
    let vault = scripted(&server, &clock);
    for pause in [250, 500] {
        for _ in 0..3 {
            assert_eq!(vault.probe().await.unwrap_err().kind(), ErrorKind::Unavailable);
        }
        clock.advance(Duration::from_millis(pause));
    }
    vault.probe().await.unwrap();
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_token_that_is_dead_on_arrival_costs_no_login_with_every_request() {
    let dead = || Answer::error(403, "permission denied");
    let server = ScriptedVault::start([granted("s.1"), dead(), dead(), granted("s.2"), nothing_there()]).await;
    let clock = clock();
    let vault = scripted(&server, &clock);
    // It meets the dead token and gets no other one before its time.
    assert_eq!(vault.probe().await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(server.requests().len(), 2);
    clock.advance(Duration::from_millis(250));
    vault.probe().await.unwrap();
    let logins = server.requests().iter().filter(|request| request.target == "/v1/auth/approle/login").count();
    assert_eq!(logins, 2);
}

#[tokio::test]
async fn a_login_is_sent_as_documented_and_without_a_token() {
    let server = ScriptedVault::start([granted("s.canary"), nothing_there()]).await;
    let auth = VaultAuth::AppRole(AppRole::new(" role\n", "secret-id").mount("team/approle/"));
    let vault = VaultKv2::builder(server.address(), auth).namespace("apps").build().unwrap();
    vault.probe().await.unwrap();
    let seen = server.requests();
    assert_eq!((&seen[0].method, seen[0].target.as_str()), (&Method::POST, "/v1/auth/team/approle/login"));
    assert_eq!(seen[0].headers["x-vault-namespace"], "apps");
    assert!(!seen[0].headers.contains_key("x-vault-token"));
    let body: serde_json::Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(body, json!({ "role_id": "role", "secret_id": "secret-id" }));
    assert_eq!(seen[1].headers["x-vault-token"], "s.canary");
}

#[tokio::test]
async fn a_refusal_by_policy_costs_no_login() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({})).await;
    let vault = vault(&mount, app_role(&role), &clock());
    vault.probe().await.unwrap();
    bao.write_policy(&mount.name, "path \"nowhere/*\" { capabilities = [\"read\"] }").await;
    assert_eq!(vault.probe().await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(bao.logins(&role).await, 1);
}

#[tokio::test]
async fn a_token_file_is_read_again_when_its_token_is_dead() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let fresh = async || bao.create_token(json!({ "policies": [mount.name], "ttl": "1h" })).await;
    let vault = vault(&mount, VaultAuth::TokenFile(file.clone()), &clock());
    let absent = vault.probe().await.unwrap_err();
    assert!(
        absent.kind() == ErrorKind::InvalidConfig && absent.to_string().contains("`VaultAuth::TokenFile`"),
        "{absent}"
    );

    // Its writer may come later than we do: nobody waits for the end of a pause.
    let first = fresh().await;
    std::fs::write(&file, format!("{first}\n")).unwrap();
    let stored = vault.store(&key(), &secret()).await.unwrap();
    bao.revoke_token(&first).await;
    let dead = verify(&vault, &stored).await.unwrap_err();
    assert_eq!(dead.kind(), ErrorKind::Denied, "{dead}");
    std::fs::write(&file, fresh().await).unwrap();
    assert_eq!(verify(&vault, &stored).await.unwrap(), Verdict::Match);
}

#[tokio::test]
async fn a_dead_token_that_was_given_stays_denied() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let vault = vault(&mount, mount.policy_token.as_str().into(), &clock());
    let stored = vault.store(&key(), &secret()).await.unwrap();
    bao.revoke_token(&mount.policy_token).await;
    for candidate in ["sk_live_s", "wrong"] {
        let error = vault.verify(&key(), &stored, &ClientSecret::from(candidate)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "never a mismatch");
        assert!(error.to_string().contains("`VaultAuth::Token`"), "{error}");
    }
    let fresh = bao.create_token(json!({ "policies": [mount.name] })).await;
    vault.replace_token(fresh).unwrap();
    assert_eq!(verify(&vault, &stored).await.unwrap(), Verdict::Match);
}

/// The Kubernetes login of a real OpenBao, whose cluster is played: it asks the reviewer about every JWT.
#[tokio::test]
async fn a_service_account_logs_in_with_the_jwt_that_its_file_holds_now() {
    let (bao, cluster) = (support::bao(), ScriptedVault::start([]).await);
    let mount = bao.fresh_mount(2).await;
    let login = bao.mount_login("kubernetes").await;
    let ca = Authority::new("unused, as the cluster speaks no TLS").pem;
    let config =
        json!({ "kubernetes_host": cluster.address(), "kubernetes_ca_cert": ca, "disable_local_ca_jwt": true });
    bao.root(Method::POST, &format!("auth/{login}/config"), config).await;
    let role = json!({
        "bound_service_account_names": ["agentidp"],
        "bound_service_account_namespaces": ["default"],
        "audience": "vault",
        "token_policies": [mount.name],
    });
    bao.root(Method::POST, &format!("auth/{login}/role/agentidp"), role).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    let account = || Kubernetes::new("agentidp").mount(login.as_str()).jwt_file(&file);
    let refused = vault(&mount, VaultAuth::Kubernetes(account()), &clock()).probe().await.unwrap_err();
    assert!(refused.to_string().contains("`Kubernetes::jwt_file`"), "{refused}");

    let vault = vault(&mount, VaultAuth::Kubernetes(account()), &clock());
    for number in ["one", "two"] {
        let jwt = service_account_jwt(number);
        std::fs::write(&file, &jwt).unwrap();
        cluster.push(review(true));
        vault.probe().await.unwrap();
        let asked = cluster.requests().pop().unwrap();
        assert!(String::from_utf8_lossy(&asked.body).contains(&jwt), "the file's JWT of now");
        bao.revoke_logins(&login).await;
    }
    cluster.push(review(false));
    let refused = vault.probe().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert!(refused.to_string().contains("`Kubernetes::new`"), "{refused}");
}

/// What the cluster says of a JWT.
fn review(authenticated: bool) -> Answer {
    let user = json!({ "username": "system:serviceaccount:default:agentidp", "uid": "4711" });
    let status = json!({ "authenticated": authenticated, "user": user, "audiences": ["vault"] });
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status });
    Answer::new(201, body.to_string()).header("content-type", "application/json")
}

/// One as Kubernetes makes it, but for the key: Vault asks the cluster whether it is good.
fn service_account_jwt(number: &str) -> String {
    let pod = json!({ "namespace": "default", "serviceaccount": { "name": "agentidp", "uid": "4711" } });
    let claims = json!({
        "iss": "https://kubernetes.default.svc", "aud": ["vault"], "sub": "system:serviceaccount:default:agentidp",
        "jti": number, "exp": 4_000_000_000_u64, "iat": 1, "nbf": 1, "kubernetes.io": pod,
    });
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let key = EncodingKey::from_ec_pem(key.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap()
}
