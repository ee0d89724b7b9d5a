//! When secrets were last used (contract §9).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::lifecycle::{Usage, Use};
use agentidp_secrets::testkit::FaultLayer;
use agentidp_server::domain::Timestamp;
use agentidp_server::repo::{Deadlines, RepoError, Result, Since, UsageRepo};
use agentidp_server::workers::{census, overlaps};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::site::Site;
use crate::support;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

async fn sites() -> [Site; 3] {
    let mount = support::bao().fresh_mount(2).await;
    [Site::bcrypt().await, Site::build_on_postgres(|_| {}).await, Site::vault(&mount, &FaultLayer::new()).await]
}

/// Both times of an agent's only credential.
async fn used(site: &Site, agent: Uuid) -> [Value; 2] {
    let shown = site.get(&format!("/agents/{agent}/credentials")).await.json()["data"][0].clone();
    ["lastUsedAt", "previousLastUsedAt"].map(|name| shown.get(name).unwrap_or_else(|| panic!("{shown}")).clone())
}

fn at(site: &Site) -> Value {
    json!(site.app.now().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_secret_shows_its_last_use() {
    for site in sites().await {
        let agent = site.agent("a@agents.example").await;
        let (credential, old) = site.credential(agent).await;
        assert_eq!(used(&site, agent).await, [Value::Null, Value::Null], "never");
        assert_eq!(site.grant(agent, &old).await.status, 200);
        let first = at(&site);
        assert_eq!(site.grant(agent, "sk_live_wrong").await.status, 401);
        assert_eq!(site.app.life().write_uses().await, 1);
        assert_eq!(used(&site, agent).await, [first.clone(), Value::Null]);

        site.clock.advance(Duration::from_secs(60));
        let rotation = format!("/agents/{agent}/credentials/{credential}/rotate");
        let reply = site.call("POST", &rotation, json!({ "overlapSeconds": 3600 })).await;
        assert_eq!(reply.json()["lastUsedAt"], Value::Null, "{reply:?}");
        assert_eq!(reply.json()["previousLastUsedAt"], first);
        site.clock.advance(Duration::from_secs(60));
        assert_eq!(site.grant(agent, &old).await.status, 200);
        let of_old = at(&site);
        site.clock.advance(Duration::from_secs(60));
        assert_eq!(site.grant(agent, &reply.secret()).await.status, 200);
        site.app.life().write_uses().await;
        assert_eq!(used(&site, agent).await, [at(&site), of_old]);

        site.clock.advance(Duration::from_secs(3600));
        assert_eq!(used(&site, agent).await[1], Value::Null, "what does not count is not shown");
    }
}

/// `DELETE …/previous` waits for the last user of the previous secret, whichever server it asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_previous_secret_ends_early_only_when_nobody_uses_it() {
    for site in sites().await {
        let agent = site.agent("a@agents.example").await;
        let (credential, old) = site.credential(agent).await;
        let path = format!("/agents/{agent}/credentials/{credential}");
        let reply = site.call("POST", &format!("{path}/rotate"), json!({ "overlapSeconds": 86_400 })).await;
        assert_eq!(site.grant(agent, &old).await.status, 200);
        let end = async || site.call("DELETE", &format!("{path}/previous"), Value::Null).await;
        assert_eq!(end().await.failure(), (409, "PREVIOUS_SECRET_IN_USE".to_owned()), "not written yet");
        site.app.life().write_uses().await;
        assert_eq!(end().await.failure(), (409, "PREVIOUS_SECRET_IN_USE".to_owned()));
        assert_eq!(site.grant(agent, &old).await.status, 200, "it works on");
        site.clock.advance(site.app.settings.previous_secret_idle);
        assert_eq!(end().await.status, 204);
        assert_eq!(site.grant(agent, &old).await.status, 401);
        assert_eq!(site.grant(agent, &reply.secret()).await.status, 200);
    }
}

/// By itself, with `END_IDLE_OVERLAPS`, and on the trail as an end by hand is.
#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_ends_when_its_previous_secret_is_idle() {
    for mut site in sites().await {
        let agent = site.agent("a@agents.example").await;
        let (credential, old) = site.credential(agent).await;
        let path = format!("/agents/{agent}/credentials/{credential}");
        let reply = site.call("POST", &format!("{path}/rotate"), json!({ "overlapSeconds": 25_200 })).await;
        site.clock.advance(HOUR);
        assert_eq!(site.grant(agent, &old).await.status, 200);
        site.app.life().write_uses().await;
        site.clock.advance(2 * HOUR);
        overlaps::round(&site.app).await;
        assert_eq!(site.grant(agent, &old).await.status, 200, "it is switched off");

        site.app.life().write_uses().await;
        site.change(|app| app.settings.end_idle_overlaps = 2 * HOUR);
        site.clock.advance(2 * HOUR);
        overlaps::round(&site.app).await;
        let previous = async |site: &Site| site.row(agent, credential).await.secret.previous;
        assert!(previous(&site).await.is_some(), "the minute in which others write is left");
        let kept = Arc::clone(&site.app.repos.usage);
        site.change(|app| app.repos.usage = Arc::new(Unreadable));
        site.clock.advance(Duration::from_secs(120));
        overlaps::round(&site.app).await;
        assert!(previous(&site).await.is_some(), "nothing is known of its use");
        site.change(|app| app.repos.usage = kept);
        overlaps::round(&site.app).await;
        assert!(previous(&site).await.is_none());
        assert_eq!(site.grant(agent, &old).await.status, 401);
        assert_eq!(site.grant(agent, &reply.secret()).await.status, 200);
        let events = site.get(&format!("/audit?agentId={agent}&action=credential.rotated")).await.json();
        let ended = &events["data"][0]["metadata"];
        assert_eq!(
            (&ended["ended"], &ended["reason"], &ended["actor"]),
            (&json!("previous"), &json!("idle"), &json!("server"))
        );
    }
}

/// Usage that cannot be read.
struct Unreadable;

#[async_trait]
impl UsageRepo for Unreadable {
    async fn note_uses(&self, _: &[Use]) -> Result<()> {
        Err(RepoError::Unavailable { during: "usage", source: "out of reach".into() })
    }

    async fn deadlines(&self, _: Timestamp, _: Timestamp, _: Since) -> Result<Deadlines> {
        Err(RepoError::Unavailable { during: "usage", source: "out of reach".into() })
    }

    async fn usage(&self, _: &[Uuid]) -> Result<HashMap<Uuid, Usage>> {
        Err(RepoError::Unavailable { during: "usage", source: "out of reach".into() })
    }

    async fn created(&self, _: &[Uuid]) -> Result<HashMap<Uuid, Timestamp>> {
        Err(RepoError::Unavailable { during: "usage", source: "out of reach".into() })
    }
}

/// Its commit is done, and nobody could show the secret later.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_is_shown_although_its_last_use_cannot_be_read() {
    let mut site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let (credential, _) = site.credential(agent).await;
    site.change(|app| app.repos.usage = Arc::new(Unreadable));
    let reply = site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(site.grant(agent, &reply.secret()).await.status, 200);
    let path = format!("/agents/{agent}/credentials/{credential}/previous?force=true");
    site.call("POST", &format!("/agents/{agent}/credentials/{credential}/rotate"), json!({ "overlapSeconds": 60 }))
        .await;
    assert_eq!(site.call("DELETE", &path, Value::Null).await.status, 204, "whoever forces it does not ask who uses it");
}

/// In the log and the metrics, before it is an outage.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_in_use_that_expire_soon_are_counted() {
    for site in sites().await {
        let idle = site.agent("idle@agents.example").await;
        let (used, later) = (site.agent("used@agents.example").await, site.agent("later@agents.example").await);
        let mut secrets = Vec::new();
        for (agent, days) in [(idle, 6), (used, 6), (later, 20)] {
            let until = site.app.now().plus(days * DAY).to_string();
            let made = site.call("POST", &format!("/agents/{agent}/credentials"), json!({ "expiresAt": until })).await;
            secrets.push((agent, made.json()["credentialId"].as_str().unwrap().to_owned(), made.secret()));
        }
        for (agent, _, secret) in &secrets[1..] {
            assert_eq!(site.grant(*agent, secret).await.status, 200);
        }
        let rotation = format!("/agents/{later}/credentials/{}/rotate", secrets[2].1);
        assert_eq!(site.call("POST", &rotation, json!({ "overlapSeconds": 86_400 })).await.status, 200);
        site.app.life().write_uses().await;
        let counted = async || {
            census::credentials(&site.app).await;
            let text = site.app.metrics.render();
            [
                "expiring{used=\"true\"}",
                "expiring{used=\"false\"}",
                "overlapping{used=\"true\"}",
                "overlapping{used=\"false\"}",
            ]
            .map(|name| {
                text.lines()
                    .find_map(|line| line.strip_prefix(&format!("agentidp_credentials_{name} ")))
                    .map(str::to_owned)
            })
            .map(|count| count.unwrap_or_else(|| panic!("{text}")).parse::<u32>().unwrap())
        };
        assert_eq!(counted().await, [1, 1, 1, 0]);
        site.clock.advance(DAY + Duration::from_secs(1));
        assert_eq!(counted().await, [0, 2, 0, 0], "not used today, and the overlap is over");
        site.clock.advance(5 * DAY);
        assert_eq!(counted().await, [0, 0, 0, 0], "those that have expired are no news");
    }
}

/// The policy did not have its way.
#[tokio::test(flavor = "multi_thread")]
async fn overlaps_that_should_have_been_ended_are_counted() {
    for mut site in sites().await {
        let agent = site.agent("a@agents.example").await;
        let (credential, _) = site.credential(agent).await;
        let rotation = format!("/agents/{agent}/credentials/{credential}/rotate");
        assert_eq!(site.call("POST", &rotation, json!({ "overlapSeconds": 6 * 86_400 })).await.status, 200);
        let overdue = async |site: &Site| {
            census::credentials(&site.app).await;
            let text = site.app.metrics.render();
            let line = text.lines().find_map(|line| line.strip_prefix("agentidp_overlaps_overdue "));
            line.unwrap_or_else(|| panic!("{text}")).parse::<u32>().unwrap()
        };
        site.clock.advance(2 * DAY);
        assert_eq!(overdue(&site).await, 0, "no policy, none is late");
        site.change(|app| app.settings.end_idle_overlaps = 2 * DAY);
        assert_eq!(overdue(&site).await, 0, "a look may still come");
        site.clock.advance(DAY);
        assert_eq!(overdue(&site).await, 1);
        overlaps::round(&site.app).await;
        assert_eq!(overdue(&site).await, 0);
    }
}

/// The last minute is not lost when a server stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_writes_what_it_has_noted() {
    let site = Site::build_on_postgres(|_| {}).await;
    let agent = site.agent("a@agents.example").await;
    let (_, secret) = site.credential(agent).await;
    assert_eq!(site.grant(agent, &secret).await.status, 200);
    assert_eq!(used(&site, agent).await[0], Value::Null);
    let stop = CancellationToken::new();
    stop.cancel();
    site.app.life().keep_usage(stop.cancelled()).await;
    assert_eq!(used(&site, agent).await[0], at(&site));
}
