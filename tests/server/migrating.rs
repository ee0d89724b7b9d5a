//! A migration beside servers that run.

use std::sync::Arc;

use sqlx::PgPool;

use crate::site::Site;
use crate::support;
use crate::support::process::until;

/// Whoever waits for a lock on a table has others wait behind it, whatever else holds the lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_lock_lets_others_pass() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    let database = PgPool::connect(&url).await.unwrap();
    let before = "DROP INDEX idx_agents_list, idx_audit_events_list_of_credential, idx_audit_events_list_of_actor; \
                  DELETE FROM _sqlx_migrations WHERE version = 37";
    sqlx::raw_sql(before).execute(&database).await.unwrap();
    let mut writer = database.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE audit_events IN ROW EXCLUSIVE MODE").execute(&mut *writer).await.unwrap();

    let repo = Arc::clone(&site.app.repos.database);
    let migration = tokio::spawn(async move { repo.migrate().await });
    until("it waits", async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit_events'::regclass";
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&database).await.unwrap() > 0
    })
    .await;
    site.agent("a@agents.example").await;
    assert!(!migration.is_finished());
    writer.rollback().await.unwrap();
    migration.await.unwrap().unwrap();
    assert!(site.app.repos.database.is_current().await.unwrap());
}
