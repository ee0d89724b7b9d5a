//! A connection to either database, past the server.

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};

pub(super) enum Connection {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Connection {
    /// Makes the file of a SQLite database that is not there.
    pub(super) async fn to(url: &str) -> Self {
        if url.starts_with("postgres:") {
            return Self::Postgres(PgConnection::connect(url).await.unwrap());
        }
        Self::Sqlite(url.parse::<SqliteConnectOptions>().unwrap().create_if_missing(true).connect().await.unwrap())
    }

    /// Runs the migrations up to this one.
    pub(super) async fn migrate(mut self, migrations: &Migrator, newest: i64) {
        match &mut self {
            Self::Postgres(connection) => migrations.run_to(newest, connection).await.unwrap(),
            Self::Sqlite(connection) => migrations.run_to(newest, connection).await.unwrap(),
        }
    }

    /// Begins a transaction that writes. Dropped without a commit, it changed nothing.
    pub(super) async fn begin(mut self) -> Self {
        self.run(if matches!(self, Self::Postgres(_)) { "BEGIN" } else { "BEGIN IMMEDIATE" }).await;
        self
    }

    pub(super) async fn commit(mut self) {
        self.run("COMMIT").await;
    }

    /// How many rows the statement touched.
    pub(super) async fn run(&mut self, statement: impl Into<String>) -> u64 {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement.into()));
        match self {
            Self::Postgres(connection) => statement.execute(connection).await.unwrap().rows_affected(),
            Self::Sqlite(connection) => statement.execute(connection).await.unwrap().rows_affected(),
        }
    }

    /// A column of text.
    pub(super) async fn texts(&mut self, query: impl Into<String>) -> Vec<String> {
        let query = AssertSqlSafe(query.into());
        match self {
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_all(connection).await.unwrap(),
            Self::Sqlite(connection) => sqlx::query_scalar(query).fetch_all(connection).await.unwrap(),
        }
    }
}
