//! A PostgreSQL cluster for this test binary, by the support code of the repository. Yours has a database by other means.

#[expect(dead_code, reason = "the repository's tests use more of it")]
#[path = "../support/find.rs"]
pub(crate) mod find;
#[expect(dead_code, reason = "the repository's tests use more of it")]
#[path = "../support/postgres.rs"]
pub(crate) mod postgres;
#[expect(dead_code, reason = "the repository's tests use more of it")]
#[path = "../support/process.rs"]
pub(crate) mod process;

/// A pool on an empty database, in the one cluster of this binary: it ends with the process.
pub(crate) async fn fresh_pool() -> sqlx::PgPool {
    static SHARED: std::sync::OnceLock<postgres::Postgres> = std::sync::OnceLock::new();
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(postgres::Postgres::start_throwaway())
    };
    let cluster = SHARED.get_or_init(|| std::thread::scope(|scope| scope.spawn(start).join().unwrap()));
    sqlx::PgPool::connect(&cluster.fresh_database().await).await.unwrap()
}
