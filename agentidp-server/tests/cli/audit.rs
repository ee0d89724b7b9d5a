//! What the trail holds after a server has ended, however it did.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use crate::binary::{Client, Place, Running, token_id};
use crate::support;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_token_that_was_answered_is_on_record_after_a_kill() {
    let (place, settings) = on_postgres().await;
    for settings in [&settings[..], &[]] {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let operator = place.operator(&settings).await;
        let mut running = place.serve(&settings).await;
        let client = running.agent_with_credential(&operator).await;
        let mut requests = JoinSet::new();
        for _ in 0..40 {
            requests.spawn(token_request(&running, &client));
        }
        let mut answered = BTreeSet::new();
        // Some are still on their way when it ends.
        while answered.len() < 20 {
            answered.extend(requests.join_next().await.unwrap().unwrap());
        }
        running.signal("KILL").await;
        assert_eq!(running.ended().await, None);
        answered.extend(requests.join_all().await.into_iter().flatten());

        let again = place.serve(&settings).await;
        let recorded = recorded(&again, &operator, &client).await;
        assert!(recorded.is_superset(&answered), "{} answered, {} on record", answered.len(), recorded.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_whose_event_is_not_durable_when_the_server_is_killed_was_never_answered() {
    let (place, settings) = on_postgres().await;
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let operator = place.operator(&settings).await;
    let mut running = place.serve(&settings).await;
    let client = running.agent_with_credential(&operator).await;
    let mut monitor = PgConnection::connect(settings[0].1).await.unwrap();
    let lock = locked(settings[0].1).await;
    let mut requests = JoinSet::new();
    for _ in 0..10 {
        requests.spawn(token_request(&running, &client));
    }
    until_an_event_waits(&mut monitor).await;
    // Enough for an answer that does not wait for its event.
    assert_eq!(running.status(&operator, reqwest::Method::GET, "/api/v1/agents").await, 200);
    running.signal("KILL").await;
    assert_eq!(running.ended().await, None);
    lock.close().await.unwrap();
    assert!(requests.join_all().await.iter().all(Option::is_none));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_mode_writes_what_is_left_before_an_orderly_end() {
    let (place, settings) = on_postgres().await;
    let mut settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(("AUDIT_MODE", "async"));
    let operator = place.operator(&settings).await;
    let mut running = place.serve(&settings).await;
    let client = running.agent_with_credential(&operator).await;

    let lock = locked(settings[0].1).await;
    let mut answered = BTreeSet::new();
    for _ in 0..20 {
        answered.extend(token_request(&running, &client).await);
    }
    assert_eq!(answered.len(), 20);
    running.signal("TERM").await;
    while reqwest::get(&format!("{}/health", running.origin)).await.is_ok() {}
    lock.close().await.unwrap();
    assert_eq!(running.ended().await, Some(0));

    let again = place.serve(&settings).await;
    assert_eq!(recorded(&again, &operator, &client).await, answered);
}

async fn on_postgres() -> (Place, [(&'static str, String); 2]) {
    let (place, url) = (Place::new(), support::postgres().fresh_database().await);
    // Makes the key.
    place.operator(&[]).await;
    let key = place.data("jwt-key.pem").to_str().unwrap().to_owned();
    (place, [("DATABASE_URL", url), ("JWT_PRIVATE_KEY_FILE", key)])
}

/// A connection that keeps everybody from writing events until it is closed.
async fn locked(url: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE audit_events IN EXCLUSIVE MODE").execute(&mut connection).await.unwrap();
    connection
}

async fn until_an_event_waits(monitor: &mut PgConnection) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit_events'::regclass";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *monitor).await.unwrap() == 0 {}
}

/// Asks for a token; its id, if there is an answer.
fn token_request(running: &Running, client: &Client) -> impl Future<Output = Option<String>> + use<> {
    let request = reqwest::Client::new().post(format!("{}/api/v1/token", running.origin)).form(&client.form());
    async move {
        let answer: Value = request.send().await.ok()?.json().await.ok()?;
        Some(token_id(answer["access_token"].as_str().expect("a token, or no answer at all")))
    }
}

/// The ids of the tokens that are on the client's trail.
async fn recorded(running: &Running, operator: &str, client: &Client) -> BTreeSet<String> {
    let url = format!("{}/api/v1/audit?agentId={}&action=token.issued&limit=200", running.origin, client.id);
    let answer = reqwest::Client::new().get(url).bearer_auth(operator).send().await.unwrap();
    let trail: Value = answer.json().await.unwrap();
    let events = trail["data"].as_array().unwrap();
    events.iter().map(|event| event["metadata"]["tokenId"].as_str().unwrap().to_owned()).collect()
}
