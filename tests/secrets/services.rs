//! The support code itself: what the other tests stand on.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Notify;

use crate::support::scripted_vault::{Answer, ScriptedVault};
use crate::support::{self, Bao, Postgres};

#[tokio::test]
async fn each_database_is_new_and_empty() {
    let (one, other) = (support::postgres().fresh_database().await, support::postgres().fresh_database().await);
    assert_ne!(one, other);
    let mut connection = PgConnection::connect(&one).await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(&mut connection).await.unwrap(), 0);
}

#[tokio::test]
async fn postgres_keeps_its_data_over_a_stop_and_a_crash() {
    let mut postgres = Postgres::start_own().await;
    let url = postgres.fresh_database().await;
    sqlx::raw_sql("CREATE TABLE kept (row int)")
        .execute(&mut PgConnection::connect(&url).await.unwrap())
        .await
        .unwrap();
    postgres.stop().await;
    assert!(PgConnection::connect(&url).await.is_err());
    postgres.start_again().await;
    postgres.kill().await;
    assert!(PgConnection::connect(&url).await.is_err());
    postgres.start_again().await;
    sqlx::raw_sql("SELECT row FROM kept").execute(&mut PgConnection::connect(&url).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_service_ends_with_its_owner() {
    let (postgres, bao) = (Postgres::start_own().await, Bao::start_own().await);
    let (url, address) = (postgres.fresh_database().await, bao.address().to_owned());
    drop((postgres, bao));
    assert!(PgConnection::connect(&url).await.is_err());
    assert!(Client::builder().no_proxy().build().unwrap().get(address).send().await.is_err());
}

#[tokio::test]
async fn the_policy_token_may_do_what_the_guide_says_and_no_more() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let path = format!("{}/data/agentidp/agents/a/credentials/c", mount.name);
    let secret = json!({ "data": { "clientSecret": "s" } });
    let metadata = path.replace("/data/", "/metadata/");
    let status = async |method, path: &str, body| bao.call(&mount.policy_token, method, path, body).await.0;

    assert_eq!(status(Method::POST, &path, Some(secret.clone())).await, 200);
    assert_eq!(status(Method::POST, &path, Some(secret.clone())).await, 200);
    assert_eq!(status(Method::GET, &path, None).await, 200);
    assert_eq!(status(Method::GET, &metadata, None).await, 403);
    assert_eq!(status(Method::POST, &format!("{}/data/other", mount.name), Some(secret)).await, 403);

    let stored = bao.read_root(&path).await.unwrap();
    assert_eq!((stored.client_secret(), stored.version), ("s", Some(2)));
    assert!(bao.metadata_exists(&path).await);
    assert_eq!(status(Method::DELETE, &metadata, None).await, 204);
    assert!(!bao.metadata_exists(&path).await);
    assert!(bao.read_root(&path).await.is_none());
}

#[tokio::test]
async fn a_mount_of_version_1_knows_no_versions() {
    let bao = support::bao();
    let mount = bao.fresh_mount(1).await;
    let path = format!("{}/data/agentidp/x", mount.name);
    let (status, _) = bao.call(&mount.policy_token, Method::POST, &path, Some(json!({ "clientSecret": "s" }))).await;
    assert_eq!(status, 204);
    let stored = bao.read_root(&path).await.unwrap();
    assert_eq!((stored.client_secret(), stored.version), ("s", None));
}

#[tokio::test]
async fn root_can_prepare_what_an_operator_may_have_done() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let path = format!("{}/data/agentidp/x", mount.name);
    assert_eq!(bao.write_root(&path, "first").await, 1);
    assert_eq!(bao.write_root(&path, "second").await, 2);
    bao.destroy(&path, 1).await;
    assert!(bao.read_root(&format!("{path}?version=1")).await.is_none());
    bao.soft_delete(&path).await;
    assert!(bao.read_root(&path).await.is_none());
    assert!(bao.metadata_exists(&path).await);

    let token = bao.create_token(json!({ "policies": [mount.name], "ttl": "1h" })).await;
    bao.revoke_token(&token).await;
    assert_eq!(bao.call(&token, Method::GET, &path, None).await.0, 403);

    bao.limit_rate(&mount.name, 1.0).await;
    let first = bao.call(&mount.policy_token, Method::GET, &path, None).await.0;
    let second = bao.call(&mount.policy_token, Method::GET, &path, None).await.0;
    assert_eq!((first, second), (404, 429));
}

#[tokio::test]
async fn the_command_line_shows_a_secret() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    bao.write_root(&format!("{}/data/agentidp/x", mount.name), "shown").await;
    let get = ["kv", "get", "-field=clientSecret", &format!("-mount={}", mount.name), "agentidp/x"];
    let output = bao.cli(bao.root_token(), &get).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "shown");
}

#[tokio::test]
async fn an_own_server_keeps_its_data_over_stop_seal_and_pause() {
    let mut bao = Bao::start_own().await;
    let mount = bao.fresh_mount(2).await;
    let path = format!("{}/data/agentidp/x", mount.name);
    bao.write_root(&path, "kept").await;

    bao.stop().await;
    assert!(Client::builder().no_proxy().build().unwrap().get(bao.address()).send().await.is_err());
    bao.start_again().await;
    assert_eq!(bao.read_root(&path).await.unwrap().client_secret(), "kept");

    bao.seal().await;
    assert_eq!(bao.call(&mount.policy_token, Method::GET, &path, None).await.0, 503);
    bao.unseal().await;

    bao.pause().await;
    let call = bao.call(&mount.policy_token, Method::GET, &path, None);
    assert!(tokio::time::timeout(Duration::from_millis(200), call).await.is_err());
    bao.resume();
    assert_eq!(bao.call(&mount.policy_token, Method::GET, &path, None).await.0, 200);
}

#[tokio::test]
async fn a_cluster_outlives_the_loss_of_a_node_in_every_way() {
    let mut cluster = support::cluster().await;
    let mount = cluster.fresh_mount().await;
    let path = format!("{}/data/agentidp/x", mount.name);
    let first = cluster.leader().await;
    cluster.node(first).write_root(&path, "kept").await;

    cluster.kill(first).await;
    let second = cluster.new_leader(first).await;
    assert_eq!(cluster.node(second).read_root(&path).await.unwrap().client_secret(), "kept");
    cluster.start_again(first).await;

    cluster.pause(second).await;
    let third = cluster.new_leader(second).await;
    assert_eq!(cluster.node(third).read_root(&path).await.unwrap().client_secret(), "kept");
    cluster.resume(second);

    cluster.seal(third).await;
    let status = cluster.node(third).call(&mount.policy_token, Method::GET, &path, None).await.0;
    assert_eq!(status, 503);
    let fourth = cluster.new_leader(third).await;
    assert_eq!(cluster.node(fourth).read_root(&path).await.unwrap().client_secret(), "kept");

    cluster.kill(fourth).await;
    cluster.heal().await;
    let standby = cluster.node(cluster.standby().await);
    assert_eq!(standby.call(&mount.policy_token, Method::GET, &path, None).await.0, 200);
    assert_eq!(cluster.addresses().len(), 3);
}

#[tokio::test]
async fn a_scripted_server_answers_and_breaks_as_told() {
    let signal = Arc::new(Notify::new());
    let script = [
        Answer::new(200, "late").after(&signal).header("X-Vault-Index", "7"),
        Answer::error(503, "Vault is sealed"),
        Answer::reset(),
        Answer::new(200, "cut in two").cut_after(3),
        Answer::hang(),
    ];
    let vault = ScriptedVault::start(script).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let send = || client.post(format!("{}/v1/x?version=1", vault.address())).body("asked").send();

    let (late, ()) = tokio::join!(send(), async {
        vault.arrived(1).await;
        signal.notify_one();
    });
    let late = late.unwrap();
    assert_eq!(late.headers()["X-Vault-Index"], "7");
    assert_eq!(late.text().await.unwrap(), "late");
    assert_eq!(send().await.unwrap().status(), 503);
    assert!(send().await.is_err());
    assert!(send().await.unwrap().text().await.is_err());
    tokio::select! {
        _ = send() => panic!("it answers"),
        () = vault.arrived(5) => {}
    }
    vault.push(Answer::new(200, "stalls").stall_after(2));
    assert_eq!(send().await.unwrap().chunk().await.unwrap().unwrap(), "st");
    assert_eq!(send().await.unwrap().status(), 501);

    let first = &vault.requests()[0];
    assert_eq!((&first.method, first.target.as_str(), &*first.body), (&Method::POST, "/v1/x?version=1", &b"asked"[..]));
    assert!(first.headers.contains_key("content-length"));
}
