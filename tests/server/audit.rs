//! `/audit`.

use std::time::Duration;

use agentidp_server::domain::Scopes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::site::Site;

#[tokio::test]
async fn an_event_says_what_happened_where_from_and_who_did_it() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let (credential, _) = site.credential(agent).await;
    let trail = site.get(&format!("/audit?agentId={agent}&action=credential.generated&outcome=success")).await.json();
    let event = &trail["data"][0];
    let expected = json!({
        "eventId": event["eventId"],
        "agentId": agent,
        "action": "credential.generated",
        "outcome": "success",
        "ipAddress": "192.0.2.7",
        "userAgent": "",
        "metadata": { "actor": "operator", "credentialId": credential, "expiresAt": null },
        "timestamp": "2030-03-17T17:46:40.000Z",
    });
    assert_eq!(event, &expected, "exactly the documented members");
    let id = event["eventId"].as_str().unwrap();
    assert_eq!(site.get(&format!("/audit/{id}")).await.json(), expected);
    assert_eq!((&trail["total"], &trail["limit"]), (&json!(1), &json!(50)));
}

#[tokio::test]
async fn the_trail_is_filtered_by_time_and_paged_newest_first() {
    let site = Site::bcrypt().await;
    for n in 0..4 {
        site.agent(&format!("agent-{n}@agents.example")).await;
        site.clock.advance(Duration::from_secs(3600));
    }
    let times = async |query: &str| -> Vec<String> {
        let reply = site.get(&format!("/audit?{query}")).await.json();
        let rows = reply["data"].as_array().unwrap().clone();
        rows.iter().map(|event| event["timestamp"].as_str().unwrap()[11..19].to_owned()).collect()
    };
    assert_eq!(times("limit=200").await, ["20:46:40", "19:46:40", "18:46:40", "17:46:40"]);
    assert_eq!(times("page=2&limit=3").await, ["17:46:40"]);
    let between = "fromDate=2030-03-17T18:46:40Z&toDate=2030-03-17T20:46:40.000%2B01:00";
    assert_eq!(times(between).await, ["19:46:40", "18:46:40"], "both ends are included");
    assert_eq!(times("fromDate=2030-03-17&toDate=2030-03-17").await.len(), 4, "a plain date is the whole day");
    assert!(times("fromDate=2030-03-18").await.is_empty());
    let bad = "fromDate=2030-03-18&toDate=2030-03-17&limit=201&page=0&agentId=me&action=all&outcome=ok";
    let fields = ["action", "agentId", "fromDate", "limit", "outcome", "page"];
    assert_eq!(site.get(&format!("/audit?{bad}")).await.fields(), fields);
}

#[tokio::test]
async fn what_is_older_than_ninety_days_is_gone() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let event = site.get("/audit").await.json()["data"][0]["eventId"].as_str().unwrap().to_owned();
    let operator = async |after: Duration| {
        site.clock.advance(after);
        site.app.tokens.issue_now("operator", Scopes::ALL, Duration::from_secs(60), true).unwrap().token
    };
    let token = operator(Duration::from_secs(90 * 86_400)).await;
    assert_eq!(site.send(&token, "GET", &format!("/audit/{event}"), "").await.status, 200);
    let token = operator(Duration::from_millis(1)).await;
    let gone = site.send(&token, "GET", &format!("/audit/{event}"), "").await;
    assert_eq!(gone.failure(), (404, "AUDIT_EVENT_NOT_FOUND".to_owned()));
    for query in ["", "fromDate=2030-01-01", &format!("agentId={agent}")] {
        let list = site.send(&token, "GET", &format!("/audit?{query}"), "").await.json();
        assert_eq!(list["total"], 0, "{query}");
    }
}

#[tokio::test]
async fn there_is_no_way_to_write() {
    let site = Site::bcrypt().await;
    site.agent("a@agents.example").await;
    let event = site.get("/audit").await.json()["data"][0]["eventId"].as_str().unwrap().to_owned();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for path in ["/audit".to_owned(), format!("/audit/{event}")] {
            assert_eq!(site.call(method, &path, json!({})).await.status, 405, "{method} {path}");
        }
    }
    assert_eq!(site.get("/audit/1").await.fields(), ["eventId"]);
    let unknown = site.get(&format!("/audit/{}", Uuid::new_v4())).await;
    assert_eq!(unknown.failure(), (404, "AUDIT_EVENT_NOT_FOUND".to_owned()));
    assert_ne!(site.get("/audit").await.json()["data"], Value::Null);
}
