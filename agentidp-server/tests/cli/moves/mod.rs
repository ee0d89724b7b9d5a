//! `agentidp-server move`, as operators run it.

mod fleet;
mod killed;

use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::binary::{Client, Place};
use crate::support::bao::Mount;
use crate::support::process::until;
use crate::support::{self, Bao};

/// So few versions that blanking a place takes two writes.
const VERSIONS: &str = "2";

/// A folder in Vault that keeps few versions.
pub(crate) async fn mount(bao: &Bao) -> Mount {
    let mount = bao.fresh_mount(2).await;
    bao.root(Method::POST, &format!("{}/config", mount.name), json!({ "max_versions": 2 })).await;
    mount
}

pub(crate) fn vault<'a>(bao: &'a Bao, mount: &'a Mount) -> [(&'static str, &'a str); 4] {
    [
        ("VAULT_ADDR", bao.address()),
        ("VAULT_TOKEN", &mount.policy_token),
        ("VAULT_KV_MOUNT", &mount.name),
        ("VAULT_MAX_VERSIONS", VERSIONS),
    ]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output of a command that ends with this code.
fn told(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A number from a database of either kind.
async fn count(url: &str, from: &str) -> i64 {
    let query = AssertSqlSafe(format!("SELECT count(*) FROM {from}"));
    if url.starts_with("sqlite:") {
        sqlx::query_scalar(query).fetch_one(&mut SqliteConnection::connect(url).await.unwrap()).await.unwrap()
    } else {
        sqlx::query_scalar(query).fetch_one(&mut PgConnection::connect(url).await.unwrap()).await.unwrap()
    }
}

async fn in_vault(url: &str) -> i64 {
    count(url, "credentials WHERE vault_path IS NOT NULL").await
}

/// Waits until the servers have emptied all places that credentials have left.
async fn drained(url: &str) {
    let left = async || count(url, "purge_debts WHERE kind <> 'rest'").await + count(url, "open_writes").await;
    let mut before = left().await;
    while before > 0 {
        // Of many, not all within the time that a condition is waited for.
        until("a debt to drain", async || left().await < before).await;
        before = left().await;
    }
}

/// How many versions of the clients' places hold their secrets.
async fn held(bao: &Bao, mount: &Mount, clients: &[Client]) -> usize {
    let mut found = 0;
    for client in clients {
        let path = format!("{}/data/agentidp/agents/{}/credentials/{}", mount.name, client.id, client.credential);
        let latest = bao.read_root(&path).await.and_then(|entry| entry.version).unwrap_or_default();
        for version in latest.saturating_sub(1).max(1)..=latest {
            let entry = bao.read_root(&format!("{path}?version={version}")).await;
            found += usize::from(entry.is_some_and(|entry| entry.data.to_string().contains(&client.secret)));
        }
    }
    found
}

#[tokio::test]
async fn it_moves_what_can_be_read_and_lists_the_rest() {
    let (place, bao) = (Place::new(), support::bao());
    let mount = mount(bao).await;
    let (operator, vault) = (place.operator(&[]).await, vault(bao, &mount));
    let server = place.serve(&[]).await;
    let digest = server.agent_with_credential(&operator).await;
    server.granted(&digest).await;
    server.stop().await;
    let server = place.serve(&vault).await;
    let mut vaulted = Vec::new();
    for _ in 0..3 {
        vaulted.push(server.agent_with_credential(&operator).await);
    }
    let rotation = format!("/api/v1/agents/{}/credentials/{}/rotate", vaulted[1].id, vaulted[1].credential);
    let rotated = server.post(&operator, &rotation, &json!({ "overlapSeconds": 3600 })).await;
    let lost = format!("{}/metadata/agentidp/agents/{}", mount.name, vaulted[2].id);
    bao.root(Method::DELETE, &format!("{lost}/credentials/{}", vaulted[2].credential), Value::Null).await;

    // Where to needs what it needs, and a name.
    let refused = place.run(&["move", "--to", "vault-kv2"], &[]).await;
    assert!(refused.status.code() == Some(2) && text(&refused.stderr).contains("VAULT_ADDR"), "{refused:?}");
    assert_eq!(place.run(&["move", "--to", "paper"], &vault).await.status.code(), Some(2));

    let dry = told(&place.run(&["move", "--to", "bcrypt", "--dry-run"], &vault).await, 1);
    for client in &vaulted[..2] {
        let line =
            format!("credential {} of agent {} would move from vault-kv2 to bcrypt\n", client.credential, client.id);
        assert!(dry.contains(&line), "{dry}");
    }
    assert!(
        dry.ends_with("1 failed; nothing was changed\n") && dry.contains("\n2 would move to bcrypt (2 from"),
        "{dry}"
    );

    let one = told(&place.run(&["move", "--to", "bcrypt", "--agent", &vaulted[0].id], &vault).await, 0);
    assert!(one.starts_with("1 moved to bcrypt (1 from vault-kv2), 0 are there already, 0 need"), "{one}");
    let all = told(&place.run(&["move", "--to", "bcrypt", "--rate", "1000"], &vault).await, 1);
    let broken =
        format!("credential {} of agent {} cannot move from vault-kv2: ", vaulted[2].credential, vaulted[2].id);
    assert!(all.starts_with(&broken) && all.contains("rotate the credential"), "{all}");
    assert!(all.contains("\n1 previous secrets stay where they are until their overlaps end, the last at 2"), "{all}");
    let end = "\n1 moved to bcrypt (1 from vault-kv2), 2 are there already, 0 need their clients, 0 were being changed, 1 failed\n";
    assert!(all.ends_with(end), "{all}");
    for secret in [&vaulted[1].secret, rotated["clientSecret"].as_str().unwrap()] {
        let client = Client { secret: secret.to_owned(), ..Client::shown(vaulted[1].id.clone(), &rotated) };
        server.granted(&client).await;
    }
    server.granted(&vaulted[0]).await;
    server.granted(&digest).await;
    server.stop().await;

    let back = told(&place.run(&["move", "--to", "vault-kv2"], &vault).await, 0);
    let list: Vec<_> = back.lines().collect();
    assert!(list[0].starts_with("3 keep only a digest: ") && list[1].starts_with("AGENT"), "{back}");
    let used = &list[2..5];
    assert!(used.iter().all(|line| line.contains(" bcrypt       20")), "each was used: {back}");
    assert!(
        used.windows(2).all(|pair| pair[0].split_once("bcrypt").unwrap().1 <= pair[1].split_once("bcrypt").unwrap().1)
    );
    for secret in vaulted.iter().chain([&digest]).map(|client| &client.secret) {
        assert!(!(dry.clone() + &one + &all + &back + &place.log()).contains(secret));
    }
}

#[tokio::test]
async fn an_outage_stops_it_and_a_second_run_finishes() {
    let (place, mut bao) = (Place::new(), Bao::start_own().await);
    let mount = mount(&bao).await;
    let operator = place.operator(&[]).await;
    let address = bao.address().to_owned();
    let settings = vault(&bao, &mount)
        .map(|(name, value)| (name, if name == "VAULT_ADDR" { address.clone() } else { value.to_owned() }));
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let server = place.serve(&settings).await;
    let client = server.agent_with_credential(&operator).await;
    server.stop().await;
    bao.stop().await;
    let output = place.run(&["move", "--to", "bcrypt"], &settings).await;
    let end = told(&output, 1);
    assert!(end.starts_with("0 moved to bcrypt, 0 are there already"), "{end}");
    assert!(text(&output.stderr).contains("a second run finds what is left"), "{}", text(&output.stderr));
    bao.start_again().await;
    assert!(told(&place.run(&["move", "--to", "bcrypt"], &settings).await, 0).starts_with("1 moved to bcrypt"));
    let server = place.serve(&[]).await;
    server.granted(&client).await;
}
