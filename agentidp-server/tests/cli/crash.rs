//! The process dies between two steps of a change, and starts again.

use reqwest::Method;
use serde_json::Value;

use crate::binary::{Client, Place};
use crate::support::process::until;
use crate::support::{self, bao::Mount};

type Settings<'a> = Vec<(&'a str, &'a str)>;

fn vault(mount: &Mount) -> Settings<'_> {
    let address = support::bao().address();
    vec![("VAULT_ADDR", address), ("VAULT_TOKEN", &mount.policy_token), ("VAULT_KV_MOUNT", &mount.name)]
}

/// Of the request that is the death of a server; of no account unless it comes again.
const KEY: &str = "\"the-last-one\"";

/// A client with a credential made under `first`; then `method` on what `path` says is the death of a server with Vault.
async fn die_at(
    step: &str,
    place: &Place,
    first: &[(&str, &str)],
    with: &[(&str, &str)],
    (method, path): (Method, &str),
) -> (Client, String) {
    let operator = place.operator(&[]).await;
    let running = place.serve(first).await;
    let client = running.agent_with_credential(&operator).await;
    running.stop().await;

    let mut dying = place.serve(&[with, &[("AGENTIDP_FAIL_POINT", step)]].concat()).await;
    let path = path.replace("{agent}", &client.id).replace("{credential}", &client.credential);
    let request = reqwest::Client::new().request(method, format!("{}{path}", dying.origin)).bearer_auth(&operator);
    let request = request.header("Idempotency-Key", KEY);
    request.send().await.expect_err("nobody is left to answer");
    assert_eq!(dying.ended().await, None, "it was not an exit");
    assert!(place.log().contains("dying at a fail point"), "{step}: {}", place.log());
    (client, operator)
}

async fn get(origin: &str, operator: &str, path: &str) -> Value {
    let response = reqwest::Client::new().get(format!("{origin}{path}")).bearer_auth(operator).send().await.unwrap();
    response.json().await.unwrap()
}

/// How many successes of `action` the trail of an agent has.
async fn recorded(origin: &str, operator: &str, agent: &str, action: &str) -> u64 {
    let path = format!("/api/v1/audit?agentId={agent}&action={action}");
    get(origin, operator, &path).await["total"].as_u64().unwrap()
}

#[tokio::test]
async fn a_create_that_dies_leaves_what_worked() {
    for (step, rows) in [("create.intended", 1), ("create.written", 1), ("create.committed", 2)] {
        let (place, mount) = (Place::new(), support::bao().fresh_mount(2).await);
        let settings = vault(&mount);
        let request = (Method::POST, "/api/v1/agents/{agent}/credentials");
        let (client, operator) = die_at(step, &place, &settings, &settings, request).await;
        let again = place.serve(&settings).await;
        assert_eq!(again.token(&client).await.0, 200, "{step}");
        let list = get(&again.origin, &operator, &format!("/api/v1/agents/{}/credentials", client.id)).await;
        assert_eq!(list["total"], rows, "{step}");
        assert_eq!(recorded(&again.origin, &operator, &client.id, "credential.generated").await, rows, "{step}");
    }
}

#[tokio::test]
async fn a_rotation_that_dies_keeps_the_old_secret_until_its_commit() {
    for (step, moves, kept) in [
        ("rotate.intended", true, true),
        ("rotate.written", true, true),
        ("rotate.committed", true, false),
        ("rotate.written", false, true),
        ("rotate.committed", false, false),
    ] {
        let (place, mount) = (Place::new(), support::bao().fresh_mount(2).await);
        let settings = vault(&mount);
        let first = if moves { &[][..] } else { &settings[..] };
        let path = "/api/v1/agents/{agent}/credentials/{credential}/rotate";
        let (client, operator) = die_at(step, &place, first, &settings, (Method::POST, path)).await;
        let again = place.serve(&settings).await;
        assert_eq!(again.token(&client).await.0, if kept { 200 } else { 401 }, "{step}, moves: {moves}");
        let rotations = recorded(&again.origin, &operator, &client.id, "credential.rotated").await;
        assert_eq!(rotations, u64::from(!kept), "{step}");

        // Whatever the crash left in Vault is in nobody's way.
        let path = format!("/api/v1/agents/{}/credentials/{}/rotate", client.id, client.credential);
        let secret = again.post(&operator, &path, &Value::Null).await["clientSecret"].as_str().unwrap().to_owned();
        assert_eq!(again.token(&Client { secret, ..client }).await.0, 200, "{step}");
    }
}

#[tokio::test]
async fn an_end_that_dies_is_an_end_and_vault_forgets() {
    let (one, all) = ("/api/v1/agents/{agent}/credentials/{credential}", "/api/v1/agents/{agent}");
    for (step, path) in
        [("revoke.committed", one), ("change_agent.committed", all), ("purge.forgotten", one), ("purge.done", one)]
    {
        let (place, mount) = (Place::new(), support::bao().fresh_mount(2).await);
        let settings = vault(&mount);
        let (client, operator) = die_at(step, &place, &settings, &settings, (Method::DELETE, path)).await;
        let again = place.serve(&settings).await;
        assert_ne!(again.token(&client).await.0, 200, "{step}");
        let path = format!("{}/data/agentidp/agents/{}/credentials/{}", mount.name, client.id, client.credential);
        until("the purge", async || !support::bao().metadata_exists(&path).await).await;
        assert_eq!(recorded(&again.origin, &operator, &client.id, "credential.revoked").await, 1, "{step}");
    }
}

/// The answer is lost with the process; what it was about is not, and is not made again.
#[tokio::test]
async fn a_retry_finds_what_a_dead_server_has_committed() {
    for (step, path) in [
        ("create.committed", "/api/v1/agents/{agent}/credentials"),
        ("rotate.committed", "/api/v1/agents/{agent}/credentials/{credential}/rotate"),
    ] {
        let (place, mount) = (Place::new(), support::bao().fresh_mount(2).await);
        let settings = vault(&mount);
        let (client, operator) = die_at(step, &place, &settings, &settings, (Method::POST, path)).await;
        let again = place.serve(&settings).await;
        let path = path.replace("{agent}", &client.id).replace("{credential}", &client.credential);
        let send = async || {
            let request = reqwest::Client::new().post(format!("{}{path}", again.origin)).bearer_auth(&operator);
            request.header("Idempotency-Key", KEY).send().await.unwrap()
        };
        let replies = [send().await, send().await];
        assert!(replies.iter().all(|reply| reply.headers()["idempotent-replayed"] == "true"), "{replies:?}");
        let mut answers = Vec::new();
        for reply in replies {
            answers.push(reply.json::<Value>().await.unwrap());
        }
        assert_eq!(answers[0], answers[1], "{step}");
        let client = Client::shown(client.id, &answers[0]);
        assert_eq!(again.token(&client).await.0, 200, "{step}");
        let (action, made) = if step == "create.committed" { ("generated", 2) } else { ("rotated", 1) };
        let action = format!("credential.{action}");
        assert_eq!(recorded(&again.origin, &operator, &client.id, &action).await, made, "{step}");
    }
}
