//! `agentidp-server credentials`: the report, on a server's own database.

use serde_json::Value;

use crate::binary::Place;

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
    assert!(used_line["previousLastUsedAt"].is_string() && used_line["previousExpiresAt"].is_string(), "{used_line}");
    assert!(used_line["rotatedAt"].is_string() && used_line["previousBackend"] == "bcrypt", "{used_line}");
    assert_eq!((&never_line["backend"], &never_line["lastUsedAt"]), (&"bcrypt".into(), &Value::Null));
    assert_eq!(never_line["rotatedAt"], Value::Null);

    assert_eq!(report(&place, &["--json", "--without", "bcrypt"]).await.len(), 2);
    assert!(report(&place, &["--json", "--without", "vault-kv2"]).await.is_empty());
    assert!(report(&place, &["--json", "--expiring", "7d"]).await.is_empty(), "none has an end");
    assert_eq!(report(&place, &["--json", "--unused", "90d"]).await.len(), 2, "never used counts as unused");
    let refused = place.run(&["credentials", "--unused", "often"], &[]).await;
    assert_eq!(refused.status.code(), Some(2));
}
