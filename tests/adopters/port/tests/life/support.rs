//! The cluster of this test binary, and this provider's own tables in it.

#[path = "../../../support.rs"]
mod cluster;

pub(crate) use self::cluster::process;

/// A pool on a fresh database with the tables.
pub(crate) async fn fresh_pool() -> sqlx::PgPool {
    let pool = cluster::fresh_pool().await;
    sqlx::migrate!().run(&pool).await.unwrap();
    pool
}
