//! `agentidp-server credentials`: the report, on a server's own database.

use std::collections::BTreeSet;
use std::time::Duration;

use agentidp_secrets::{Clock as _, SystemClock};
use agentidp_server::domain::Timestamp;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::binary::{Client, Place};
use crate::support;

const DAY: Duration = Duration::from_secs(86_400);

/// The lines of the report.
async fn report(place: &Place, arguments: &[&str]) -> Vec<String> {
    let output = place.run(&[&["credentials"], arguments].concat(), &[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect()
}

/// A server that stops leaves nothing unwritten, so the report knows of the last login.
#[tokio::test]
async fn the_report_names_each_credential_with_its_last_use() {
    let place = Place::new();
    let operator = place.operator(&[]).await;
    let server = place.serve(&[]).await;
    let (used, never) = (server.agent_with_credential(&operator).await, server.agent_with_credential(&operator).await);
    let rotation = format!("/api/v1/agents/{}/credentials/{}/rotate", used.id, used.credential);
    server.granted(&used).await;
    server.post(&operator, &rotation, &serde_json::json!({ "overlapSeconds": 3600 })).await;
    server.granted(&used).await;
    server.stop().await;

    let table = report(&place, &[]).await;
    assert_eq!(table.len(), 4, "{table:?}");
    assert!(table[0].starts_with("AGENT") && table[3] == "2 credentials, 2 bcrypt", "{table:?}");
    assert!(
        table.iter().all(|line| !line.contains(&used.secret) && !line.contains('$')),
        "nothing of a secret: {table:?}"
    );
    let json = report(&place, &["--json"]).await;
    let lines: Vec<Value> = json.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |id: &str| lines.iter().find(|line| line["agentId"] == id).unwrap_or_else(|| panic!("{json:?}"));
    let (used_line, never_line) = (of(&used.id), of(&never.id));
    assert_eq!(used_line["lastUsedAt"], Value::Null, "only the secret before was used: {used_line}");
    assert!(used_line["createdAt"].is_string() && used_line["secretMadeAt"] == used_line["rotatedAt"], "{used_line}");
    assert!(used_line["previousLastUsedAt"].is_string() && used_line["previousExpiresAt"].is_string(), "{used_line}");
    assert!(used_line["rotatedAt"].is_string() && used_line["previousBackend"] == "bcrypt", "{used_line}");
    assert_eq!((&never_line["backend"], &never_line["lastUsedAt"]), (&"bcrypt".into(), &Value::Null));
    assert_eq!((&never_line["rotatedAt"], &never_line["secretMadeAt"]), (&Value::Null, &never_line["createdAt"]));

    assert_eq!(report(&place, &["--json", "--without", "bcrypt"]).await.len(), 2);
    assert!(report(&place, &["--json", "--without", "vault-kv2"]).await.is_empty());
    assert!(report(&place, &["--json", "--expiring", "7d"]).await.is_empty(), "none has an end");
    assert!(report(&place, &["--json", "--unused", "1d"]).await.is_empty(), "they were made today");
    assert_eq!(report(&place, &["--json", "--unused", "0s"]).await.len(), 2);
    let summary = report(&place, &["--summary"]).await;
    let numbers =
        |line: &str| line.split_whitespace().skip(3).map(|number| number.parse().unwrap()).collect::<Vec<u32>>();
    assert!(summary[0].starts_with("BACKEND") && summary.len() == 3, "{summary:?}");
    assert!(summary[1].starts_with("bcrypt       current  cost=10 "), "{summary:?}");
    // All, used within a day and 30, never; rotated within 90 days, never; older than that; ending within 7 days, expired.
    assert_eq!(numbers(&summary[1]), [2, 0, 0, 2, 1, 1, 0, 0, 0], "{summary:?}");
    assert!(summary[2].starts_with("bcrypt       previous cost=10 "), "{summary:?}");
    assert_eq!(numbers(&summary[2]), [1, 1, 1, 0, 1, 0, 0, 1, 0], "{summary:?}");
    let lines = report(&place, &["--summary", "--json"]).await;
    let previous: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!((&previous["generation"], &previous["secrets"]), (&"previous".into(), &1.into()), "{previous}");
    let refused = place.run(&["credentials", "--unused", "often"], &[]).await;
    assert_eq!(refused.status.code(), Some(2));
}

/// What ends soon, what was not used for long, and what another backend keeps for a previous secret, is told from the rest.
#[tokio::test]
async fn the_report_picks_what_is_asked_for() {
    let (place, bao) = (Place::new(), support::bao());
    let mount = super::moves::mount(bao).await;
    let vault = super::moves::vault(bao, &mount);
    let operator = place.operator(&[]).await;
    let server = place.serve(&vault).await;
    let (both, old) = (server.agent_with_credential(&operator).await, server.agent_with_credential(&operator).await);
    server.stop().await;
    let server = place.serve(&[&vault[..], &[("SECRET_BACKEND", "bcrypt")]].concat()).await;
    let (ending, new) = (server.agent_with_credential(&operator).await, server.agent_with_credential(&operator).await);
    let rotate = async |client: &Client, body: Value| {
        let path = format!("/api/v1/agents/{}/credentials/{}/rotate", client.id, client.credential);
        server.post(&operator, &path, &body).await;
    };
    rotate(&both, json!({ "overlapSeconds": 3600 })).await;
    rotate(&ending, json!({ "expiresAt": Timestamp::from(SystemClock::default().now() + 3 * DAY).to_string() })).await;
    server.stop().await;
    let url = format!("sqlite:{}", place.data("agentidp.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let age = "UPDATE credentials SET created_at = '2020' || substr(created_at, 5) WHERE credential_id = ?";
    assert_eq!(sqlx::query(age).bind(&old.credential).execute(&mut database).await.unwrap().rows_affected(), 1);
    database.close().await.unwrap();

    let named = async |arguments: &[&str]| {
        let text = report(&place, &[&["--json"], arguments].concat()).await;
        let lines = text.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["agentId"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let of = |clients: &[&Client]| clients.iter().map(|client| client.id.clone()).collect::<BTreeSet<_>>();
    assert_eq!(named(&["--without", "vault-kv2"]).await, of(&[&both, &old]), "the previous secret lies in Vault");
    assert_eq!(named(&["--without", "bcrypt"]).await, of(&[&both, &ending, &new]));
    assert_eq!(named(&["--expiring", "7d"]).await, of(&[&ending]));
    assert_eq!(named(&["--expiring", "2d"]).await, of(&[]));
    assert_eq!(named(&["--unused", "90d"]).await, of(&[&old]));
    assert_eq!(named(&["--unused", "90d", "--without", "bcrypt"]).await, of(&[]));
}
