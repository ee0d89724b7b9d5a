//! What senders may ask for that have not proved who they are, and what operators and introspection may use up.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agentidp_server::domain::Scopes;
use agentidp_server::rate_limit::RateLimiter;
use agentidp_server::routes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqlitePool};
use uuid::Uuid;

use crate::log::Log;
use crate::requests::grant_form;
use crate::site::{Reply, Site};
use crate::support::process::until;

const HERE: &str = "192.0.2.7";
const ELSEWHERE: &str = "198.51.100.1";

/// A server with this rate for each client: ten times as many failures from an address.
async fn limited(rate: u32) -> Site {
    Site::build(|app| app.limiter = RateLimiter::new(rate, Arc::clone(&app.clock))).await
}

/// A token request from `address`.
async fn login(site: &Site, address: &str, client_id: Uuid, secret: &str) -> Reply {
    let request = hyper::Request::post("/api/v1/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    from(site, address, request.body(Full::from(grant_form(client_id, secret))).unwrap()).await
}

async fn from(site: &Site, address: &str, request: hyper::Request<Full<bytes::Bytes>>) -> Reply {
    let peer = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 4711);
    let (head, body) = routes::handle(&site.app, request, peer).await.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Reply { status: head.status.as_u16(), headers: head.headers, text }
}

#[tokio::test]
async fn an_address_may_fail_so_often_whatever_ids_it_claims() {
    let site = limited(5).await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let late = site.agent("late@example.com").await;
    let (_, late_secret) = site.credential(late).await;
    assert_eq!(login(&site, HERE, agent, &secret).await.status, 200);
    for network in [[HERE, HERE], ["2001:db8::1", "2001:db8::ffff:2"]] {
        let mut answers = Vec::new();
        for number in 0..60 {
            answers.push(login(&site, network[number % 2], Uuid::new_v4(), "guess").await);
        }
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(401), count(429)), (51, 9), "the one that finds the bucket empty closes it");
        assert!(answers[59].header("retry-after").is_some());
    }
    assert_eq!(login(&site, ELSEWHERE, Uuid::new_v4(), "guess").await.status, 401, "another address has its own");
    assert_eq!(login(&site, "2001:db8:0:1::1", Uuid::new_v4(), "guess").await.status, 401, "another network, too");
    assert_eq!(login(&site, ELSEWHERE, agent, &secret).await.status, 200);
    assert_eq!(login(&site, HERE, agent, &secret).await.status, 200, "it has proved itself from there");
    assert_eq!(login(&site, HERE, late, &late_secret).await.status, 429, "this one has not");
    site.clock.advance(Duration::from_secs(2));
    assert_eq!(login(&site, HERE, late, &late_secret).await.status, 200);
}

#[tokio::test]
async fn failures_of_unknown_clients_are_counted_and_sampled_and_those_of_known_ones_are_all_recorded() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    for _ in 0..30 {
        assert_eq!(login(&site, HERE, Uuid::new_v4(), "guess").await.status, 401);
        assert_eq!(login(&site, HERE, agent, "guess").await.status, 401);
    }
    let failures =
        async || site.get("/audit?action=auth.failed&limit=200").await.json()["data"].as_array().unwrap().clone();
    let of = |events: &[Value], agent_id: Value| events.iter().filter(|event| event["agentId"] == agent_id).count();
    let events = failures().await;
    assert_eq!((of(&events, json!(agent)), of(&events, Value::Null)), (30, 10));
    let metrics = site.app.metrics.render();
    for line in [
        "agentidp_unknown_client_failures_total{recorded=\"true\"} 10",
        "agentidp_unknown_client_failures_total{recorded=\"false\"} 20",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    // A refusal without an event waits for a commit, as one with an event does.
    let database = SqlitePool::connect(&site.url).await.unwrap();
    let waited: i64 = sqlx::query_scalar("SELECT count(*) FROM unrecorded").fetch_one(&database).await.unwrap();
    assert_eq!(waited, 20);

    site.clock.advance(Duration::from_secs(60));
    login(&site, HERE, Uuid::new_v4(), "guess").await;
    assert_eq!(failures().await[0]["metadata"]["unrecorded"], 20, "the next sample says how many were not");
}

/// A day of a flood from one address: 86,400 lines at most beside the first thousand.
#[tokio::test]
async fn requests_of_strangers_get_so_many_lines_of_the_log() {
    let (log, _listening) = Log::of_this_thread();
    let site = Site::bcrypt().await;
    let ask = async |address: &str| {
        from(&site, address, hyper::Request::get("/nowhere").body(Full::default()).unwrap()).await;
    };
    for _ in 0..1100 {
        ask(HERE).await;
    }
    ask(ELSEWHERE).await;
    site.clock.advance(Duration::from_secs(1));
    ask(HERE).await;
    let text = log.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered: Vec<&Value> = lines.iter().filter(|line| line["fields"]["message"] == "answered").collect();
    assert_eq!(answered.len(), 1002);
    assert_eq!(answered[1000]["fields"]["unlogged"], 100, "it says how many got none");
}

/// The same for guesses at a client that there is. The trail has all of them.
#[tokio::test]
async fn guesses_at_a_known_client_get_so_many_lines_and_are_all_recorded() {
    let (log, _listening) = Log::of_this_thread();
    let site = Site::build(|app| app.limiter = RateLimiter::new(0, Arc::clone(&app.clock))).await;
    let agent = site.agent("a@example.com").await;
    for _ in 0..600 {
        assert_eq!(login(&site, HERE, agent, "guess").await.status, 401);
    }
    let text = log.text();
    assert_eq!(text.matches("a client failed to authenticate").count(), 500, "half of a thousand lines");
    assert_eq!(text.matches("\"path\":\"/api/v1/token\"").count(), 500);
    assert_eq!(site.get("/audit?action=auth.failed").await.json()["total"], 600);
    assert_eq!(login(&site, ELSEWHERE, agent, "guess").await.status, 401);
    assert_eq!(log.text().matches("a client failed to authenticate").count(), 501, "another address has its own");
}

#[tokio::test]
async fn introspection_has_a_budget_of_its_own() {
    let site = limited(3).await;
    let agent = site.agent("a@example.com").await;
    let token = site.token(agent);
    let introspect = async || site.about_token(&token, "introspect", &format!("token={token}")).await;
    for _ in 0..60 {
        assert_eq!(introspect().await.status, 200);
    }
    for expected in [200, 200, 200, 429] {
        assert_eq!(site.send(&token, "GET", "/agents", "").await.status, expected);
    }
    for _ in 60..180 {
        assert_eq!(introspect().await.status, 200);
    }
    assert_eq!(introspect().await.status, 429, "sixty times the client's");
}

#[tokio::test]
async fn each_operator_has_a_budget_and_a_name_in_the_trail() {
    let site = limited(2).await;
    let named = |name: &str| {
        let ttl = Duration::from_secs(3600);
        site.app.tokens.issue_now(&format!("operator:{name}"), Scopes::ALL, ttl, true).unwrap().token
    };
    let (alice, bob) = (named("alice"), named("bob"));
    let agent = site.agent("a@example.com").await;
    let (credential, _) = site.credential(agent).await;
    let (other, _) = site.credential(agent).await;
    let rotate = format!("/agents/{agent}/credentials/{credential}/rotate");
    for _ in 0..120 {
        assert_eq!(site.send(&alice, "POST", &rotate, "").await.status, 200);
    }
    assert_eq!(site.send(&alice, "POST", &rotate, "").await.status, 429, "sixty times the client's");
    assert_eq!(site.send(&bob, "POST", &rotate, "").await.status, 200, "another operator has another one");
    let audit = async |query: &str| site.get(&format!("/audit?{query}")).await.json();
    assert_eq!(audit("actor=operator:alice").await["total"], 120);
    let found = audit("actor=operator:bob").await;
    assert_eq!((&found["total"], &found["data"][0]["metadata"]["actor"]), (&json!(1), &json!("operator:bob")));
    assert_eq!(audit(&format!("credentialId={credential}")).await["total"], 122, "its creation, and the rotations");
    assert_eq!(audit(&format!("credentialId={other}&actor=operator")).await["total"], 1);
    assert_eq!(site.get("/audit?credentialId=x").await.fields(), ["credentialId"]);
}

#[tokio::test]
async fn each_proxy_that_is_not_declared_is_named_once() {
    let (log, _listening) = Log::of_this_thread();
    let site = Site::build(|app| app.settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]).await;
    let mut expected = 0;
    for (peer, header, is_told) in [
        ("10.0.0.1", "x-forwarded-for", false),
        (HERE, "x-forwarded-for", true),
        (HERE, "x-forwarded-for", false),
        (HERE, "forwarded", false),
        (ELSEWHERE, "forwarded", true),
        ("198.51.100.2", "x-real-ip", true),
        // It is declared, and sends nothing that is read.
        ("10.0.0.2", "x-real-ip", true),
        ("10.0.0.2", "x-real-ip", false),
        // A flood with forged headers is no flood of lines.
        ("198.51.100.3", "forwarded", false),
    ] {
        let request = hyper::Request::get("/nowhere").header(header, "for=203.0.113.9");
        from(&site, peer, request.header(AUTHORIZATION, "Bearer x").body(Full::default()).unwrap()).await;
        expected += usize::from(is_told);
        assert_eq!(log.text().matches("TRUSTED_PROXIES").count(), expected, "{peer} {header} {}", log.text());
    }
    assert!(log.text().contains("\"header\":\"x-real-ip\""), "{}", log.text());
}

#[tokio::test]
async fn a_refused_token_has_its_reason_in_the_log_and_its_cause_in_the_metrics() {
    let (log, _listening) = Log::of_this_thread();
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let token = site.token(agent);
    site.clock.advance(Duration::from_secs(86_400));
    for (bearer, reason) in [(token.as_str(), "the token has expired"), ("a.b.c", "not issued by this server")] {
        assert_eq!(site.send(bearer, "GET", "/agents", "").await.status, 401);
        assert!(log.text().lines().last().unwrap().contains(reason), "{}", log.text());
    }
    // The header of these has no form: they are no tokens, and refused all the same.
    for header in ["Bearer", "Bearer a b", "Bearer a,b"] {
        assert_eq!(site.bare("GET", "/api/v1/agents", &[("authorization", header)]).await.status, 401);
    }
    assert_eq!(site.bare("GET", "/api/v1/agents", &[]).await.status, 401);
    let metrics = site.app.metrics.render();
    for (cause, count) in [("expired", 1), ("invalid", 4)] {
        let line = format!("agentidp_tokens_refused_total{{cause=\"{cause}\"}} {count}");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn an_agent_may_have_so_many_active_credentials() {
    let site = Site::build(|app| app.settings.credential_limit = Some(2)).await;
    let agent = site.agent("a@example.com").await;
    let (first, _) = site.credential(agent).await;
    site.credential(agent).await;
    let path = format!("/agents/{agent}/credentials");
    let refused = site.call("POST", &path, Value::Null).await;
    assert_eq!(refused.failure(), (403, "FREE_TIER_LIMIT_EXCEEDED".to_owned()));
    assert_eq!(refused.json()["details"]["limit"], 2);
    assert_eq!(site.revoke(agent, first).await.status, 204);
    site.credential(agent).await;
}

/// Requests at once see one another's rows only once those are committed (B11 of the field trial).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_once_make_no_more_credentials_than_an_agent_may_have() {
    let site = Site::build_on_postgres(|app| app.settings.credential_limit = Some(3)).await;
    let agent = site.agent("a@example.com").await;
    let path = format!("/agents/{agent}/credentials");
    let (key, first) = ("the-first", site.keyed(&site.operator, "the-first", &path, "").await);
    let answers = futures_util::future::join_all((0..12).map(|_| site.call("POST", &path, Value::Null))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!((first.status, made), (201, 2), "{answers:?}");
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 403)), "{answers:?}");
    assert_eq!(site.rows(agent).await.len(), 3);
    let again = site.keyed(&site.operator, key, &path, "").await;
    assert!(again.status == 201 && again.is_replay(), "what was made under a key is no new credential: {again:?}");
}

/// Deep pages of one agent took every connection to the database (B8 of the field trial).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_take_long_keep_nobody_else_waiting() {
    let url = crate::support::postgres().fresh_database().await;
    let site = Arc::new(Site::build_at(&url, |_| {}).await);
    let agent = site.agent("a@example.com").await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE").execute(&mut connection).await.unwrap();
    let lists: Vec<_> = (0..16)
        .map(|_| {
            let site = Arc::clone(&site);
            tokio::spawn(async move { site.get("/audit?page=1000").await.status })
        })
        .collect();
    let blocked =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("the lists to wait", async || {
        let mut observer = PgConnection::connect(&url).await.unwrap();
        sqlx::query_scalar::<_, i64>(blocked).fetch_one(&mut observer).await.unwrap() == 2
    })
    .await;
    for _ in 0..20 {
        assert_eq!(site.get(&format!("/agents/{agent}")).await.status, 200);
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
    for list in lists {
        assert_eq!(list.await.unwrap(), 200);
    }
}
