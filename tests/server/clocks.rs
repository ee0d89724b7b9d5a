//! Clocks that are wrong: a jump destroys nothing, and servers whose machines differ agree on the time.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::Clock;
use agentidp_secrets::lifecycle::DebtKind;
use agentidp_server::domain::{AuditEvent, Page, Scopes, Timestamp};
use agentidp_server::ledger_clock::LedgerClock;
use agentidp_server::repo::AuditFilter;
use agentidp_server::server::Bounds;
use agentidp_server::tokens::OPERATOR;
use agentidp_server::workers::retention;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::database_clock::set_database_clock;
use crate::repo::sql_at;
use crate::rows;
use crate::site::Site;
use crate::support;
use crate::support::process::until;
use crate::wire::Served;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A fresh database of each kind. The folder holds the embedded one.
async fn databases() -> ([String; 2], TempDir) {
    let folder = TempDir::new().unwrap();
    let embedded = format!("sqlite:{}", folder.path().join("agentidp.sqlite").display());
    ([embedded, support::postgres().fresh_database().await], folder)
}

/// A process on the database whose clock is `later` than where sites begin.
async fn start(url: &str, later: Duration) -> Site {
    let mut site = Site::build_at(url, |app| app.settings.monthly_token_limit = Some(1)).await;
    site.clock.advance(later);
    site.operator = site.app.tokens.issue_now(OPERATOR, Scopes::ALL, DAY, true).unwrap().token;
    site
}

/// What a server does when it starts, and then for three hours.
async fn run(site: &Site) {
    retention::round(&site.app).await;
    for _ in 0..18 {
        site.clock.advance(Duration::from_secs(600));
        retention::round(&site.app).await;
    }
}

/// What has to be as it was when the clock is right again.
struct Before {
    agent: Uuid,
    secret: String,
    revoked: String,
    created: Value,
    events: u64,
}

impl Before {
    async fn of(site: &Site) -> Self {
        let agent = site.agent("a@agents.example").await;
        let (_, secret) = site.credential(agent).await;
        site.granted(agent, &secret).await;
        let revoked = site.token(agent);
        assert_eq!(site.about_token(&site.operator, "revoke", &format!("token={revoked}")).await.status, 200);
        let created = site.keyed(&site.operator, "k", &format!("/agents/{agent}/credentials"), "").await.json();
        Self { agent, secret, revoked, created, events: events(site).await }
    }

    /// What holds while the clock is wrong, too. It decides what has expired meanwhile, and what is shown of the trail.
    async fn is_kept(&self, site: &Site) {
        assert!(events(site).await >= self.events, "the trail is whole");
        let again = site.keyed(&site.operator, "k", &format!("/agents/{}/credentials", self.agent), "").await;
        assert!(again.is_replay(), "{again:?}");
        assert_eq!(again.json()["credentialId"], self.created["credentialId"]);
    }

    async fn is_as_before(&self, site: &Site, url: &str) {
        self.is_kept(site).await;
        let other = site.keyed(&site.operator, "k", &format!("/agents/{}/credentials", self.agent), "{}").await;
        assert_eq!(other.failure(), (422, "IDEMPOTENCY_KEY_REUSED".to_owned()));
        let total = site.get("/audit").await.json()["total"].as_u64().unwrap();
        assert!(total >= self.events, "and all that was there can be read: {total}");
        assert_eq!(site.send(&self.revoked, "GET", "/agents", "").await.status, 401);
        let counted = site.grant(self.agent, &self.secret).await;
        assert_eq!(counted.refusal(), (403, "unauthorized_client".to_owned()), "the month's only token is issued");
        let refused = sql_at(url, "DELETE FROM audit_events").await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

/// How many events there are, however old.
async fn events(site: &Site) -> u64 {
    let page = Page::new(1, 1);
    site.app.repos.audit.list(&AuditFilter::default(), page).await.unwrap().total
}

/// Starts a server with a right clock, then one with a wrong clock, which is `wrong` from where sites begin, and then one with
/// a right clock again.
async fn a_wrong_clock_destroys_nothing(right: Duration, wrong: Duration) {
    // An older release stored no horizon: then the wrong clock is the first to look for one.
    for stored in [true, false] {
        let (urls, _folder) = databases().await;
        for url in &urls {
            let site = start(url, right).await;
            if stored {
                site.agent("first@agents.example").await;
                retention::round(&site.app).await;
            } else {
                sql_at(url, "UPDATE retention_horizon SET horizon = NULL").await.unwrap();
            }
            let before = Before::of(&site).await;
            let site = start(url, wrong).await;
            run(&site).await;
            before.is_kept(&site).await;
            let site = start(url, right + 3 * HOUR).await;
            run(&site).await;
            before.is_as_before(&site, url).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_91_days_ahead_destroys_nothing() {
    a_wrong_clock_destroys_nothing(DAY, 92 * DAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_91_days_behind_destroys_nothing() {
    a_wrong_clock_destroys_nothing(92 * DAY, DAY).await;
}

/// The horizon gets ahead of the true time by as long as the server runs. A token lives for longer than that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_stays_revoked_after_half_a_day_with_a_clock_that_is_ahead() {
    let (urls, _folder) = databases().await;
    for url in &urls {
        let site = start(url, Duration::ZERO).await;
        let token = site.token(site.agent("a@agents.example").await);
        assert_eq!(site.about_token(&site.operator, "revoke", &format!("token={token}")).await.status, 200);
        let site = start(url, 91 * DAY).await;
        for _ in 0..14 {
            retention::round(&site.app).await;
            site.clock.advance(HOUR);
        }
        let site = start(url, 14 * HOUR).await;
        retention::round(&site.app).await;
        assert_eq!(site.send(&token, "GET", "/agents", "").await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_revoked_while_the_clock_is_ahead_stays_revoked() {
    let (urls, _folder) = databases().await;
    for url in &urls {
        let site = start(url, Duration::ZERO).await;
        let token = site.token(site.agent("a@agents.example").await);
        let ahead = start(url, 91 * DAY).await;
        // As a server does before its first request.
        retention::round(&ahead.app).await;
        assert_eq!(ahead.about_token(&ahead.operator, "revoke", &format!("token={token}")).await.status, 200);
        run(&ahead).await;
        assert_eq!(site.send(&token, "GET", "/agents", "").await.status, 401);
    }
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

    let (client, credential) = (Uuid::new_v4(), Uuid::new_v4());
    let owed = rows::debt(DebtKind::Delete, "secret/data/a", now);
    rows::note(&first.app.repos, client, credential, now, |note| note.debts.push(owed.clone())).await;
    // Nobody carries it out, so a claim shows by the due time that it sets.
    let claim = async |site: &Site| {
        site.app.life().round().await;
        let note = rows::entry(&site.app.repos, client, credential).await.note.unwrap();
        note.debts[0].attempts
    };
    assert_eq!(claim(&first).await, 1, "in vain: there is no Vault");
    assert_eq!(claim(&second).await, 1, "its time has not come again");
    second.clock.advance(2 * MINUTE);
    assert_eq!(claim(&second).await, 2, "time goes on between two readings");
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
