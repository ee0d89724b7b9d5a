//! An own PostgreSQL cluster.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::find;
use super::process::{Home, Service};

/// "Immediate": at once, children too. Nobody needs the data any more.
const END: &str = "QUIT";

/// A cluster that ends with the test process, or when dropped.
pub(crate) struct Postgres {
    service: Service,
    data: PathBuf,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// A cluster of a test's own, which it may stop and start again. Its data is safe on disk, as in production.
    pub(crate) async fn start_own() -> Self {
        Self::start("on").await
    }

    /// The shared one: nothing outlives it, so it need not wait for the disk. With `TEST_POSTGRES_DURABLE` set it does, so that
    /// what a test measures is what production takes.
    pub(super) async fn start_throwaway() -> Self {
        Self::start(if std::env::var_os("TEST_POSTGRES_DURABLE").is_some() { "on" } else { "off" }).await
    }

    /// The address of a new, empty database: one for each test.
    pub(crate) async fn fresh_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&url(self.port, "postgres")).await.expect("our own cluster answers");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"));
        sqlx::raw_sql(create).execute(&mut connection).await.expect("a database");
        url(self.port, &name)
    }

    /// Clean stop ("fast"): open connections are cut, data is kept.
    pub(crate) async fn stop(&mut self) {
        self.service.end_by("INT").await;
    }

    /// Crash: the next start recovers.
    pub(crate) async fn kill(&mut self) {
        self.service.end_by("KILL").await;
    }

    /// Starts again after `stop` or `kill`, on the same port.
    pub(crate) async fn start_again(&mut self) {
        let (port, data) = (self.port, &self.data);
        self.service.start_again(&arguments(port, "on"), || is_ours(port, data)).await;
    }

    async fn start(durable: &str) -> Self {
        let programs = find::postgres_folder();
        let home = Home::new();
        let initdb = ["-D", "data", "-U", "agentidp", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"];
        home.run(&programs.join("initdb"), &initdb);
        let data = home.path().join("data").canonicalize().expect("what initdb made");
        let arguments = |_: &Home, port| arguments(port, durable);
        let program = programs.join("postgres");
        let (service, port) = Service::start(home, END, program, arguments, |port| is_ours(port, &data)).await;
        Self { service, data, port, databases: AtomicU32::new(0) }
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://agentidp@127.0.0.1:{port}/{database}")
}

fn arguments(port: u16, durable: &str) -> Vec<String> {
    let settings = [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(), // 127.0.0.1 is enough, and a socket's path may be too long
        "max_connections=300".to_owned(),      // many tests at once, each with its pool
        format!("fsync={durable}"),
        format!("synchronous_commit={durable}"),
        format!("full_page_writes={durable}"),
    ];
    let flags = settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]);
    ["-D".to_owned(), "data".to_owned()].into_iter().chain(flags).collect()
}

/// Another cluster may have been faster to the port: only ours has our data folder.
async fn is_ours(port: u16, data: &Path) -> bool {
    let Ok(mut connection) = PgConnection::connect(&url(port, "postgres")).await else { return false };
    let found: Result<String, _> = sqlx::query_scalar("SHOW data_directory").fetch_one(&mut connection).await;
    found.is_ok_and(|found| Path::new(&found) == data)
}
