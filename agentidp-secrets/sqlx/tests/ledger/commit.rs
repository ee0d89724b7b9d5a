//! What a commit came to, and which transactions may be run again.

use std::time::Duration;

use agentidp_secrets::CredentialKey;
use agentidp_secrets::lifecycle::{Change, CommitError, Failure, Ledger, Note, Row};
use agentidp_secrets_sqlx::{Error, PgLedger, PgTx, SqliteLedger, SqliteTx};
use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use tokio::task::yield_now;

use crate::site::{WAITING, on_postgres, on_sqlite};

/// The caller's table, whose trigger fails each commit in which a row was inserted: by this statement.
async fn fails_at_commit(pool: &sqlx::PgPool, by: &str) {
    let sql = format!(
        "CREATE TABLE audit (event text); \
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {by}; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION fail()"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

/// Writes an audit event, or a wrong statement whose error it swallows.
struct Audit {
    statement: &'static str,
}

#[async_trait]
impl Change<PgLedger> for Audit {
    async fn after(&self, tx: &mut PgTx, _row: &Row) -> Result<(), Error> {
        let _swallowed = sqlx::query(self.statement).execute(&mut **tx).await;
        Ok(())
    }
}

const AUDIT: Audit = Audit { statement: "INSERT INTO audit VALUES ('issued')" };

#[tokio::test]
async fn a_commit_that_the_database_refuses_is_not_done() {
    let site = on_postgres().await;
    fails_at_commit(&site.pool, "RAISE EXCEPTION 'no'").await;
    let mut tx = site.ledger.begin().await.unwrap();
    AUDIT.after(&mut tx, &Row::new(site.key.clone(), None, None)).await.unwrap();
    assert!(matches!(site.ledger.commit(tx).await, Err(CommitError::NotDone(_))));
}

#[tokio::test]
async fn a_commit_whose_connection_is_lost_is_unknown() {
    let site = on_postgres().await;
    fails_at_commit(&site.pool, "PERFORM pg_terminate_backend(pg_backend_pid())").await;
    let mut tx = site.ledger.begin().await.unwrap();
    AUDIT.after(&mut tx, &Row::new(site.key.clone(), None, None)).await.unwrap();
    assert!(matches!(site.ledger.commit(tx).await, Err(CommitError::Unknown(_))));
    // The lifecycle finds out: nothing was committed, and nothing is shown.
    assert!(matches!(site.life.issue(&site.key, AUDIT).await, Err(Failure::Ledger(_))));
}

#[tokio::test]
async fn a_commit_that_the_database_knows_nothing_of_is_unknown() {
    let site = on_postgres().await;
    fails_at_commit(&site.pool, "RAISE EXCEPTION 'statement completion unknown' USING ERRCODE = '40003'").await;
    let mut tx = site.ledger.begin().await.unwrap();
    AUDIT.after(&mut tx, &Row::new(site.key.clone(), None, None)).await.unwrap();
    assert!(matches!(site.ledger.commit(tx).await, Err(CommitError::Unknown(_))));
}

#[tokio::test]
async fn a_connection_that_is_lost_before_the_commit_is_not_done() {
    let site = on_postgres().await;
    let mut tx = site.ledger.begin().await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *tx).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend($1, 30000)").bind(pid).execute(&site.pool).await.unwrap();
    assert!(matches!(site.ledger.commit(tx).await, Err(CommitError::NotDone(_))));
}

/// PostgreSQL answers this commit with "ROLLBACK", which is no error.
#[tokio::test]
async fn a_change_that_swallows_an_error_shows_no_secret() {
    let site = on_postgres().await;
    let wrong = Audit { statement: "INSERT INTO no_such_table VALUES (1)" };
    assert!(matches!(site.life.issue(&site.key, wrong).await, Err(Failure::Ledger(_))));
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM agentidp_credentials WHERE state = 'active'")
        .fetch_one(&site.pool)
        .await
        .unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn of_two_transactions_in_a_deadlock_one_may_be_repeated() {
    let site = on_postgres().await;
    let keys = ["credential-1", "credential-2"].map(|id| CredentialKey::parse("agent-7", id).unwrap());
    for key in &keys {
        site.life.issue(key, ()).await.unwrap();
    }
    let ledger = &site.ledger;
    let both = async |first: &CredentialKey, second: &CredentialKey, barrier: &tokio::sync::Barrier| {
        let mut tx = ledger.begin().await?;
        ledger.lock(&mut tx, first).await?;
        barrier.wait().await;
        ledger.lock(&mut tx, second).await.map(drop)
    };
    let barrier = tokio::sync::Barrier::new(2);
    let (one, other) = tokio::join!(both(&keys[0], &keys[1], &barrier), both(&keys[1], &keys[0], &barrier));
    let loser = one.and(other).expect_err("one of them is ended by PostgreSQL");
    assert!(ledger.may_repeat(&loser), "{loser}");
    assert!(!ledger.may_repeat(&Error::refuse("no")));
}

#[tokio::test]
async fn a_transaction_that_waited_too_long_for_sqlite_may_be_repeated() {
    let site = on_sqlite().await;
    let _writer = site.ledger.begin().await.unwrap();
    let folder_of_another = sqlx::sqlite::SqliteConnectOptions::clone(&site.pool.connect_options());
    let hasty = sqlx::SqlitePool::connect_lazy_with(folder_of_another.busy_timeout(Duration::ZERO));
    let busy = SqliteLedger::new(hasty).begin().await.unwrap_err();
    assert!(site.ledger.may_repeat(&busy), "{busy}");
}

/// Two new credentials of one key: the second waits for the first, although there is no row to lock.
#[tokio::test]
async fn transactions_wait_for_a_key_that_has_no_row() {
    let site = on_postgres().await;
    let mut first = site.ledger.begin().await.unwrap();
    assert_eq!(site.ledger.lock(&mut first, &site.key).await.unwrap().note, None);
    let second = tokio::spawn({
        let (ledger, key) = (site.ledger.clone(), site.key.clone());
        async move {
            let mut tx = ledger.begin().await?;
            ledger.lock(&mut tx, &key).await
        }
    });
    while !sqlx::query_scalar::<_, bool>(WAITING).fetch_one(&site.pool).await.unwrap() {
        assert!(!second.is_finished(), "it did not wait");
        yield_now().await;
    }
    let note = Note::parse("debt rest 0 - 0 0 {memory}x\n").unwrap();
    site.ledger.note(&mut first, &site.key, Some(&note)).await.unwrap();
    site.ledger.commit(first).await.unwrap();
    assert_eq!(second.await.unwrap().unwrap().note, Some(note), "it sees what it waited for");
}

#[tokio::test]
async fn transactions_read_what_they_waited_for_whatever_the_default_is() {
    let site = on_postgres().await;
    let serializable = "DO $$ BEGIN EXECUTE format( \
                        'ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END $$";
    sqlx::raw_sql(serializable).execute(&site.pool).await.unwrap();
    let anew = sqlx::PgPool::connect_lazy_with(sqlx::postgres::PgConnectOptions::clone(&site.pool.connect_options()));
    let mut tx = PgLedger::new(anew).begin().await.unwrap();
    let level: String = sqlx::query_scalar("SHOW transaction_isolation").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(level, "read committed");
}

/// Ends the transaction behind the driver's back, as SQLite does by itself when the disk is full.
struct Ends;

#[async_trait]
impl Change<SqliteLedger> for Ends {
    async fn after(&self, tx: &mut SqliteTx, _row: &Row) -> Result<(), Error> {
        sqlx::raw_sql("ROLLBACK").execute(&mut **tx).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_transaction_that_sqlite_has_ended_spoils_no_connection() {
    let site = on_sqlite().await;
    assert!(matches!(site.life.issue(&site.key, Ends).await, Err(Failure::Ledger(_) | Failure::Unknown(_))));
    for number in 0..10 {
        let key = CredentialKey::parse("agent-7", &format!("later-{number}")).unwrap();
        site.life.issue(&key, ()).await.unwrap();
    }
}
