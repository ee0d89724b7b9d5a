//! Clients that are slow, large, many or unlucky.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentidp_server::domain::{AuditEvent, Page, Paged, Timestamp};
use agentidp_server::repo::{AuditFilter, AuditRepo, Result};
use agentidp_server::server::Bounds;
use async_trait::async_trait;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::site::Site;
use crate::support::process::until;
use crate::wire::{Served, TOKEN_BODY};

const SHORT: Duration = Duration::from_millis(100);
const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_head_that_does_not_arrive_ends_its_connection() {
    let bounds = Bounds { header_timeout: SHORT, ..Bounds::default() };
    let site = Site::bcrypt().await;
    let served = Served::within(bounds, &site.app).await;
    for beginning in ["", "GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
        assert_eq!(served.client(beginning).await.rest().await, "", "{beginning:?}");
    }
}

/// A load balancer keeps a connection for longer than a head may take.
#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_a_head() {
    let head = "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n";
    let long = Duration::from_secs(3600);
    let site = Site::bcrypt().await;
    let served =
        Served::within(Bounds { header_timeout: SHORT, idle_timeout: long, ..Bounds::default() }, &site.app).await;
    let mut idle = served.client(head).await;
    for _ in 0..2 {
        idle.read_until("\r\n\r\n").await;
        // Another one is opened meanwhile, and ended because of its slow head.
        assert_eq!(served.client("HEAD /hea").await.rest().await, "");
        idle.write(head).await;
    }
    idle.read_until("\r\n\r\n").await;
    idle.write("HEAD /hea").await;
    assert_eq!(idle.rest().await, "", "the head of a later request is as short of time as that of the first");

    let served =
        Served::within(Bounds { header_timeout: long, idle_timeout: SHORT, ..Bounds::default() }, &site.app).await;
    let answer = served.client(head).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "and then its time was over: {answer}");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_answered_and_its_connection_ended() {
    let site = Site::build(|app| app.settings.body_timeout = SHORT).await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let mut slow = served.request_in_progress().await;
    slow.write("grant_type=").await;
    let answer = slow.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let long = format!("GET /health HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "a".repeat(16 * 1024));
    let many = format!("GET /health HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-Many: a\r\n".repeat(101));
    for head in [long, many] {
        let answer = served.client(&head).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let fits = format!("GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n", "a".repeat(15 * 1024));
    assert!(served.client(&fits).await.rest().await.starts_with("HTTP/1.1 200 "));
}

/// The request of the audit trail, which [`Held`] keeps waiting.
fn held_request(site: &Site) -> String {
    format!(
        "GET /api/v1/audit HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        site.operator
    )
}

/// A site whose handler for the audit trail waits for one permit a request; those permits, and how many wait for them.
async fn site_with_held_requests() -> (Site, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (permits, entered) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let held = Held { permits: Arc::clone(&permits), entered: Arc::clone(&entered) };
    (Site::build(|app| app.repos.audit = Arc::new(held)).await, permits, entered)
}

#[tokio::test]
async fn more_requests_than_there_are_places_wait_and_probes_do_not() {
    let bounds = Bounds { connections: 1, ..Bounds::default() };
    let (site, permits, entered) = site_with_held_requests().await;
    let served = Served::within(bounds, &site.app).await;
    let mut waiting = vec![served.client(&held_request(&site)).await];
    until("the first one to have its place", async || entered.load(Ordering::SeqCst) == 1).await;
    // As many as there are connections, and then some: those that wait for longest make room for the later ones.
    for _ in 1..60 {
        waiting.push(served.client(&held_request(&site)).await);
    }
    for path in ["/ready", "/health", "/metrics"] {
        let probe = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(served.client(&probe).await.rest().await.starts_with("HTTP/1.1 200 "), "{path}");
    }
    permits.add_permits(100);
    let mut statuses = Vec::new();
    for wire in waiting {
        statuses.push(wire.rest().await.get(9..12).unwrap_or_default().to_owned());
    }
    let served = statuses.iter().filter(|found| *found == "200").count();
    assert_eq!(served, 48, "49 connections, and one of them for a probe: {statuses:?}");
    assert_eq!(statuses[0], "200", "the server works on the first one");
}

/// Behind a proxy everybody has one peer address. Without shares the last one would be the ninth.
#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_share_of_the_places() {
    let (permits, entered) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let held = Held { permits: Arc::clone(&permits), entered: Arc::clone(&entered) };
    let site = Site::build(|app| {
        app.repos.audit = Arc::new(held);
        app.settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let site = site.await;
    let served = Served::within(Bounds { connections: 1, ..Bounds::default() }, &site.app).await;
    let ask = async |client: &str| {
        let forwarded = format!("Host: a\r\nX-Forwarded-For: 198.51.100.1, {client}");
        served.client(&held_request(&site).replace("Host: a", &forwarded)).await
    };
    let waits = async |count: usize| {
        let line = format!("agentidp_requests_waiting {count}");
        until(&line, async || site.app.metrics.render().lines().any(|found| found == line)).await;
    };
    let mut flood = vec![tokio::spawn(ask("203.0.113.1").await.rest())];
    until("the first one to have its place", async || entered.load(Ordering::SeqCst) == 1).await;
    for count in 1..8 {
        flood.push(tokio::spawn(ask("203.0.113.1").await.rest()));
        waits(count).await;
    }
    let other = tokio::spawn(ask("203.0.113.2").await.rest());
    waits(8).await;
    permits.add_permits(3);
    until("the other one's answer", async || other.is_finished()).await;
    assert!(other.await.unwrap().starts_with("HTTP/1.1 200 "));
    until("its turn", async || entered.load(Ordering::SeqCst) == 4).await;
    assert!(flood.iter().filter(|request| request.is_finished()).count() <= 2);
}

/// A flood of pages of one client, and one page of another: without shares it would be the eleventh.
#[tokio::test]
async fn each_client_has_its_share_of_the_connections_for_lists() {
    let (site, permits, entered) = site_with_held_requests().await;
    let site = Arc::new(site);
    let [one, other] = [site.agent("a@example.com").await, site.agent("b@example.com").await];
    let ask = |agent: Uuid| {
        let site = Arc::clone(&site);
        tokio::spawn(async move { site.send(&site.token(agent), "GET", "/audit", "").await.status })
    };
    let flood: Vec<_> = (0..10).map(|_| ask(one)).collect();
    until("two of the flood at work", async || site.app.list_turns.waiting() == 8).await;
    assert_eq!(entered.load(Ordering::SeqCst), 2);
    let page = ask(other);
    until("the other one to wait", async || site.app.list_turns.waiting() == 9).await;
    permits.add_permits(3);
    until("its page", async || page.is_finished()).await;
    assert_eq!(page.await.unwrap(), 200);
    assert!(flood.iter().filter(|request| request.is_finished()).count() <= 2);
}

#[tokio::test]
async fn a_request_whose_body_is_missing_takes_no_place() {
    let bounds = Bounds { connections: 1, ..Bounds::default() };
    let site = Site::bcrypt().await;
    let served = Served::within(bounds, &site.app).await;
    let mut unfinished = Vec::new();
    for _ in 0..20 {
        unfinished.push(served.request_in_progress().await);
    }
    let whole = served.client("GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(whole.rest().await.starts_with("HTTP/1.1 404 "));
    for mut client in unfinished {
        client.write(TOKEN_BODY).await;
        assert!(client.read_until("\r\n").await.starts_with("HTTP/1.1 400 "));
    }
}

#[tokio::test]
async fn silent_connections_make_room_for_a_new_one() {
    let bounds = Bounds { connections: 1, header_timeout: Duration::from_secs(3600), ..Bounds::default() };
    let site = Site::bcrypt().await;
    let served = Served::within(bounds, &site.app).await;
    let mut silent = Vec::new();
    for beginning in ["", "GET /hea", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        for _ in 0..20 {
            silent.push(served.client(beginning).await);
        }
    }
    assert!(served.client(HEALTH).await.rest().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(silent.remove(0).rest().await, "", "the earliest one has gone");
    let metrics = site.app.metrics.render();
    let evicted = metrics.lines().find(|line| line.starts_with("agentidp_connections_evicted_total ")).unwrap();
    assert_eq!(evicted, "agentidp_connections_evicted_total 12", "60 silent ones and the new one, and room for 49");
}

/// An audit trail that is read only with a permit.
pub(crate) struct Held {
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) entered: Arc<AtomicUsize>,
}

#[async_trait]
impl AuditRepo for Held {
    async fn append(&self, _event: &AuditEvent) -> Result<()> {
        Ok(())
    }

    async fn append_all(&self, _events: &[AuditEvent]) -> Result<()> {
        Ok(())
    }

    async fn pretend(&self) -> Result<()> {
        Ok(())
    }

    async fn find(&self, _event_id: Uuid, _not_before: Timestamp) -> Result<Option<AuditEvent>> {
        Ok(None)
    }

    async fn list(&self, _filter: &AuditFilter, page: Page) -> Result<Paged<AuditEvent>> {
        self.entered.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        Ok(Paged { data: Vec::new(), total: 0, page: page.page, limit: page.limit })
    }

    async fn prune(&self, _before: Timestamp) -> Result<u64> {
        Ok(0)
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_harms_nobody() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    for text in
        ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\na b: c\r\n\r\n"]
    {
        let answer = served.client(text).await.rest().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{text:?}: {answer}");
    }
    let answer = served.client(HEALTH).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// A repository that is a fault of ours.
struct Panicking;

#[async_trait]
impl AuditRepo for Panicking {
    async fn append(&self, _event: &AuditEvent) -> Result<()> {
        panic!("canary")
    }

    async fn append_all(&self, _events: &[AuditEvent]) -> Result<()> {
        panic!("canary")
    }

    async fn pretend(&self) -> Result<()> {
        panic!("canary")
    }

    async fn find(&self, _event_id: Uuid, _not_before: Timestamp) -> Result<Option<AuditEvent>> {
        panic!("canary")
    }

    async fn list(&self, _filter: &AuditFilter, _page: Page) -> Result<Paged<AuditEvent>> {
        panic!("canary")
    }

    async fn prune(&self, _before: Timestamp) -> Result<u64> {
        panic!("canary")
    }
}

#[tokio::test]
async fn a_panic_in_a_handler_is_answered_and_the_connection_lives() {
    let site = Site::build(|app| app.repos.audit = Arc::new(Panicking)).await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let head = format!("GET /api/v1/audit HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", site.operator);
    let two = format!("{head}GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answers = served.client(&two).await.rest().await;
    assert!(answers.starts_with("HTTP/1.1 500 ") && answers.contains("INTERNAL_SERVER_ERROR"), "{answers}");
    assert!(answers.contains("HTTP/1.1 200 ") && !answers.contains("canary"), "{answers}");
}
