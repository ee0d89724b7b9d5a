//! `Idempotency-Key`: a request that comes again makes nothing twice, and nothing is lost with its answer.

mod races;

use std::time::Duration;

use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::domain::Scopes;
use agentidp_server::domain::idempotency::Claim;
use agentidp_server::tokens::OPERATOR;
use agentidp_server::workers::retention;
use serde_json::json;
use uuid::Uuid;

use crate::site::{Reply, Site, use_vault};
use crate::support::{self, bao::Mount};

/// A POST of the operator with a key; `path` is below `/api/v1`.
async fn post(site: &Site, key: &str, path: &str) -> Reply {
    site.keyed(&site.operator, key, path, "").await
}

fn credentials(agent: Uuid) -> String {
    format!("/agents/{agent}/credentials")
}

fn rotation(agent: Uuid, credential: Uuid) -> String {
    format!("/agents/{agent}/credentials/{credential}/rotate")
}

/// Why a secret is not shown again.
fn reason(reply: &Reply) -> String {
    assert_eq!(reply.failure(), (409, "IDEMPOTENCY_SECRET_NOT_SHOWN".to_owned()), "{reply:?}");
    reply.json()["details"]["reason"].as_str().unwrap().to_owned()
}

async fn digests() -> [Site; 2] {
    [Site::bcrypt().await, Site::build_on_postgres(|_| {}).await]
}

async fn vaults(mount: &Mount, faults: &FaultLayer) -> [Site; 2] {
    [Site::vault(mount, faults).await, Site::build_on_postgres(|app| use_vault(app, mount, faults)).await]
}

async fn version(mount: &Mount, agent: Uuid, credential: Uuid) -> u64 {
    let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", mount.name);
    support::bao().read_root(&path).await.unwrap().version.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_vault_is_answered_again_and_written_once() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    for site in vaults(&mount, &faults).await {
        let agent = site.agent("a@agents.example").await;
        let created = post(&site, "k1", &credentials(agent)).await;
        assert_eq!((created.status, created.is_replay()), (201, false));
        let id = created.id("credentialId");
        site.granted(agent, &created.secret()).await;
        site.tick();
        for _ in 0..2 {
            let again = post(&site, "k1", &credentials(agent)).await;
            assert_eq!((again.status, again.is_replay(), again.json()), (201, true, created.json()));
            assert_eq!(again.headers["cache-control"], "no-store");
        }
        assert_eq!((site.rows(agent).await.len(), version(&mount, agent, id).await), (1, 1));

        let rotated = post(&site, "k2", &rotation(agent, id)).await;
        let again = post(&site, "\"k2\"", &rotation(agent, id)).await;
        assert_eq!((again.status, again.is_replay(), again.json()), (200, true, rotated.json()));
        assert_eq!(version(&mount, agent, id).await, 2);
        assert_eq!(reason(&post(&site, "k1", &credentials(agent)).await), "changed");
        let kinds = site.actions(agent).await;
        assert_eq!(kinds.iter().filter(|kind| kind.starts_with("credential.")).count(), 2, "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_vault_cannot_give_is_an_outage() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    let site = Site::vault(&mount, &faults).await;
    let agent = site.agent("a@agents.example").await;
    let id = post(&site, "k", &credentials(agent)).await.id("credentialId");
    let path = format!("{}/data/agentidp/agents/{agent}/credentials/{id}", mount.name);
    support::bao().soft_delete(&path).await;
    let again = post(&site, "k", &credentials(agent)).await;
    assert_eq!(again.failure(), (500, "VAULT_READ_ERROR".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_is_replaced_until_its_secret_is_used() {
    for site in digests().await {
        let agent = site.agent("a@agents.example").await;
        let created = post(&site, "k1", &credentials(agent)).await;
        let id = created.id("credentialId");
        let mut last = created.secret();
        for _ in 0..2 {
            site.tick();
            let again = post(&site, "k1", &credentials(agent)).await;
            assert_eq!((again.status, again.is_replay(), again.id("credentialId")), (201, true, id));
            assert_eq!(site.grant(agent, &last).await.status, 401, "the one that went astray");
            last = again.secret();
        }
        assert_eq!(site.rows(agent).await.len(), 1);
        site.granted(agent, &last).await;
        let used = post(&site, "k1", &credentials(agent)).await;
        assert_eq!((reason(&used).as_str(), &used.json()["details"]["credentialId"]), ("used", &json!(id)));
        site.granted(agent, &last).await;

        let rotated = post(&site, "k2", &rotation(agent, id)).await;
        let again = post(&site, "k2", &rotation(agent, id)).await;
        assert_eq!((again.status, again.is_replay(), again.id("credentialId")), (200, true, id));
        assert_eq!(site.grant(agent, &rotated.secret()).await.status, 401);
        assert_eq!(site.rotate(agent, id).await.status, 200);
        assert_eq!(reason(&post(&site, "k2", &rotation(agent, id)).await), "changed");
        assert_eq!(site.revoke(agent, id).await.status, 204);
        assert_eq!(reason(&post(&site, "k2", &rotation(agent, id)).await), "revoked");
    }
}

/// The answer of a rotation with an overlap is lost. Whoever still has the old secret goes on with it, and is no user of the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_whose_answer_was_lost_ends_no_overlap() {
    for site in digests().await {
        let agent = site.agent("a@agents.example").await;
        let (id, old) = site.credential(agent).await;
        let rotate = async || {
            let body = json!({ "overlapSeconds": 3600 }).to_string();
            site.keyed(&site.operator, "k", &rotation(agent, id), &body).await
        };
        let lost = rotate().await;
        site.granted(agent, &old).await;
        site.tick();
        let again = rotate().await;
        assert_eq!((again.status, again.is_replay()), (200, true), "{again:?}");
        let ends = |reply: &Reply| reply.json()["previousExpiresAt"].clone();
        assert_eq!(ends(&again), ends(&lost));
        for (secret, status) in [(&old, 200), (&lost.secret(), 401), (&again.secret(), 200)] {
            assert_eq!(site.grant(agent, secret).await.status, status);
        }
        assert_eq!(reason(&rotate().await), "used");
        site.granted(agent, &old).await;
        site.clock.advance(Duration::from_secs(3600));
        assert_eq!(site.grant(agent, &old).await.status, 401);
    }
}

#[tokio::test]
async fn the_right_secret_of_a_suspended_agent_counts_as_used() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let created = post(&site, "k", &credentials(agent)).await;
    let status = async |status: &str| {
        site.call("PATCH", &format!("/agents/{agent}"), json!({ "status": status })).await;
    };
    assert_eq!(site.grant(agent, "sk_live_wrong").await.status, 401);
    assert!(site.rows(agent).await[0].secret.awaits_use, "a wrong secret is no use");
    status("suspended").await;
    assert_eq!(site.grant(agent, &created.secret()).await.status, 403);
    status("active").await;
    assert_eq!(reason(&post(&site, "k", &credentials(agent)).await), "used");
}

/// The first login writes that it was there; later ones, and those of secrets that were made without a key, write nothing.
#[tokio::test]
async fn a_use_is_written_once() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let writes = || {
        let name = "agentidp_db_query_duration_seconds_count{operation=\"changes.used\"} ";
        let text = site.app.metrics.render();
        text.lines().find_map(|line| line.strip_prefix(name)).map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let (_, plain) = site.credential(agent).await;
    site.granted(agent, &plain).await;
    assert_eq!(writes(), 0);
    let created = post(&site, "k", &credentials(agent)).await;
    for _ in 0..3 {
        site.granted(agent, &created.secret()).await;
    }
    assert_eq!(writes(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_belongs_to_one_request() {
    for site in digests().await {
        let (agent, other) = (site.agent("a@agents.example").await, site.agent("b@agents.example").await);
        let id = post(&site, "k", &credentials(agent)).await.id("credentialId");
        for (path, body) in
            [(credentials(agent), "{}"), (credentials(other), ""), (rotation(agent, id), ""), (credentials(agent), " ")]
        {
            let reply = site.keyed(&site.operator, "k", &path, body).await;
            assert_eq!(reply.failure(), (422, "IDEMPOTENCY_KEY_REUSED".to_owned()), "{path} {body:?}");
        }
        assert_eq!((site.rows(agent).await.len(), site.rows(other).await.len()), (1, 0));
        // The same in another spelling.
        let spelled = credentials(agent).replace(&agent.to_string(), &agent.to_string().to_uppercase());
        assert!(post(&site, "k", &spelled).await.is_replay());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_belongs_to_one_caller() {
    for site in digests().await {
        let agent = site.agent("a@agents.example").await;
        let token = site.token(agent);
        let mine = post(&site, "k", &credentials(agent)).await;
        let theirs = site.keyed(&token, "k", &credentials(agent), "").await;
        assert_eq!((theirs.status, theirs.is_replay()), (201, false));
        assert_ne!(mine.id("credentialId"), theirs.id("credentialId"));
        // Another token of the same caller is the same caller.
        site.tick();
        let again = site.keyed(&site.token(agent), "k", &credentials(agent), "").await;
        assert_eq!((again.is_replay(), again.id("credentialId")), (true, theirs.id("credentialId")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_request_may_be_tried_again_at_once() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    for site in vaults(&mount, &faults).await {
        let agent = site.agent("a@agents.example").await;
        faults.once(Operation::Store, Fault::Fail(ErrorKind::Unavailable));
        assert_eq!(post(&site, "k", &credentials(agent)).await.failure(), (500, "VAULT_WRITE_ERROR".to_owned()));
        let created = post(&site, "k", &credentials(agent)).await;
        assert_eq!((created.status, created.is_replay()), (201, false));
        let id = created.id("credentialId");
        faults.once(Operation::Rotate, Fault::Fail(ErrorKind::Unavailable));
        assert_eq!(post(&site, "r", &rotation(agent, id)).await.status, 500);
        assert_eq!(post(&site, "r", &rotation(agent, id)).await.status, 200);
        assert_eq!((site.rows(agent).await.len(), version(&mount, agent, id).await), (1, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_day_the_key_is_new() {
    for site in digests().await {
        let agent = site.agent("a@agents.example").await;
        let first = post(&site, "k", &credentials(agent)).await.id("credentialId");
        retention::round(&site.app).await;
        site.clock.advance(Claim::RETENTION - Duration::from_millis(1));
        let operator = site.app.tokens.issue_now(OPERATOR, Scopes::ALL, Duration::from_secs(7 * 86_400), true);
        let operator = operator.unwrap().token;
        retention::round(&site.app).await;
        let again = site.keyed(&operator, "k", &credentials(agent), "").await;
        assert_eq!((again.is_replay(), again.id("credentialId")), (true, first));
        site.tick();
        retention::round(&site.app).await;
        let new = site.keyed(&operator, "k", &credentials(agent), "").await;
        assert_eq!((new.status, new.is_replay()), (201, false), "{new:?}");
        assert_ne!(new.id("credentialId"), first);
        assert_eq!(site.app.repos.idempotency.prune(site.app.now()).await.unwrap(), 0, "the new one is kept");
        site.clock.advance(Claim::RETENTION);
        assert_eq!(site.app.repos.idempotency.prune(site.app.now()).await.unwrap(), 1);
        let pruned = "agentidp_db_query_duration_seconds_count{operation=\"idempotency.prune\"} 5";
        assert!(site.app.metrics.render().contains(pruned), "twice by us, and three times by the background");
    }
}

/// Time goes on between the first time and the retry, and the agent may be suspended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_carried_out_is_not_judged_anew() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    for site in [Site::bcrypt().await, Site::vault(&mount, &faults).await] {
        let agent = site.agent("a@agents.example").await;
        let path = credentials(agent);
        let end = site.app.now().plus(Duration::from_secs(60));
        let (creation, options) = (json!({ "expiresAt": end }), json!({ "expiresAt": end, "overlapSeconds": 60 }));
        let send = async |key: &str, path: &str, body: &serde_json::Value| {
            site.keyed(&site.operator, key, path, &body.to_string()).await
        };
        let status = async |status: &str| {
            site.call("PATCH", &format!("/agents/{agent}"), json!({ "status": status })).await;
        };
        assert_eq!(send("create", &path, &creation).await.status, 201);
        let rotation = rotation(agent, site.credential(agent).await.0);
        assert_eq!(send("rotate", &rotation, &options).await.status, 200);

        status("suspended").await;
        for seconds in [1, 60] {
            site.clock.advance(Duration::from_secs(seconds));
            let again = [send("create", &path, &creation).await, send("rotate", &rotation, &options).await];
            let found = again.each_ref().map(|reply| (reply.status, reply.is_replay()));
            assert_eq!(found, [(201, true), (200, true)], "{seconds}: {again:?}");
            assert!(again.iter().all(|reply| reply.json()["expiresAt"] == json!(end)), "{again:?}");
        }

        assert_eq!(send("new", &path, &creation).await.fields(), ["expiresAt"]);
        assert_eq!(send("new", &path, &json!({})).await.failure(), (403, "AGENT_NOT_ACTIVE".to_owned()));
        status("active").await;
        assert_eq!(send("new", &path, &json!({})).await.status, 201, "a refusal leaves the key free");
        assert_eq!(send("other", &rotation, &options).await.fields(), ["expiresAt"]);
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@agents.example").await;
    let too_long = "k".repeat(256);
    for key in ["", "\"", "a b", &too_long] {
        let reply = post(&site, key, &credentials(agent)).await;
        assert_eq!(reply.fields(), ["Idempotency-Key"], "{key}");
        let reply = post(&site, key, &rotation(agent, Uuid::new_v4())).await;
        assert_eq!(reply.fields(), ["Idempotency-Key"], "{key}");
    }
    assert!(site.rows(agent).await.is_empty());
}

/// A credential that moved to Vault by a retry is from then on read back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_moves_to_vault_when_it_is_replaced() {
    let url = support::postgres().fresh_database().await;
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    let before = Site::build_at(&url, |_| {}).await;
    let agent = before.agent("a@agents.example").await;
    let id = post(&before, "k", &credentials(agent)).await.id("credentialId");
    let site = Site::build_at(&url, |app| use_vault(app, &mount, &faults)).await;
    let moved = post(&site, "k", &credentials(agent)).await;
    assert_eq!((moved.status, moved.id("credentialId"), version(&mount, agent, id).await), (201, id, 1));
    site.granted(agent, &moved.secret()).await;
    let again = post(&site, "k", &credentials(agent)).await;
    assert_eq!((again.json(), version(&mount, agent, id).await), (moved.json(), 1));
    assert_eq!(site.app.repos.changes.pending().await.unwrap(), 0);
    // Vault off again: an outage, and no other secret.
    assert_eq!(post(&before, "k", &credentials(agent)).await.failure(), (500, "VAULT_READ_ERROR".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_kept_of_a_key() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    let agent = site.agent("a@agents.example").await;
    let created = post(&site, "k", &credentials(agent)).await;
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT k::text FROM idempotency_keys k").fetch_all(&mut connection).await.unwrap();
    let row = site.rows(agent).await.remove(0);
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].contains(&created.secret()) && !rows[0].contains(&row.secret.secret_hash.unwrap()), "{rows:?}");
}
