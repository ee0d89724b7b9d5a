//! Changes that overtake a login: once one is acknowledged, no token goes out that it forbids. The
//! change is made at each wait of the login's way in turn.

use std::sync::Arc;

use agentidp_secrets::backends::{Bcrypt, KeyedDigest};
use agentidp_secrets::lifecycle::Freshness;
use agentidp_secrets::{MacKeys, SecretStore, stack};
use agentidp_secrets_sqlx::replicas::LeaseClock;
use agentidp_server::metrics::Metrics;
use agentidp_server::repo::{self, AuditMode};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::barrier::{Barrier, Point};
use super::requests::grant_form;
use super::site::{Reply, Site};
use super::support;
use super::support::process::until;

/// Logins that each kind of change overtakes.
const TRIES: usize = 100;

/// Without those of the last look, which reads nothing where rows are in memory and nothing has
/// changed.
const WAITS: [Point; 8] = [
    Point::BeforeRows,
    Point::AfterRows,
    Point::BeforeVerify,
    Point::AfterVerify,
    Point::BeforeAudit,
    Point::BeforeAuditCommit,
    Point::AfterAuditCommit,
    Point::AfterAudit,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Revoke,
    Suspend,
    Decommission,
    Rotate,
    /// Of the client's other credential.
    RotateOther,
}

/// A server whose logins can be overtaken, and the one that makes the changes.
struct Scene {
    site: Site,
    other: Arc<Site>,
    barrier: Barrier,
    _data: TempDir,
}

impl Scene {
    /// Both are one process: they share the repositories.
    async fn one_process(url: &str, capacity: usize) -> Self {
        Self::build(url, capacity, true).await
    }

    async fn on_sqlite() -> Self {
        let data = TempDir::new().unwrap();
        let url = format!("sqlite:{}", data.path().join("agentidp.sqlite").display());
        Self { _data: data, ..Self::one_process(&url, 1000).await }
    }

    async fn build(url: &str, capacity: usize, one_process: bool) -> Self {
        let base = Site::build_at(url, |_| {}).await;
        let (barrier, metrics) = (Barrier::default(), Arc::new(Metrics::new()));
        let repos = repo::open_observed(url, Arc::clone(&base.clock) as _, Arc::clone(&metrics) as _).await.unwrap();
        let repos = repos.with_row_cache(
            url,
            capacity,
            LeaseClock::of(Arc::clone(&base.clock) as _),
            Arc::clone(&metrics) as _,
        );
        let repos = barrier.in_the_commit(repos.unwrap()).with_group_commit(AuditMode::Sync, metrics);
        let site = base.again(barrier.around(repos.clone()), |app| {
            let bcrypt = Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
            app.store = SecretStore::builder(stack(bcrypt, &[&barrier])).clock(Arc::clone(&app.clock)).build().unwrap();
        });
        let other = if one_process { base.again(repos, |_| {}) } else { base };
        Self { site, other: Arc::new(other), barrier, _data: TempDir::new().unwrap() }
    }

    /// A login of a client that this server has not seen yet, which is overtaken at `point`.
    async fn overtaken(&self, point: Point, change: Change) -> (Uuid, Reply) {
        let agent = self.other.agent(&format!("{}@example.com", Uuid::new_v4())).await;
        let (credential, secret) = self.other.credential(agent).await;
        let (another, _) = self.other.credential(agent).await;
        let other = Arc::clone(&self.other);
        self.barrier.at(point, async move {
            let path = format!("/agents/{agent}");
            let (reply, expected) = match change {
                Change::Revoke => (other.revoke(agent, credential).await, 204),
                Change::Suspend => (other.call("PATCH", &path, json!({ "status": "suspended" })).await, 200),
                Change::Decommission => (other.call("DELETE", &path, Value::Null).await, 204),
                Change::Rotate => (other.rotate(agent, credential).await, 200),
                Change::RotateOther => (other.rotate(agent, another).await, 200),
            };
            assert_eq!(reply.status, expected, "{reply:?}");
        });
        let reply = self.site.grant(agent, &secret).await;
        assert!(self.barrier.is_spent(), "the login never came to {point:?}");
        (agent, reply)
    }

    /// So many logins, overtaken at each of `points` in turn: none gets a token that it must not
    /// have.
    async fn overtake(&self, points: &[Point], change: Change, tries: usize) {
        for point in points.iter().copied().cycle().take(tries) {
            let (agent, reply) = self.overtaken(point, change).await;
            let expected = match change {
                Change::RotateOther => 200,
                Change::Suspend => 403,
                Change::Revoke | Change::Decommission | Change::Rotate => 401,
            };
            assert_eq!(reply.status, expected, "{change:?} {point:?}: {}", reply.text);
            if expected != 200 {
                let error = if expected == 403 { "unauthorized_client" } else { "invalid_client" };
                assert_eq!(reply.refusal(), (expected, error.to_owned()), "{change:?} {point:?}");
                self.trail_tells_of_the_refusal(agent, error).await;
            }
        }
    }

    /// A token that is on record and did not go out is named by the refusal.
    async fn trail_tells_of_the_refusal(&self, agent: Uuid, error: &str) {
        let of = async |action: &str| {
            let trail = self.other.get(&format!("/audit?agentId={agent}&action={action}")).await.json();
            trail["data"].as_array().unwrap().iter().map(|event| event["metadata"].clone()).collect::<Vec<_>>()
        };
        let (issued, failed) = (of("token.issued").await, of("auth.failed").await);
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(failed[0]["error"], error);
        assert_eq!(failed[0].get("tokenId"), issued.first().map(|event| &event["tokenId"]));
    }
}

const FORBIDDING: [Change; 4] = [Change::Revoke, Change::Suspend, Change::Decommission, Change::Rotate];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_goes_out_after_a_change_of_the_same_process_is_acknowledged() {
    let scene = Scene::on_sqlite().await;
    let points = [&WAITS[..], &[Point::BeforeLook, Point::InLook]].concat();
    for change in FORBIDDING {
        scene.overtake(&points, change, TRIES).await;
    }
    scene.overtake(&points, Change::RotateOther, points.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_goes_out_after_a_change_where_rows_are_in_memory() {
    let url = support::postgres().fresh_database().await;
    let scene = Scene::one_process(&url, 1000).await;
    let agent = scene.other.agent("first@example.com").await;
    let (_, secret) = scene.other.credential(agent).await;
    until("the lease", async || {
        let as_of = scene.site.app.repos.credentials.rows(agent, scene.site.app.now(), Freshness::Cached).await;
        scene.site.granted(agent, &secret).await;
        as_of.unwrap().from_memory
    })
    .await;
    for change in FORBIDDING {
        scene.overtake(&WAITS, change, TRIES).await;
    }
    scene.overtake(&WAITS, Change::RotateOther, WAITS.len()).await;
}

/// Without rows in memory; with them a change is heard of a moment later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_goes_out_after_a_change_of_another_server_where_rows_are_read() {
    let url = support::postgres().fresh_database().await;
    let scene = Scene::build(&url, 0, false).await;
    let points = [&WAITS[..], &[Point::BeforeLook]].concat();
    for change in FORBIDDING {
        scene.overtake(&points, change, TRIES / 4).await;
    }
    scene.overtake(&points, Change::RotateOther, points.len()).await;
}

/// Nobody knows whether the credential still counts: that is no refusal, and no token.
#[tokio::test]
async fn an_outage_of_the_last_look_is_an_outage() {
    let scene = Scene::on_sqlite().await;
    let agent = scene.other.agent("a@example.com").await;
    let (_, secret) = scene.other.credential(agent).await;
    let gone = scene.barrier.clone();
    scene.barrier.at(Point::AfterAudit, async move { gone.outage(true) });
    let reply = scene.site.grant(agent, &secret).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{reply:?}");
    assert!(!reply.text.contains("access_token"), "{reply:?}");
    assert_eq!(scene.other.actions(agent).await.iter().filter(|action| *action == "auth.failed").count(), 0);
    scene.barrier.outage(false);
    scene.site.granted(agent, &secret).await;
}

/// A credential that ends by time, while its login waits.
#[tokio::test]
async fn a_credential_that_expires_meanwhile_gets_no_token() {
    let scene = Scene::on_sqlite().await;
    let agent = scene.other.agent("a@example.com").await;
    let ends = scene.site.app.now().plus(std::time::Duration::from_secs(60));
    let path = format!("/agents/{agent}/credentials");
    let secret = scene.other.call("POST", &path, json!({ "expiresAt": ends })).await.secret();
    let clock = Arc::clone(&scene.site.clock);
    scene.barrier.at(Point::AfterAudit, async move { clock.advance(std::time::Duration::from_secs(60)) });
    assert_eq!(scene.site.grant(agent, &secret).await.refusal(), (401, "invalid_client".to_owned()));
}

/// The rows change and the secret stays the client's: the login goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_or_a_first_use_meanwhile_refuses_nobody() {
    let mut scene = Scene::on_sqlite().await;
    let keys = || MacKeys::parse("k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    let bcrypt = Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
    let store = SecretStore::builder(KeyedDigest::new(keys())).accepts(stack(bcrypt, &[&scene.barrier]));
    scene.site.change(|app| {
        app.store = store.selector_keys(keys()).clock(Arc::clone(&app.clock)).build().unwrap();
        app.upgrades = true;
    });
    for point in [Point::BeforeAudit, Point::AfterAuditCommit, Point::AfterAudit, Point::BeforeLook, Point::InLook] {
        let agent = scene.other.agent(&format!("{}@example.com", Uuid::new_v4())).await;
        let path = format!("/agents/{agent}/credentials");
        // Its first use is noted by the login.
        let made = scene.other.keyed(&scene.other.operator, &agent.to_string(), &path, "").await;
        let (credential, secret) = (made.id("credentialId"), made.secret());
        let other = Arc::clone(&scene.other);
        scene.barrier.at(point, async move {
            until("the upgrade", async || {
                let row = other.row(agent, credential).await;
                row.secret.secret_hash.unwrap().starts_with("$hmac-sha256$") && !row.secret.awaits_use
            })
            .await;
        });
        let reply = scene.site.token_form(grant_form(agent, &secret)).await;
        assert_eq!(reply.status, 200, "{point:?}: {}", reply.text);
        assert!(scene.barrier.is_spent(), "{point:?}");
    }
}
