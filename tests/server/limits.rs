//! Clients that are slow, large, many or unlucky.

use std::sync::Arc;
use std::time::Duration;

use agentidp_server::domain::{AuditEvent, Page, Paged, Timestamp};
use agentidp_server::repo::{AuditFilter, AuditRepo, Result};
use agentidp_server::server::Bounds;
use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use uuid::Uuid;

use crate::site::Site;
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

#[tokio::test]
async fn more_connections_than_there_is_room_for_wait() {
    let bounds = Bounds { connections: 1, ..Bounds::default() };
    let site = Site::bcrypt().await;
    let served = Served::within(bounds, &site.app).await;
    let mut first = served.request_in_progress().await;
    let mut second = served.client(HEALTH).await;
    // Were it served, the answer would be there long since.
    assert!(timeout(SHORT, second.0.read_u8()).await.is_err());
    first.write(TOKEN_BODY).await;
    drop(first);
    assert!(second.rest().await.starts_with("HTTP/1.1 200 "));
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
