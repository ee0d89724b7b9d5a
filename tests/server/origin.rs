//! Where a request came from: the peer's address, or what a trusted proxy says of it.

use uuid::Uuid;

use crate::requests::grant_form;
use crate::site::Site;

/// The address in the event of a failed authentication with this header. Every request comes from 192.0.2.7.
async fn recorded(site: &Site, forwarded: &str) -> String {
    let refused = site.token_with(&[("x-forwarded-for", forwarded)], grant_form(Uuid::new_v4(), "wrong")).await;
    assert_eq!(refused.status, 401);
    site.tick();
    let trail = site.get("/audit?action=auth.failed&limit=1").await.json();
    trail["data"][0]["ipAddress"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_event_has_the_forwarded_address_only_from_a_trusted_proxy() {
    let closed = Site::bcrypt().await;
    assert_eq!(recorded(&closed, "203.0.113.9").await, "192.0.2.7", "no proxy is trusted");

    let others = Site::build(|app| app.settings.trusted_proxies = vec!["198.51.100.0/24".parse().unwrap()]).await;
    assert_eq!(recorded(&others, "203.0.113.9").await, "192.0.2.7", "the peer is none of them");

    let behind = Site::build(|app| app.settings.trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()]).await;
    assert_eq!(recorded(&behind, "203.0.113.9").await, "203.0.113.9");
    assert_eq!(
        recorded(&behind, "10.0.0.1, 203.0.113.9").await,
        "203.0.113.9",
        "the left one is the client's own claim"
    );
    assert_eq!(recorded(&behind, "203.0.113.9, rubbish").await, "192.0.2.7");
}
