//! `/agents`.

use std::sync::Arc;
use std::time::Duration;

use agentidp_server::domain::{Agent, AuditEvent, Page, Paged, Scopes};
use agentidp_server::repo::{AgentFilter, AgentRepo, CreateAgent, Result};
use async_trait::async_trait;
use reqwest::Url;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::site::{Site, an_agent};

#[tokio::test]
async fn an_agent_is_registered_read_changed_and_ended() {
    let site = Site::bcrypt().await;
    let created = site.call("POST", "/agents", an_agent("Screener@agents.example")).await;
    assert_eq!(created.status, 201);
    let (agent, id) = (created.json(), created.id("agentId"));
    // A proxy may know the server by another path: RFC 9110 §10.2.2 resolves the reference against the request's.
    for base in ["https://idp.example", "https://idp.example/tenants/a"] {
        let asked = Url::parse(&format!("{base}/api/v1/agents")).unwrap();
        let location = asked.join(created.header("location").unwrap()).unwrap();
        assert_eq!(location.as_str(), format!("{base}/api/v1/agents/{id}"));
    }
    let mut expected = an_agent("Screener@agents.example");
    for (name, value) in [
        ("agentId", json!(id)),
        ("status", json!("active")),
        ("createdAt", json!("2030-03-17T17:46:40.000Z")),
        ("updatedAt", json!("2030-03-17T17:46:40.000Z")),
    ] {
        expected[name] = value;
    }
    assert_eq!(agent, expected, "exactly the documented members");
    assert_eq!(site.get(&format!("/agents/{id}")).await.json(), expected);

    site.clock.advance(Duration::from_secs(1));
    let change = json!({ "owner": "Sales", "deploymentEnv": "staging", "unknown": { "ignored": true } });
    let changed = site.call("PATCH", &format!("/agents/{id}"), change).await;
    assert_eq!(changed.status, 200);
    expected["owner"] = json!("Sales");
    expected["deploymentEnv"] = json!("staging");
    expected["updatedAt"] = json!("2030-03-17T17:46:41.000Z");
    assert_eq!(changed.json(), expected);

    site.tick();
    let ended = site.call("DELETE", &format!("/agents/{id}"), Value::Null).await;
    assert_eq!((ended.status, ended.text.as_str()), (204, ""));
    assert_eq!(site.get(&format!("/agents/{id}")).await.json()["status"], "decommissioned", "the row stays");
    for (method, body) in [("DELETE", Value::Null), ("PATCH", json!({ "status": "active" }))] {
        let reply = site.call(method, &format!("/agents/{id}"), body).await;
        assert_eq!(reply.failure(), (409, "AGENT_ALREADY_DECOMMISSIONED".to_owned()));
    }
    assert_eq!(site.actions(id).await, ["agent.created", "agent.updated", "agent.decommissioned"]);
}

#[tokio::test]
async fn each_transition_is_an_event_of_its_own() {
    let site = Site::bcrypt().await;
    let id = site.agent("a@agents.example").await;
    for change in [
        json!({ "status": "suspended" }),
        json!({ "status": "suspended", "version": "2.0.0" }),
        json!({ "status": "active" }),
        json!({ "status": "decommissioned" }),
    ] {
        site.tick();
        assert_eq!(site.call("PATCH", &format!("/agents/{id}"), change).await.status, 200);
    }
    let expected = ["agent.created", "agent.suspended", "agent.updated", "agent.reactivated", "agent.decommissioned"];
    assert_eq!(site.actions(id).await, expected);
    let trail = site.get(&format!("/audit?agentId={id}&action=agent.suspended")).await.json();
    assert_eq!(trail["data"][0]["metadata"], json!({ "actor": "operator", "changed": ["status"] }));
}

#[tokio::test]
async fn bad_bodies_are_refused_and_name_each_failing_field() {
    let site = Site::bcrypt().await;
    let with = |name: &str, value: Value| {
        let mut body = an_agent("a@agents.example");
        body[name] = value;
        body.to_string().into_bytes()
    };
    let table = [
        (b"{".to_vec(), vec!["body"]),
        (b"[]".to_vec(), vec!["body"]),
        (b"".to_vec(), vec!["body"]),
        (b"{\"email\":\"\xff\"}".to_vec(), vec!["body"]),
        ("[".repeat(10_000).into_bytes(), vec!["body"]),
        (b"{}".to_vec(), vec!["agentType", "capabilities", "deploymentEnv", "email", "owner", "version"]),
        (with("email", json!("no address")), vec!["email"]),
        (with("email", json!(format!("{}@b.example", "a".repeat(250)))), vec!["email"]),
        (with("agentType", json!("unknown")), vec!["agentType"]),
        (with("agentType", json!(["screener"])), vec!["agentType"]),
        (with("version", json!("1.0")), vec!["version"]),
        (with("capabilities", json!([])), vec!["capabilities"]),
        (with("capabilities", json!("a:b")), vec!["capabilities"]),
        (with("owner", json!("a\u{0}b")), vec!["owner"]),
        (with("owner", json!("a".repeat(129))), vec!["owner"]),
        (with("deploymentEnv", Value::Null), vec!["deploymentEnv"]),
    ];
    for (body, fields) in table {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!(site.send(&site.operator, "POST", "/agents", body).await.fields(), fields, "{shown}");
    }
    assert_eq!(site.send(&site.operator, "POST", "/agents", vec![b' '; 65 * 1024]).await.status, 413);
    assert_eq!(site.get("/agents").await.json()["total"], 0);

    let id = site.agent("a@agents.example").await;
    let table = [
        (json!({}), vec!["body"]),
        (json!({ "email": "a@agents.example" }), vec!["body", "email"]),
        (json!({ "agentId": id, "owner": "x" }), vec!["agentId"]),
        (json!({ "status": "gone", "capabilities": ["*:*"] }), vec!["capabilities", "status"]),
    ];
    for (body, fields) in table {
        assert_eq!(site.call("PATCH", &format!("/agents/{id}"), body).await.fields(), fields);
    }
    assert_eq!(site.actions(id).await, ["agent.created"], "nothing was changed");
}

#[tokio::test]
async fn an_email_is_taken_once_and_the_limit_counts_the_living() {
    let site = Site::build(|app| app.settings.agent_limit = Some(2)).await;
    let first = site.agent("a@agents.example").await;
    let again = site.call("POST", "/agents", an_agent("a@agents.example")).await;
    assert_eq!(again.failure(), (409, "AGENT_ALREADY_EXISTS".to_owned()));
    site.agent("b@agents.example").await;
    let third = site.call("POST", "/agents", an_agent("c@agents.example")).await;
    assert_eq!(third.failure(), (403, "FREE_TIER_LIMIT_EXCEEDED".to_owned()));
    assert_eq!(third.json()["details"], json!({ "limit": 2 }));
    assert_eq!(site.call("DELETE", &format!("/agents/{first}"), Value::Null).await.status, 204);
    site.agent("c@agents.example").await;
    let metrics = site.app.metrics.render();
    for line in [
        "agentidp_agents_registered_total{outcome=\"success\"} 3",
        "agentidp_agents_registered_total{outcome=\"failure\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn an_agent_registers_and_reads_but_changes_only_itself() {
    let site = Site::bcrypt().await;
    let (me, other) = (site.agent("me@agents.example").await, site.agent("other@agents.example").await);
    let token = site.token(me);
    let registered = site.send(&token, "POST", "/agents", an_agent("new@agents.example").to_string()).await;
    assert_eq!(registered.status, 201);
    let created = site.get(&format!("/audit?agentId={}", registered.id("agentId"))).await.json();
    assert_eq!(created["data"][0]["metadata"]["actor"], json!(me));
    for path in ["/agents".to_owned(), format!("/agents/{other}"), format!("/agents/{other}/credentials")] {
        assert_eq!(site.send(&token, "GET", &path, "").await.status, 200, "{path}");
    }
    let foreign = Uuid::new_v4();
    for (method, path, body) in [
        ("PATCH", format!("/agents/{other}"), r#"{"owner":"x"}"#),
        ("PATCH", format!("/agents/{other}"), "not even JSON"),
        ("PATCH", format!("/agents/{foreign}"), r#"{"owner":"x"}"#),
        ("DELETE", format!("/agents/{other}"), ""),
        ("POST", format!("/agents/{other}/credentials"), ""),
        ("POST", format!("/agents/{other}/credentials/{foreign}/rotate"), ""),
        ("DELETE", format!("/agents/{other}/credentials/{foreign}"), ""),
    ] {
        let reply = site.send(&token, method, &path, body).await;
        assert_eq!(reply.failure(), (403, "FORBIDDEN".to_owned()), "{method} {path}");
    }
    assert_eq!(site.send(&token, "PATCH", &format!("/agents/{me}"), r#"{"owner":"x"}"#).await.status, 200);
    assert_eq!(site.send(&token, "DELETE", &format!("/agents/{me}"), "").await.status, 204);
    let after = site.send(&token, "GET", "/agents", "").await;
    assert_eq!(after.failure(), (401, "UNAUTHORIZED".to_owned()), "a decommissioned agent's token is over");
}

#[tokio::test]
async fn reading_and_writing_are_scopes_of_their_own() {
    let site = Site::bcrypt().await;
    let me = site.agent("me@agents.example").await;
    let token = |scope: &str| {
        let (scope, ttl) = (Scopes::parse(scope).unwrap(), Duration::from_secs(60));
        site.app.tokens.issue_now(&me.to_string(), scope, ttl, false).unwrap().token
    };
    let (reader, writer) = (token("agents:read"), token("agents:write tokens:read audit:read"));
    for (method, path) in [("POST", "/agents".to_owned()), ("PATCH", format!("/agents/{me}"))] {
        assert_eq!(site.send(&reader, method, &path, "{").await.failure(), (403, "FORBIDDEN".to_owned()), "before all");
    }
    assert_eq!(site.send(&writer, "GET", "/agents", "").await.status, 403);
    assert_eq!(site.send(&reader, "GET", "/audit", "").await.status, 403);
    assert_eq!(site.send(&reader, "GET", "/agents?page=1", "").await.status, 200);
}

#[tokio::test]
async fn lists_are_filtered_and_paged_newest_first() {
    let site = Site::bcrypt().await;
    for n in 0..5 {
        site.clock.advance(Duration::from_secs(1));
        let mut body = an_agent(&format!("agent-{n}@agents.example"));
        body["agentType"] = json!(if n % 2 == 0 { "router" } else { "monitor" });
        body["owner"] = json!("R&D Team");
        assert_eq!(site.call("POST", "/agents", body).await.status, 201);
    }
    let emails = |reply: Value| -> Vec<String> {
        let rows = reply["data"].as_array().unwrap();
        rows.iter().map(|row| row["email"].as_str().unwrap().split('@').next().unwrap().to_owned()).collect()
    };
    let page = site.get("/agents?page=2&limit=2&unknown=1&unknown=2").await.json();
    assert_eq!((&page["total"], &page["page"], &page["limit"]), (&json!(5), &json!(2), &json!(2)));
    assert_eq!(emails(page), ["agent-2", "agent-1"]);
    let filtered = site.get("/agents?agentType=router&owner=R%26D+Team&status=active").await.json();
    assert_eq!(emails(filtered), ["agent-4", "agent-2", "agent-0"]);
    assert_eq!(
        site.get("/agents?owner=nobody").await.json(),
        json!({ "data": [], "total": 0, "page": 1, "limit": 20 })
    );
    assert_eq!(site.get("/agents?page=4294967295&limit=100").await.json()["data"], json!([]), "past the end");
    let bad = site.get("/agents?page=0&limit=101&status=gone&agentType=&owner=%ff").await;
    assert_eq!(bad.fields(), ["agentType", "limit", "owner", "page", "status"]);
}

#[tokio::test]
async fn an_id_in_a_path_is_a_uuid_or_refused() {
    let site = Site::bcrypt().await;
    let missing = site.get(&format!("/agents/{}", Uuid::new_v4())).await;
    assert_eq!(missing.failure(), (404, "AGENT_NOT_FOUND".to_owned()));
    for id in ["1", "me", "00000000-0000-0000-0000-00000000000g", "...", "a%00", "a@b.example"] {
        assert_eq!(site.get(&format!("/agents/{id}")).await.fields(), ["agentId"], "{id}");
        let reply = site.call("DELETE", &format!("/agents/{id}/credentials/{id}"), Value::Null).await;
        assert_eq!(reply.fields(), ["agentId"], "{id}");
    }
    for trick in ["/agents/..", "/agents/%2e%2e", "/agents/", "/agents//credentials", "/agents/a%2fb"] {
        assert_eq!(site.get(trick).await.failure(), (404, "NOT_FOUND".to_owned()), "{trick}");
    }
}

#[tokio::test]
async fn a_change_that_always_loses_to_others_is_told_to_try_again() {
    let site = Site::build(|app| app.repos.agents = Arc::new(Outrun(Arc::clone(&app.repos.agents)))).await;
    let path = format!("/agents/{}", site.agent("a@agents.example").await);
    for (method, body) in [("PATCH", json!({ "owner": "Sales" })), ("DELETE", Value::Null)] {
        let reply = site.call(method, &path, body).await;
        assert_eq!(reply.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()), "{method}");
        assert_eq!(reply.headers["retry-after"], "1");
    }
}

/// Somebody else is always faster.
struct Outrun(Arc<dyn AgentRepo>);

#[async_trait]
impl AgentRepo for Outrun {
    async fn create(&self, agent: &Agent, limit: Option<u64>, event: &AuditEvent) -> Result<CreateAgent> {
        self.0.create(agent, limit, event).await
    }

    async fn find(&self, agent_id: Uuid) -> Result<Option<Agent>> {
        let earlier = |agent: Agent| Agent { updated_at: agent.updated_at.minus(Duration::from_millis(1)), ..agent };
        Ok(self.0.find(agent_id).await?.map(earlier))
    }

    async fn list(&self, filter: &AgentFilter, page: Page) -> Result<Paged<Agent>> {
        self.0.list(filter, page).await
    }
}
