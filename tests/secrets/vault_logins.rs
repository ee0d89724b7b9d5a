//! Authentication as Vault's own clients have it, on a real OpenBao: an agent's token, another namespace, no secret id, and one in
//! a wrapping.

use std::error::Error as _;
use std::sync::Arc;

use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::auth::{AppRole, AuthKind, RenewalOutcome, VaultAuth};
use agentidp_secrets::{ClientSecret, CredentialKey, ErrorKind, Held, SecretBackend, Verdict};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support;
use crate::support::bao::auth::Role;
use crate::support::bao::proxy::Proxy;
use crate::support::bao::{Bao, Mount, least_privilege};
use crate::support::scripted_vault::{Answer, ScriptedVault};

/// Whether it does all that a login needs.
pub(crate) async fn works(vault: &VaultKv2, credential: &str) {
    let (key, secret) = (CredentialKey::parse("a", credential).unwrap(), ClientSecret::from("s"));
    vault.check().await.unwrap();
    let stored = vault.store(&key, &secret).await.unwrap();
    assert_eq!(vault.verify(&key, &stored, &secret).await.unwrap(), Verdict::Match);
    assert_eq!(vault.verify(&key, &stored, &ClientSecret::from("wrong")).await.unwrap(), Verdict::Mismatch);
}

fn over(mount: &Mount, auth: AppRole) -> VaultKv2 {
    VaultKv2::builder(support::bao().address(), VaultAuth::AppRole(auth)).mount(mount.name.as_str()).build().unwrap()
}

#[tokio::test]
async fn the_agent_in_between_adds_the_token() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({})).await;
    for command in ["proxy", "agent"] {
        let proxy = Proxy::start(command, bao, &role).await;
        for (number, address) in proxy.addresses().iter().enumerate() {
            let vault = VaultKv2::builder(address, VaultAuth::Agent).mount(mount.name.as_str()).build().unwrap();
            works(&vault, &format!("{command}-{number}")).await;
            assert_eq!(vault.tend_token().await.outcome.unwrap(), RenewalOutcome::Idle, "the agent looks after it");
            assert!(vault.token_status().await.unwrap().ttl.is_some() && vault.token_life().is_none());
            assert_eq!(vault.auth_kind(), AuthKind::Agent);
        }
    }
}

#[tokio::test]
async fn an_agent_whose_token_is_dead_is_named_and_so_is_the_lack_of_one() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({})).await;
    let proxy = Proxy::start("proxy", bao, &role).await;
    bao.root(Method::DELETE, &format!("auth/{}/role/agentidp", role.mount), Value::Null).await;
    bao.revoke_logins(&role.mount).await;
    let [address, _] = proxy.addresses();
    for address in [address.as_str(), bao.address()] {
        let vault = VaultKv2::builder(address, VaultAuth::Agent).mount(mount.name.as_str()).build().unwrap();
        let error = vault.probe().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        let told = error.to_string();
        assert!(told.contains(address) && told.contains("the agent's token") && told.contains("`auto_auth`"), "{told}");
    }
}

/// Calls with the root token in a namespace.
async fn within(bao: &Bao, namespace: &str, method: Method, path: &str, body: Value) -> Value {
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.request(method, format!("{}/v1/{path}", bao.address()));
    let request = request.header("X-Vault-Token", bao.root_token()).header("X-Vault-Namespace", namespace);
    let answer = request.json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn the_login_may_be_in_another_namespace_than_the_secrets() {
    let bao = support::bao();
    let team = format!("team-{}", uuid::Uuid::new_v4().simple());
    let apps = format!("{team}/apps");
    within(bao, "", Method::POST, &format!("sys/namespaces/{team}"), json!({})).await;
    within(bao, &team, Method::POST, "sys/namespaces/apps", json!({})).await;
    let engine = json!({ "type": "kv", "options": { "version": "2" } });
    within(bao, &apps, Method::POST, "sys/mounts/secret", engine).await;
    within(bao, &team, Method::POST, "sys/auth/approle", json!({ "type": "approle" })).await;
    let policy = json!({ "policy": least_privilege("apps/secret") });
    within(bao, &team, Method::PUT, "sys/policies/acl/agentidp", policy).await;
    let options = json!({ "token_policies": ["agentidp"], "token_period": "1h" });
    within(bao, &team, Method::POST, "auth/approle/role/agentidp", options).await;
    let role = within(bao, &team, Method::GET, "auth/approle/role/agentidp/role-id", Value::Null).await;
    let secret = within(bao, &team, Method::POST, "auth/approle/role/agentidp/secret-id", json!({})).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (role_id, secret_id) = (text(&role["data"]["role_id"]), text(&secret["data"]["secret_id"]));

    let login = || VaultAuth::AppRole(AppRole::new(role_id.as_str(), secret_id.as_str()));
    let builder = |auth: VaultAuth| VaultKv2::builder(bao.address(), auth).namespace(apps.as_str());
    let apart = builder(login()).auth_namespace(format!("/{team}/")).build().unwrap();
    works(&apart, "login").await;
    assert!(apart.token_status().await.unwrap().period.is_some(), "it is looked up where it is from");
    let together = builder(login()).build().unwrap().probe().await.unwrap_err();
    assert!(together.to_string().contains("`VaultKv2Builder::auth_namespace`"), "{together}");

    // A token of the namespace at the top is good below it.
    bao.write_policy(&team, &least_privilege(&format!("{apps}/secret"))).await;
    let token = bao.create_token(json!({ "policies": [team], "period": "1h" })).await;
    let above = builder(token.into()).auth_namespace("").build().unwrap();
    works(&above, "token").await;
    assert!(matches!(above.tend_token().await.outcome, Ok(RenewalOutcome::Inspected)));
}

#[tokio::test]
async fn a_role_may_ask_for_no_secret_id() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let login = bao.mount_login("approle").await;
    let options = json!({
        "bind_secret_id": false, "token_bound_cidrs": "127.0.0.1/32", "token_policies": [mount.name],
    });
    let role = format!("auth/{login}/role/agentidp");
    bao.root(Method::POST, &role, options).await;
    let found = bao.root(Method::GET, &format!("{role}/role-id"), Value::Null).await;
    let role_id = found["data"]["role_id"].as_str().unwrap();
    works(&over(&mount, AppRole::without_secret_id(role_id).mount(login.as_str())), "none").await;

    let binding = bao.app_role(&mount, json!({})).await;
    let refused = AppRole::without_secret_id(binding.role_id.as_str()).mount(binding.mount.as_str());
    let error = over(&mount, refused).probe().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Denied && error.to_string().contains("`AppRole::new`"), "{error}");
}

/// A secret id in a wrapping, whose token this is, made at this path.
async fn wrapped(bao: &Bao, path: &str) -> String {
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}/v1/{path}", bao.address())).header("X-Vault-Token", bao.root_token());
    let answer = request.header("X-Vault-Wrap-TTL", "60").json(&json!({})).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    body["wrap_info"]["token"].as_str().unwrap().to_owned()
}

async fn wrapped_secret_id(bao: &Bao, role: &Role) -> String {
    wrapped(bao, &format!("auth/{}/role/agentidp/secret-id", role.mount)).await
}

#[tokio::test]
async fn a_wrapped_secret_id_is_unwrapped_once_and_remembered() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrapping");
    std::fs::write(&file, format!("{}\n", wrapped_secret_id(bao, &role).await)).unwrap();
    let auth = || AppRole::with_secret_id_file(role.role_id.as_str(), &file).mount(role.mount.as_str()).wrapped();
    let vault = over(&mount, auth());
    works(&vault, "first").await;
    for _ in 0..2 {
        bao.revoke_logins(&role.mount).await;
        vault.probe().await.unwrap();
    }

    // Whoever comes second is told.
    let second = over(&mount, auth()).probe().await.unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Denied);
    let told = second.to_string();
    assert!(told.contains("opened before") && told.contains("`AppRole::with_secret_id_file`"), "{told}");
    assert!(second.source().is_none());

    // A new one in the file is taken up with the next login.
    std::fs::write(&file, wrapped_secret_id(bao, &role).await).unwrap();
    bao.revoke_logins(&role.mount).await;
    vault.probe().await.unwrap();
    let told = over(&mount, auth()).probe().await.unwrap_err().to_string();
    assert!(told.contains("opened before"), "{told}");

    let given = wrapped_secret_id(bao, &role).await;
    let given = AppRole::new(role.role_id.as_str(), given).mount(role.mount.as_str()).wrapped();
    works(&over(&mount, given), "given").await;
}

/// Who asked first may have gone before Vault has answered, and Vault answers once.
#[tokio::test]
async fn a_wrapping_that_was_opened_for_nobody_is_not_lost() {
    let looked = answer(json!({ "data": { "creation_path": "auth/approle/role/r/secret-id" } }));
    let opened = answer(json!({ "data": { "secret_id": "s" } }));
    let login = VaultAuth::AppRole(AppRole::new("role", "wrapping").wrapped());
    given_up_at_the_last(login, vec![looked, opened], vec![logged_in()]).await;
}

/// A secret id may be good for one login, and that token is the only one.
#[tokio::test]
async fn a_login_that_nobody_waited_for_is_not_lost() {
    given_up_at_the_last(VaultAuth::AppRole(AppRole::new("role", "secret")), vec![logged_in()], vec![]).await;
}

fn answer(body: Value) -> Answer {
    Answer::new(200, body.to_string())
}

fn logged_in() -> Answer {
    answer(json!({ "auth": { "client_token": "t", "lease_duration": 3600, "renewable": true } }))
}

/// The first caller goes before the last of these is answered. The next one goes on from there: none is asked for again.
async fn given_up_at_the_last(auth: VaultAuth, mut until: Vec<Answer>, then: Vec<Answer>) {
    let signal = Arc::new(Notify::new());
    let (begun, last) = (until.len(), until.pop().unwrap().after(&signal));
    let nothing = Answer::new(404, json!({ "errors": [] }).to_string());
    let leader = answer(json!({ "ha_enabled": false, "is_self": true }));
    let script: Vec<_> = until.into_iter().chain([last]).chain(then).chain([nothing, leader]).collect();
    let asked = script.len();
    let server = ScriptedVault::start(script).await;
    let vault = VaultKv2::builder(server.address(), auth).build().unwrap();
    let key = CredentialKey::parse("a", "c").unwrap();
    tokio::select! {
        found = vault.inspect(&key, None) => panic!("Vault has not answered: {found:?}"),
        () = server.arrived(begun) => {}
    }
    signal.notify_one();
    assert!(matches!(vault.inspect(&key, None).await.unwrap(), Held::Nothing));
    let paths: Vec<_> = server.requests().iter().map(|seen| seen.target.clone()).collect();
    assert!(paths.len() == asked && paths[asked - 3].ends_with("auth/approle/login"), "{paths:?}");
}

#[tokio::test]
async fn a_wrapping_from_elsewhere_is_left_alone() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let (role, other) = (bao.app_role(&mount, json!({})).await, bao.app_role(&mount, json!({})).await);
    let elsewhere = [wrapped_secret_id(bao, &other).await, wrapped(bao, "auth/token/create").await];
    for wrapping in elsewhere {
        let auth = AppRole::new(role.role_id.as_str(), wrapping.as_str()).mount(role.mount.as_str()).wrapped();
        let error = over(&mount, auth).probe().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("something else than a secret id"), "{error}");
        let lookup = bao.call("", Method::POST, "sys/wrapping/lookup", Some(json!({ "token": wrapping }))).await;
        assert_eq!(lookup.0, 200, "it is still whole");
    }
}

#[test]
fn a_wrapping_needs_a_token() {
    let auth = VaultAuth::AppRole(AppRole::without_secret_id("role").wrapped());
    let error = VaultKv2::builder("http://127.0.0.1:1", auth).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}
