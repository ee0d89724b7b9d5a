//! Clocks that are wrong: a jump destroys nothing, and servers whose machines differ agree on the time.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::Clock;
use agentidp_server::domain::{AuditEvent, Page, PurgeJob, Scopes, Timestamp};
use agentidp_server::ledger_clock::LedgerClock;
use agentidp_server::repo::AuditFilter;
use agentidp_server::server::Bounds;
use agentidp_server::tokens::OPERATOR;
use agentidp_server::workers::retention;
use uuid::Uuid;

use crate::database_clock::set_database_clock;
use crate::site::Site;
use crate::support;
use crate::support::process::until;
use crate::wire::Served;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A process on the database whose clock is `later` than where sites begin.
async fn start(url: &str, later: Duration) -> Site {
    let mut site = Site::build_at(url, |app| app.settings.monthly_token_limit = Some(1)).await;
    site.clock.advance(later);
    site.operator = site.app.tokens.issue_now(OPERATOR, Scopes::ALL, DAY, true).unwrap().token;
    site
}

/// How many events there are, however old.
async fn events(site: &Site) -> u64 {
    let page = Page { page: 1, limit: 1 };
    site.app.repos.audit.list(&AuditFilter::default(), page).await.unwrap().total
}

/// Judges by the database's clock from now on, as the server does.
async fn follow_the_database(site: &mut Site) {
    let clock = Arc::new(LedgerClock::new(Arc::clone(&site.app.clock)));
    clock.read(&*site.app.repos.database).await.unwrap();
    let app = Arc::get_mut(&mut site.app).unwrap();
    (app.clock, app.ledger_clock) = (Arc::clone(&clock) as Arc<dyn Clock>, Some(clock));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_whose_machines_are_two_hours_apart_never_hold_one_claim() {
    let url = support::postgres().fresh_database().await;
    let (mut first, mut second) = (start(&url, Duration::ZERO).await, start(&url, 2 * HOUR).await);
    follow_the_database(&mut first).await;
    follow_the_database(&mut second).await;
    let [now, also_now] = [&first, &second].map(|site| site.app.now());
    assert!(now.minus(MINUTE / 2) < also_now && also_now < now.plus(MINUTE / 2), "{now} and {also_now}");

    let job = PurgeJob {
        credential_id: Uuid::new_v4(),
        client_id: Uuid::new_v4(),
        vault_path: "secret/data/a".to_owned(),
        due_at: now,
        attempts: 0,
    };
    first.app.repos.purges.schedule(&job).await.unwrap();
    let claim = async |site: &Site| {
        let now = site.app.now();
        site.app.repos.purges.claim(&job, now, now.plus(MINUTE)).await.unwrap()
    };
    assert!(claim(&first).await.is_some());
    assert!(claim(&second).await.is_none(), "the claim of the first has not ended");
    second.clock.advance(2 * MINUTE);
    assert!(claim(&second).await.is_some(), "time goes on between two readings");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_runs_follows_the_database_s_clock() {
    let url = support::postgres().fresh_database().await;
    set_database_clock(&url, "'2030-03-17T17:46:40Z'::timestamptz").await;
    let mut site = start(&url, Duration::ZERO).await;
    follow_the_database(&mut site).await;
    set_database_clock(&url, "'2030-06-01T00:00:00Z'::timestamptz").await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let then = Timestamp::parse("2030-06-01T00:00:00Z").unwrap();
    until("a reading of the clock", async || site.app.now() == then).await;
    served.stop().await.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_clocks_of_machine_and_database_differ_nothing_is_deleted_by_age() {
    let (postgres, machine) =
        (support::postgres(), |days: u32| format!("'2030-03-17T17:46:40Z'::timestamptz + interval '{days} days'"));
    let url = postgres.fresh_database().await;
    set_database_clock(&url, &machine(0)).await;
    let mut site = start(&url, Duration::ZERO).await;
    follow_the_database(&mut site).await;
    let ledger = Arc::clone(site.app.ledger_clock.as_ref().unwrap());
    let read = async || ledger.read(&*site.app.repos.database).await.unwrap();
    site.agent("a@agents.example").await;
    retention::round(&site.app).await;

    // The database's clock jumps: it counts, and deletes nothing.
    set_database_clock(&url, &machine(200)).await;
    read().await;
    assert_eq!(site.app.now(), Timestamp::parse("2030-10-03T17:46:40Z").unwrap());
    site.clock.advance(AuditEvent::RETENTION);
    retention::round(&site.app).await;
    assert_eq!(events(&site).await, 1);
    // The machine's clock is the wrong one.
    site.clock.advance(DAY);
    set_database_clock(&url, &machine(2)).await;
    read().await;
    retention::round(&site.app).await;
    assert_eq!(events(&site).await, 1);

    // Both are right: the server has run for 91 days.
    set_database_clock(&url, &machine(91)).await;
    read().await;
    retention::round(&site.app).await;
    assert_eq!(events(&site).await, 0);
}
