//! Several at once, and each at the worst moment.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::testkit::FaultLayer;
use agentidp_server::domain::idempotency::{Claim, KeyedRequest, fingerprint};
use agentidp_server::domain::{Credential, SecretColumns};
use agentidp_server::repo::Claimed;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{credentials, digests, post, reason, rotation, version};
use crate::interposed::Interposed;
use crate::site::{Reply, Site, use_vault};
use crate::support;

/// A login that read the row before a retry replaced it does not get through with what was replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_and_a_replacement_exclude_each_other() {
    for site in digests().await {
        let agent = site.agent("a@agents.example").await;
        post(&site, "k", &credentials(agent)).await;
        let read_before = site.rows(agent).await.remove(0);
        let again = post(&site, "k", &credentials(agent)).await;
        let used = async |row: &Credential| site.app.repos.changes.used(&row.to_row().unwrap()).await.unwrap();
        assert!(!used(&read_before).await, "it was replaced");
        assert!(site.rows(agent).await[0].secret.awaits_use, "and the other is as unused as before");
        site.granted(agent, &again.secret()).await;
        let row = site.rows(agent).await.remove(0);
        assert!(used(&row).await && used(&row).await, "twice is fine");

        // The other way round: a retry that read the row before the login.
        post(&site, "other", &credentials(agent)).await;
        assert!(used(&unused(&site, agent).await).await);
        assert_eq!(reason(&post(&site, "other", &credentials(agent)).await), "used");
        // A key that is not kept has nothing to be replaced.
        let nobody = Claim::new(a_request("nobody's", &credentials(agent)), site.app.now());
        let mut tx = site.app.repos.changes.begin().await.unwrap();
        assert!(!tx.carry_out_anew(&nobody, &row, &row).await.unwrap());
    }
}

/// The same over HTTP: the row that the login has read is an old one by the time it has proved the secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_a_retry_overtakes_is_refused() {
    let url = support::postgres().fresh_database().await;
    let (mut reads, retries) = (None, Arc::new(Site::build_at(&url, |_| {}).await));
    let site = Site::build_at(&url, |app| reads = Some(Interposed::into_app(app))).await;
    let agent = site.agent("a@agents.example").await;
    let (first, path) = (post(&site, "k", &credentials(agent)).await, credentials(agent));
    let (replaced, fresh) = tokio::sync::oneshot::channel();
    reads.unwrap().after_a_read(async move { drop(replaced.send(post(&retries, "k", &path).await)) });
    assert_eq!(site.grant(agent, &first.secret()).await.status, 401);
    let fresh = fresh.await.unwrap();
    assert!(fresh.is_replay());
    site.granted(agent, &fresh.secret()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_is_not_joined_and_a_dead_one_is_taken_over() {
    for site in digests().await {
        let agent = site.agent("a@agents.example").await;
        let path = credentials(agent);
        let request = a_request("k", &path);
        let claim = Claim::new(request, site.app.now());
        let idempotency = &site.app.repos.idempotency;
        assert_eq!(idempotency.claim(&claim, site.app.now()).await.unwrap(), Claimed::Ours);
        assert_eq!(idempotency.claim(&claim, site.app.now()).await.unwrap(), Claimed::Ours, "its answer was lost");
        site.clock.advance(Claim::LIFE - Duration::from_millis(1));
        let reply = post(&site, "k", &path).await;
        assert_eq!(reply.failure(), (409, "IDEMPOTENCY_KEY_IN_USE".to_owned()));
        assert_eq!(reply.headers["retry-after"], "1");
        assert_eq!(site.keyed(&site.operator, "k", &path, "{}").await.status, 422, "another request");

        site.tick();
        assert_eq!(site.keyed(&site.operator, "k", &path, "{}").await.status, 422, "still another request");
        assert_eq!(post(&site, "k", &path).await.status, 201);
        // Whoever comes back from the dead neither commits nor gives back what is another's.
        let late = site.rows(agent).await.remove(0);
        let late = Credential { credential_id: Uuid::new_v4(), ..late };
        assert!(!carry_out(&site, &claim, &late).await);
        idempotency.release(&claim).await.unwrap();
        assert_eq!(site.rows(agent).await.len(), 1);
        assert!(post(&site, "k", &path).await.is_replay());

        // Nor does one whose work another is just doing.
        let stale = Claim::new(a_request("stale", &path), site.app.now());
        assert_eq!(idempotency.claim(&stale, site.app.now()).await.unwrap(), Claimed::Ours);
        site.clock.advance(Claim::LIFE);
        let taken_over = Claim::new(a_request("stale", &path), site.app.now());
        assert_eq!(idempotency.claim(&taken_over, site.app.now()).await.unwrap(), Claimed::Ours);
        assert!(!carry_out(&site, &stale, &late).await);

        // The answer to a commit was lost, and the key is given back: what was done stays done.
        let claim = Claim::new(a_request("lost", &path), site.app.now());
        assert_eq!(idempotency.claim(&claim, site.app.now()).await.unwrap(), Claimed::Ours);
        let used = SecretColumns { awaits_use: false, ..late.secret.clone() };
        let late = Credential { secret: used, ..late };
        site.put(&late).await;
        assert!(carry_out(&site, &claim, &late).await);
        idempotency.release(&claim).await.unwrap();
        assert_eq!(reason(&post(&site, "lost", &path).await), "used");
    }
}

/// What the operator asks for at `path`, without a body.
fn a_request(key: &str, path: &str) -> KeyedRequest {
    KeyedRequest { caller: "operator".to_owned(), key: key.to_owned(), fingerprint: fingerprint("POST", path, b"") }
}

/// Notes that the claim's request has made this row; says whether the claim still counts.
async fn carry_out(site: &Site, claim: &Claim, row: &Credential) -> bool {
    let mut tx = site.app.repos.changes.begin().await.unwrap();
    let carried = tx.carry_out(claim, row).await.unwrap();
    assert!(tx.commit().await.is_ok());
    carried
}

/// The agent's credential that nobody has used.
async fn unused(site: &Site, agent: Uuid) -> Credential {
    site.rows(agent).await.into_iter().find(|row| row.secret.awaits_use).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_retries_at_once_make_one_credential() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    let url = support::postgres().fresh_database().await;
    // Two servers on one database.
    let vaulted = [
        Site::build_at(&url, |app| use_vault(app, &mount, &faults)).await,
        Site::build_at(&url, |app| use_vault(app, &mount, &faults)).await,
    ];
    for (replaces, sites) in [(false, vaulted.map(Arc::new)), (true, digests().await.map(Arc::new))] {
        let sites = if replaces { vec![[&sites[0]; 2], [&sites[1]; 2]] } else { vec![[&sites[0], &sites[1]]] };
        for pair in sites {
            let agent = pair[0].agent("many@agents.example").await;
            let created = at_once(pair, credentials(agent)).await;
            let (id, secrets) = (created[0].id("credentialId"), created.iter().map(Reply::secret));
            assert!(created.iter().all(|reply| reply.status == 201 && reply.id("credentialId") == id));
            assert_eq!(created.iter().filter(|reply| !reply.is_replay()).count(), 1, "one did the work");
            assert_eq!(pair[0].rows(agent).await.len(), 1);
            let mut working = 0;
            for secret in secrets {
                working += u32::from(pair[0].accepts(agent, &secret).await);
            }
            assert_eq!(working, if replaces { 1 } else { created.len() as u32 });
            let rotated = at_once(pair, rotation(agent, id)).await;
            assert_eq!(rotated.iter().filter(|reply| !reply.is_replay()).count(), 1);
            if !replaces {
                assert_eq!(version(&mount, agent, id).await, 2, "one version for the creation, one for the rotation");
            }
        }
    }
}

/// Eight clients that send the same request until it is answered, as one does that lost its patience.
async fn at_once(sites: [&Arc<Site>; 2], path: String) -> Vec<Reply> {
    let mut clients = JoinSet::new();
    for n in 0..8 {
        let (site, path) = (Arc::clone(sites[n % 2]), path.clone());
        clients.spawn(async move {
            loop {
                let reply = post(&site, &format!("at-once {path}").replace(' ', "-"), &path).await;
                if reply.status != 409 {
                    return reply;
                }
                assert_eq!(reply.failure().1, "IDEMPOTENCY_KEY_IN_USE");
                assert!(reply.headers.contains_key("retry-after"));
                tokio::task::yield_now().await;
            }
        });
    }
    clients.join_all().await
}
