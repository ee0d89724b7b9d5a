//! A disk without room.

use serde_json::json;
use tokio::process::Command;

use crate::binary::Place;
use crate::support::process::until;

/// No file of the server may grow beyond its size of then: writes fail as on a full disk. The soft limit can be lifted again.
async fn limit_files(pid: u32, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().await.unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn a_server_that_cannot_write_is_not_ready_until_it_can() {
    let place = Place::new();
    let operator = place.operator(&[]).await;
    // A write beyond the limit fails instead of ending the process.
    let running =
        place.serve_through(&["sh", "-c", "trap '' XFSZ; exec \"$0\""], &[("RATE_LIMIT_PER_MINUTE", "0")]).await;
    let ready = async || reqwest::get(format!("{}/ready", running.origin)).await.unwrap().status().as_u16();
    until("the first round", async || ready().await == 200).await;

    let wal = std::fs::metadata(place.data("agentidp.db-wal")).unwrap().len();
    limit_files(running.id(), &(wal + 64 * 1024).to_string()).await;
    let register = async || {
        let agent = json!({
            "email": format!("{}@agents.example", uuid::Uuid::new_v4()), "agentType": "custom", "version": "1.0.0",
            "capabilities": ["demo:read"], "owner": "tests", "deploymentEnv": "development",
        });
        let request = reqwest::Client::new().post(format!("{}/api/v1/agents", running.origin)).bearer_auth(&operator);
        request.json(&agent).send().await.unwrap().status().as_u16()
    };
    until("a write that fails", async || register().await == 503).await;
    until("the server to say so", async || ready().await == 503).await;
    let health = reqwest::get(format!("{}/health", running.origin)).await.unwrap();
    assert_eq!(health.status(), 503);
    assert!(health.text().await.unwrap().contains("the database takes no writes"));

    limit_files(running.id(), "unlimited").await;
    until("the server to be ready", async || ready().await == 200).await;
    assert_eq!(register().await, 201, "{}", place.log());
    let log = place.log();
    assert!(log.contains("the database takes no writes: this server is not ready"), "{log}");
}
