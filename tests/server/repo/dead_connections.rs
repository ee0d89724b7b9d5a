//! Connections that died while nobody used them, as all do when PostgreSQL is restarted: nobody notices.

use std::sync::Arc;

use agentidp_server::domain::{AgentStatus, AuditAction};
use agentidp_server::repo::CreateAgent;
use tokio::task::JoinSet;

use super::*;
use crate::support::Postgres;
use crate::support::process::until;

/// As many as a server's pool has.
const CONNECTIONS: i64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_postgres_fails_no_later_request() {
    let mut postgres = Postgres::start_own().await;
    let db = Database::migrated(postgres.fresh_database().await, None).await;
    for crash in [false, true] {
        fill_the_pool(&db).await;
        let kept = all_verbs(&db).await;
        fill_the_pool(&db).await;
        if crash {
            postgres.kill().await;
        } else {
            postgres.stop().await;
        }
        postgres.start_again().await;
        all_verbs(&db).await;
        assert!(db.repos.audit.find(kept, now()).await.unwrap().is_some(), "what was acknowledged is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_up_of_every_connection_fails_no_later_request() {
    let db = Database::postgres().await;
    fill_the_pool(&db).await;
    hang_up(&db).await;
    all_verbs(&db).await;
    fill_the_pool(&db).await;
    hang_up(&db).await;
    eight_writes_at_once(&db).await;
}

/// A monthly limit makes issuing a token a transaction: it is begun on a connection that is alive, and never twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_counts_once_whatever_was_dead() {
    let db = Database::postgres().await;
    let client = db.agent().await.agent_id;
    let issue = async || {
        let issued = event(AuditAction::TokenIssued, client);
        db.repos.tokens.issued(client, Some(3), &issued).await.unwrap()
    };
    for _ in 0..3 {
        fill_the_pool(&db).await;
        hang_up(&db).await;
        assert!(issue().await);
    }
    assert!(!issue().await);
}

/// Leaves the pool with as many idle connections as it may have.
async fn fill_the_pool(db: &Database) {
    let mut monitor = PgConnection::connect(&db.url).await.unwrap();
    for _ in 0..200 {
        let mut reads = JoinSet::new();
        for _ in 0..64 {
            let agents = Arc::clone(&db.repos.agents);
            reads.spawn(async move { drop(agents.find(Uuid::new_v4()).await.unwrap()) });
        }
        reads.join_all().await;
        if others(&mut monitor).await == CONNECTIONS {
            return;
        }
    }
    panic!("the pool does not fill up");
}

/// Ends every connection of the pool and waits until the server has.
async fn hang_up(db: &Database) {
    let mut monitor = PgConnection::connect(&db.url).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(end).execute(&mut monitor).await.unwrap();
    let monitor = Arc::new(tokio::sync::Mutex::new(monitor));
    until("the connections to end", || {
        let monitor = Arc::clone(&monitor);
        async move { others(&mut *monitor.lock().await).await == 0 }
    })
    .await;
}

async fn others(monitor: &mut PgConnection) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    sqlx::query_scalar(count).fetch_one(monitor).await.unwrap()
}

/// Reads and writes of every kind; gives the id of an event that was acknowledged.
async fn all_verbs(db: &Database) -> Uuid {
    let (repos, agent) = (&db.repos, agent());
    let id = agent.agent_id;
    let happened = |action| event(action, id);
    assert!(repos.credentials.authenticate(id, now()).await.unwrap().is_none());
    let created = repos.agents.create(&agent, None, &happened(AuditAction::AgentCreated)).await.unwrap();
    assert_eq!(created, CreateAgent::Created);
    let credential = credential(id, digest("a"));
    rows::put(repos, &credential).await;
    assert_eq!(repos.credentials.authenticate(id, now()).await.unwrap().unwrap().len(), 1);
    let issued = happened(AuditAction::TokenIssued);
    assert!(repos.tokens.issued(id, None, &issued).await.unwrap());
    assert!(!repos.tokens.bearer(Uuid::new_v4(), Some(id), None).await.unwrap().revoked);
    repos.audit.append(&happened(AuditAction::AuthFailed)).await.unwrap();
    db.end(&credential, now()).await;
    db.replace(&changed(&agent, AgentStatus::Suspended)).await;
    issued.event_id
}

async fn eight_writes_at_once(db: &Database) {
    let mut writes = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (agents, agent) = (Arc::clone(&db.repos.agents), agent());
        writes.spawn(async move {
            agents.create(&agent, None, &event(AuditAction::AgentCreated, agent.agent_id)).await.unwrap()
        });
    }
    assert_eq!(writes.join_all().await, [CreateAgent::Created; 8]);
}
