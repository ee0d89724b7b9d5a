//! The database itself: migrations, outages, errors.

use std::error::Error as _;
use std::sync::{Arc, Mutex};

use agentidp_secrets::SystemClock;
use agentidp_server::domain::{AgentStatus, AuditAction};
use agentidp_server::repo::{QueryObserver, RepoError, open_observed};
use tokio::task::JoinSet;

use super::*;

on_both!(
    migrating_again_changes_nothing,
    another_server_sees_what_was_acknowledged,
    a_closed_database_says_so,
    errors_do_not_repeat_values,
    every_operation_is_heard,
);

async fn migrating_again_changes_nothing(db: Database) {
    let agent = db.agent().await;
    db.repos.database.migrate().await.unwrap();
    assert_eq!(db.repos.agents.find(agent.agent_id).await.unwrap(), Some(agent));
    db.repos.database.ping().await.unwrap();
}

/// Nothing is closed first, as after a crash.
async fn another_server_sees_what_was_acknowledged(db: Database) {
    let agent = db.agent().await;
    let second = repo::open(&db.url).await.unwrap();
    second.database.migrate().await.unwrap();
    assert_eq!(second.agents.find(agent.agent_id).await.unwrap(), Some(agent));
}

async fn a_closed_database_says_so(db: Database) {
    db.repos.database.close().await;
    let error = db.repos.database.ping().await.unwrap_err();
    assert_eq!(error.to_string(), "the database did not carry out database.ping");
    assert_eq!(error.source().unwrap().to_string(), "the connections have been closed");
}

async fn errors_do_not_repeat_values(db: Database) {
    let agent = db.agent().await;
    let known = db.credential(&agent, digest("canary")).await;
    let generated = || event(AuditAction::CredentialGenerated, agent.agent_id);
    let both = SecretColumns { secret_hash: Some("$2b$10$canary".to_owned()), ..vaulted("secret/data/canary", 0) };
    let broken = credential(agent.agent_id, both);
    let mut errors = Vec::new();
    for (id, row) in [(known.credential_id, &known), (broken.credential_id, &known)] {
        let row = Credential { credential_id: id, ..row.clone() };
        let mut tx = db.repos.changes.begin().await.unwrap();
        tx.lock_agent(agent.agent_id).await.unwrap();
        errors.extend(tx.insert(&row.to_row().unwrap(), now()).await.err());
    }
    let mut tx = db.repos.changes.begin().await.unwrap();
    errors.extend(tx.replace(&broken.to_row().unwrap()).await.err());
    drop(tx);
    if db.url.starts_with("postgres") {
        let nul = Agent { owner: "canary\0".to_owned(), ..super::agent() };
        errors.push(db.repos.agents.create(&nul, None, &generated()).await.unwrap_err());
    }
    for error in errors {
        let source = error.source().unwrap();
        let told = format!("{error} {error:?} {error:#?} {source} {source:?}");
        assert!(!told.contains("canary") && !told.contains(&known.credential_id.to_string()), "{told}");
    }
}

async fn every_operation_is_heard(db: Database) {
    #[derive(Default)]
    struct Heard(Mutex<Vec<&'static str>>);
    impl QueryObserver for Heard {
        fn observe(&self, operation: &'static str, _elapsed: Duration) {
            self.0.lock().unwrap().push(operation);
        }
    }
    let heard = Arc::new(Heard::default());
    let repos = open_observed(&db.url, Arc::new(SystemClock::default()), Arc::clone(&heard) as _).await.unwrap();
    repos.database.ping().await.unwrap();
    repos.agents.find(Uuid::new_v4()).await.unwrap();
    repos.changes.pending().await.unwrap();
    assert_eq!(*heard.0.lock().unwrap(), ["database.ping", "agents.find", "changes.pending"]);
}

#[tokio::test]
async fn servers_that_start_at_once_migrate_once() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}", folder.path().join("agentidp.db").display());
    for url in [sqlite, support::postgres().fresh_database().await] {
        let mut starts = JoinSet::new();
        for _ in 0..6 {
            let url = url.clone();
            starts.spawn(async move {
                let repos = repo::open(&url).await.unwrap();
                repos.database.migrate().await.unwrap();
                repos.changes.pending().await.unwrap()
            });
        }
        assert_eq!(starts.join_all().await, [0; 6]);
    }
}

/// What an operator looks at to see whether migration 005 was applied.
#[tokio::test]
async fn vault_path_is_a_nullable_text() {
    let db = Database::postgres().await;
    let mut connection = PgConnection::connect(&db.url).await.unwrap();
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT column_name::text, data_type::text, is_nullable::text FROM information_schema.columns \
         WHERE table_name = 'credentials' AND column_name IN ('vault_path', 'secret_hash') ORDER BY column_name DESC",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let expected = [("vault_path", "text", "YES"), ("secret_hash", "character varying", "YES")];
    assert_eq!(columns, expected.map(|(name, kind, null)| (name.to_owned(), kind.to_owned(), null.to_owned())));
}

/// A database of the documented system: its tables, times in microseconds, a bcrypt row and a Vault row without version.
#[tokio::test]
async fn a_database_of_the_documented_system_is_taken_over() {
    let url = support::postgres().fresh_database().await;
    for migration in ["0001_agents", "0002_credentials", "0003_audit_events", "0004_token_revocations"] {
        let path = format!("{}/agentidp-server/migrations/postgres/{migration}.sql", env!("CARGO_MANIFEST_DIR"));
        sql_at(&url, &std::fs::read_to_string(path).unwrap()).await.unwrap();
    }
    let (hashed, in_vault) = (credential(Uuid::new_v4(), digest("a")), Uuid::new_v4());
    let (client, credential) = (hashed.client_id, hashed.credential_id);
    sql_at(
        &url,
        &format!(
            "ALTER TABLE audit_events ALTER COLUMN agent_id SET NOT NULL;
             ALTER TABLE credentials ADD COLUMN vault_path text, ALTER COLUMN secret_hash DROP NOT NULL;
             INSERT INTO agents VALUES ('{client}', 'a@example.org', 'router', '1.0.0', '{{a:b}}', 'o', 'staging',
                 'active', '2026-03-28T09:00:00.123456Z', '2026-03-28T09:00:00.123456Z');
             INSERT INTO credentials (credential_id, client_id, secret_hash, created_at)
                 VALUES ('{credential}', '{client}', '$2b$10$a', '2026-03-28T09:00:00.123456Z');
             INSERT INTO credentials (credential_id, client_id, vault_path) VALUES ('{in_vault}', '{client}', 'kv/data/b')"
        ),
    )
    .await
    .unwrap();

    let db = Database::migrated(url, None).await;
    let hashed = Credential { secret: SecretColumns { revision: None, ..hashed.secret.clone() }, ..hashed };
    assert_eq!(db.credential_now(&hashed).await, hashed);
    let unpinned = db.repos.credentials.find(client, in_vault).await.unwrap().unwrap();
    assert_eq!(unpinned.secret, SecretColumns { vault_version: None, revision: None, ..vaulted("kv/data/b", 1) });

    let agent = db.repos.agents.find(client).await.unwrap().unwrap();
    assert_eq!(agent.updated_at, now(), "to the millisecond, as the API shows it");
    let suspended = changed(&agent, AgentStatus::Suspended);
    db.replace(&suspended).await;
    let unknown = AuditEvent { agent_id: None, ..event(AuditAction::AuthFailed, client) };
    db.repos.audit.append(&unknown).await.unwrap();
    db.sql("TRUNCATE audit_events").await.unwrap_err();
}

#[tokio::test]
async fn an_outage_of_postgres_heals_by_itself() {
    let mut postgres = support::Postgres::start_own().await;
    let db = Database::migrated(postgres.fresh_database().await, None).await;
    let agent = db.agent().await;
    postgres.kill().await;
    let error = db.repos.agents.find(agent.agent_id).await.unwrap_err();
    assert!(matches!(error, RepoError::Unavailable { during: "agents.find", .. }), "{error:?}");
    postgres.start_again().await;
    assert_eq!(db.repos.agents.find(agent.agent_id).await.unwrap().as_ref(), Some(&agent));
    postgres.stop().await;
    postgres.start_again().await;
    assert_eq!(db.repos.agents.find(agent.agent_id).await.unwrap(), Some(agent));
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        ("mysql://localhost/x".to_owned(), "must begin with"),
        ("postgres://u:canary@127.0.0.1:1/x".to_owned(), "connection failed"),
        ("postgres://u:canary@127.0.0.1:notaport/x".to_owned(), "invalid port number"),
        (format!("sqlite:{}/missing/agentidp.db", folder.path().display()), "unable to open database file"),
    ];
    for (url, why) in table {
        let error = repo::open(&url).await.unwrap_err();
        let told = format!("{error:?}");
        assert!(told.contains(why) && !told.contains("canary"), "{told}");
    }
    let missing = support::postgres().fresh_database().await.replace("/test_", "/no_such_");
    assert!(format!("{:?}", repo::open(&missing).await.unwrap_err()).contains("does not exist"));
}
