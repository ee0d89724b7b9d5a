//! `GET /health`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::repo::{DatabaseRepo, RepoError, Result, Schema};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::site::{Reply, Site};
use crate::support;

/// Without any token.
async fn health(site: &Site) -> Reply {
    site.ask_dependencies().await;
    site.handle(hyper::Request::get("/health").body(Full::new(Bytes::new())).unwrap()).await
}

#[tokio::test]
async fn a_sound_server_is_ok() {
    let site = Site::bcrypt().await;
    site.clock.advance(Duration::from_millis(61_900));
    let reply = health(&site).await;
    assert_eq!(reply.status, 200);
    let version = reply.json()["version"].clone();
    assert!(version.is_string());
    let expected = json!({ "status": "ok", "version": version, "uptime": 61, "services": { "database": "connected" } });
    assert_eq!(reply.json(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_is_gone_degrades() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    let site = Site::vault(&mount, &faults).await;
    let state = |reply: Reply| -> (u16, Value, Value) {
        (reply.status, reply.json()["status"].clone(), reply.json()["services"].clone())
    };
    let (up, down) = (
        json!({ "database": "connected", "vault": "connected" }),
        json!({ "database": "connected", "vault": "disconnected" }),
    );
    assert_eq!(state(health(&site).await), (200, json!("ok"), up));
    for fault in [Fault::Fail(ErrorKind::Unavailable), Fault::Fail(ErrorKind::Denied), Fault::Hang] {
        faults.once(Operation::Probe, fault);
        assert_eq!(state(health(&site).await), (200, json!("degraded"), down.clone()), "{fault:?}");
    }
}

#[tokio::test]
async fn a_database_that_is_gone_or_hangs_is_unavailable() {
    for hangs in [false, true] {
        let site = Site::build(|app| app.repos.database = Arc::new(Gone { hangs })).await;
        let within = tokio::time::timeout(Duration::from_secs(10), health(&site)).await;
        let reply = within.expect("probes are bounded");
        assert_eq!((reply.status, &reply.json()["status"]), (503, &json!("degraded")));
        assert_eq!(reply.json()["services"], json!({ "database": "disconnected" }));
    }
}

/// A database that is out of reach.
pub(crate) struct Gone {
    pub(crate) hangs: bool,
}

#[async_trait]
impl DatabaseRepo for Gone {
    async fn migrate(&self) -> Result<()> {
        Ok(())
    }

    async fn is_current(&self) -> Result<bool> {
        self.ping().await.map(|()| true)
    }

    async fn schema(&self) -> Result<Schema> {
        self.ping().await.map(|()| Schema {
            missing: Vec::new(),
            newest: None,
            unknown: Vec::new(),
            may_migrate: true,
            lacking: Vec::new(),
        })
    }

    async fn try_write(&self) -> Result<()> {
        self.ping().await
    }

    async fn ping(&self) -> Result<()> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Err(RepoError::Unavailable { during: "database.ping", source: "gone".into() })
    }

    async fn now(&self) -> Result<Option<SystemTime>> {
        Ok(None)
    }

    async fn close(&self) {}
}
