//! `/agents/{agentId}/credentials`.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::site::Site;

fn in_days(days: u64) -> String {
    // The sites' clock starts at 2030-03-17T17:46:40Z.
    let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000 + days * 86_400);
    agentidp_server::domain::Timestamp::from(at).to_string()
}

#[tokio::test]
async fn a_credential_is_shown_once_and_listed_without_its_secret() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let path = format!("/agents/{agent}/credentials");
    site.tick();
    let created = site.call("POST", &path, json!({ "expiresAt": in_days(30), "other": 1 })).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.headers["cache-control"], "no-store");
    let (id, secret) = (created.id("credentialId"), created.secret());
    assert!(secret.len() == 72 && secret.starts_with("sk_live_"), "the documented form");
    let mut expected = json!({
        "credentialId": id,
        "clientId": agent,
        "status": "active",
        "createdAt": "2030-03-17T17:46:40.001Z",
        "expiresAt": in_days(30),
        "revokedAt": null,
        "lastUsedAt": null,
        "previousLastUsedAt": null,
    });
    let listed = site.get(&path).await.json();
    assert_eq!(listed, json!({ "data": [expected], "total": 1, "page": 1, "limit": 20 }));
    expected["clientSecret"] = json!(secret);
    assert_eq!(created.json(), expected);
    assert!(site.accepts(agent, &secret).await);
    assert_eq!(site.actions(agent).await, ["agent.created", "credential.generated"]);
}

#[tokio::test]
async fn a_body_is_optional_and_an_expiry_lies_ahead() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let path = format!("/agents/{agent}/credentials");
    for without in ["", "{}", " ", r#"{"expiresAt":null}"#] {
        let reply = site.send(&site.operator, "POST", &path, without).await;
        assert_eq!((reply.status, &reply.json()["expiresAt"]), (201, &Value::Null), "{without:?}");
    }
    let (credential, _) = site.credential(agent).await;
    for path in [path.clone(), format!("{path}/{credential}/rotate")] {
        for wrong in [json!(in_days(0)), json!("2020-01-01T00:00:00Z"), json!("soon"), json!(1), json!({}), json!("")] {
            let reply = site.call("POST", &path, json!({ "expiresAt": wrong })).await;
            assert_eq!(reply.fields(), ["expiresAt"], "{wrong}");
        }
        for wrong in ["[]", "{", "\u{1}", "null"] {
            assert_eq!(site.send(&site.operator, "POST", &path, wrong).await.fields(), ["body"], "{wrong}");
        }
    }
    assert_eq!(site.rows(agent).await.len(), 5, "nothing more was created");
}

#[tokio::test]
async fn only_an_active_agent_gets_a_credential() {
    let site = Site::bcrypt().await;
    let nobody = site.call("POST", &format!("/agents/{}/credentials", Uuid::new_v4()), Value::Null).await;
    assert_eq!(nobody.failure(), (404, "AGENT_NOT_FOUND".to_owned()));
    let agent = site.agent("a@agents.example").await;
    for status in ["suspended", "decommissioned"] {
        let change = json!({ "status": status });
        assert_eq!(site.call("PATCH", &format!("/agents/{agent}"), change).await.status, 200);
        let reply = site.call("POST", &format!("/agents/{agent}/credentials"), Value::Null).await;
        assert_eq!(reply.failure(), (403, "AGENT_NOT_ACTIVE".to_owned()), "{status}");
    }
}

#[tokio::test]
async fn a_rotation_keeps_the_credential_and_changes_its_secret() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    site.tick();
    let (credential, old) = site.credential(agent).await;
    site.tick();
    let rotated = site.rotate(agent, credential).await;
    assert_eq!((rotated.status, rotated.id("credentialId")), (200, credential));
    assert_eq!(rotated.headers["cache-control"], "no-store");
    assert!(site.accepts(agent, &rotated.secret()).await);
    assert!(!site.accepts(agent, &old).await);
    assert_eq!(site.actions(agent).await, ["agent.created", "credential.generated", "credential.rotated"]);
}

#[tokio::test]
async fn a_rotation_keeps_a_future_expiry_and_clears_a_past_one() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let path = format!("/agents/{agent}/credentials");
    let created = site.call("POST", &path, json!({ "expiresAt": in_days(10) })).await;
    let credential = created.id("credentialId");
    for body in ["", r#"{"expiresAt":null}"#] {
        let kept = site.send(&site.operator, "POST", &format!("{path}/{credential}/rotate"), body).await;
        assert_eq!(kept.json()["expiresAt"], json!(in_days(10)), "{body}");
    }
    site.clock.advance(Duration::from_secs(10 * 86_400));
    let operator =
        site.app.tokens.issue_now("operator", agentidp_server::domain::Scopes::ALL, Duration::from_secs(60), true);
    let operator = operator.unwrap().token;
    let rotate = format!("{path}/{credential}/rotate");
    let cleared = site.send(&operator, "POST", &rotate, "").await;
    assert_eq!((cleared.status, &cleared.json()["expiresAt"]), (200, &Value::Null), "{cleared:?}");
    assert!(site.accepts(agent, &cleared.secret()).await, "it had expired and is back");
    let set = site.send(&operator, "POST", &rotate, json!({ "expiresAt": in_days(20) }).to_string()).await;
    assert_eq!(set.json()["expiresAt"], json!(in_days(20)));
}

#[tokio::test]
async fn a_revoked_credential_stays_listed_and_can_do_nothing() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let (credential, secret) = site.credential(agent).await;
    site.credential(agent).await;
    assert_eq!(site.revoke(agent, credential).await.status, 204);
    assert!(!site.accepts(agent, &secret).await);
    for reply in [site.revoke(agent, credential).await, site.rotate(agent, credential).await] {
        assert_eq!(reply.failure(), (409, "CREDENTIAL_ALREADY_REVOKED".to_owned()));
    }
    let revoked = site.get(&format!("/agents/{agent}/credentials?status=revoked")).await.json();
    assert_eq!(revoked["total"], 1);
    assert_eq!(revoked["data"][0]["credentialId"], json!(credential));
    assert_eq!(revoked["data"][0]["revokedAt"], "2030-03-17T17:46:40.000Z");
    assert_eq!(site.get(&format!("/agents/{agent}/credentials")).await.json()["total"], 2);
    let bad = site.get(&format!("/agents/{agent}/credentials?status=gone&limit=0")).await;
    assert_eq!(bad.fields(), ["limit", "status"]);
}

#[tokio::test]
async fn another_agents_credential_is_not_found() {
    let site = Site::bcrypt().await;
    let (me, other) = (site.agent("me@agents.example").await, site.agent("other@agents.example").await);
    let (foreign, secret) = site.credential(other).await;
    let token = site.token(me);
    for (method, path) in [
        ("POST", format!("/agents/{me}/credentials/{foreign}/rotate")),
        ("DELETE", format!("/agents/{me}/credentials/{foreign}")),
        ("DELETE", format!("/agents/{me}/credentials/{}", Uuid::new_v4())),
    ] {
        let reply = site.send(&token, method, &path, "").await;
        assert_eq!(reply.failure(), (404, "CREDENTIAL_NOT_FOUND".to_owned()), "{method} {path}");
    }
    assert!(site.accepts(other, &secret).await, "untouched");
    let bad = site.call("POST", &format!("/agents/{me}/credentials/1/rotate"), Value::Null).await;
    assert_eq!(bad.fields(), ["credentialId"]);
    let nobody = Uuid::new_v4();
    for (method, path) in [
        ("GET", format!("/agents/{nobody}/credentials")),
        ("POST", format!("/agents/{nobody}/credentials/{foreign}/rotate")),
        ("DELETE", format!("/agents/{nobody}/credentials/{foreign}")),
    ] {
        let reply = site.call(method, &path, Value::Null).await;
        assert_eq!(reply.failure(), (404, "AGENT_NOT_FOUND".to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn an_agent_may_have_any_number_of_credentials() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let (_, first) = site.credential(agent).await;
    for _ in 0..11 {
        site.credential(agent).await;
    }
    assert!(site.accepts(agent, &first).await, "creating one ends no other");
}
