//! A disk without room.

use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::process::Command;

use crate::binary::{Client, Place, Running};
use crate::replicas::Shared;
use crate::support;
use crate::support::process::until;

/// No file of the server may grow beyond its size of then: writes fail as on a full disk. The soft limit can be lifted again.
async fn limit_files(pid: u32, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().await.unwrap();
    assert!(status.success());
}

/// A server for which a write beyond the limit fails instead of ending the process.
async fn serve(place: &Place) -> Running {
    place.serve_through(&["sh", "-c", "trap '' XFSZ; exec \"$0\""], &[("RATE_LIMIT_PER_MINUTE", "0")]).await
}

#[tokio::test]
async fn a_server_that_cannot_write_is_not_ready_until_it_can() {
    let place = Place::new();
    let operator = place.operator(&[]).await;
    let running = serve(&place).await;
    let ready = async || reqwest::get(format!("{}/ready", running.origin)).await.unwrap().status().as_u16();
    until("the first round", async || ready().await == 200).await;

    // Its log is longer, and so is its database: what the log holds cannot be moved there either.
    limit_files(running.id(), &(64 * 1024).to_string()).await;
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

/// B2 of the field trial. Guesses have used up what room the log of the database had, and go on; the disk stays full.
#[tokio::test]
async fn guesses_that_have_filled_the_disk_stop_no_revocation() {
    let place = Place::new();
    let operator = place.operator(&[]).await;
    let running = serve(&place).await;
    let client = running.agent_with_credential(&operator).await;
    let wal = std::fs::metadata(place.data("agentidp.db-wal")).unwrap().len();
    limit_files(running.id(), &(wal + 64 * 1024).to_string()).await;

    let guess = async || {
        let stranger =
            Client { id: uuid::Uuid::new_v4().to_string(), credential: String::new(), secret: "guess".into() };
        let status = running.token(&stranger).await.0;
        assert!(status == 401 || status == 503, "{status}");
        status
    };
    while guess().await != 503 {}
    let credential = format!("/api/v1/agents/{}/credentials/{}", client.id, client.credential);
    until("the revocation", async || {
        guess().await;
        running.status(&operator, Method::DELETE, &credential).await == 204
    })
    .await;
    assert_eq!(running.token(&client).await.0, 401);
}

/// PostgreSQL refuses writes as it does without room on its disk. A test cannot give it a file system of its own: triggers
/// raise the error that the real one gives, but for the row that the server overwrites every two seconds, which has room.
async fn fill_disk(url: &str) {
    let fill = "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                RAISE EXCEPTION 'could not extend file \"base/1/1\": No space left on device' USING ERRCODE = '53100'; \
                END $$; \
                DO $$ DECLARE filled regclass; BEGIN \
                FOR filled IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
                AND relname <> 'write_probe' LOOP \
                EXECUTE format('CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON %s EXECUTE FUNCTION no_room()', filled); \
                END LOOP; END $$";
    sql(url, fill).await;
}

async fn sql(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_postgresql_is_named_and_over_by_itself() {
    let url = support::postgres().fresh_database().await;
    let shared = Shared::on(&url, None).await;
    let running = shared.serve(&[]).await;
    let client = running.agent_with_credential(&shared.operator).await;
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{}{path}", running.origin)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    until("the first round", async || get("/ready").await.0 == 200).await;

    fill_disk(&url).await;
    let credential = format!("/api/v1/agents/{}/credentials/{}", client.id, client.credential);
    let (status, answer) = running.token(&client).await;
    assert_eq!((status, answer["code"].as_str()), (503, Some("SERVICE_UNAVAILABLE")));
    assert_eq!(running.status(&shared.operator, Method::DELETE, &credential).await, 503);
    until("readiness to say so", async || {
        let (status, text) = get("/ready").await;
        status == 503 && text.contains("refuses_writes")
    })
    .await;
    let (status, text) = get("/health").await;
    assert!(status == 503 && text.contains("the database takes no writes"), "{text}");
    assert!(get("/metrics").await.1.contains("\nagentidp_database_writable 0"));

    sql(&url, "DROP FUNCTION no_room() CASCADE").await;
    until("readiness", async || get("/ready").await.0 == 200).await;
    assert_eq!(running.token(&client).await.0, 200, "it was not revoked");
    assert_eq!(running.status(&shared.operator, Method::DELETE, &credential).await, 204);
    assert_eq!(running.token(&client).await.0, 401);
    let log = shared.place.log();
    assert!(log.contains("No space left on device (code 53100)"), "{log}");
}
