//! What every operation on the database goes through: it is measured, and its errors are translated.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::Clock;
use tracing::debug;

use super::reach::{DEADLINE, Reach, is_read_only};
use super::{RepoError, Result, RowCacheOutcome};

/// How long a caller waits for a connection, or for the other process that writes to a SQLite file.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections of one server. A statement takes about a millisecond: more would only wait in the database instead.
pub(super) const CONNECTIONS: u32 = 8;

/// Connections of their own for lists: a deep page takes seconds, and nothing else waits for it.
pub const LIST_CONNECTIONS: u32 = 2;

/// Hears how long each operation took, and what went wrong without anybody being told.
pub trait QueryObserver: Send + Sync + 'static {
    /// `operation` is the method's name as in `agents.create`.
    fn observe(&self, operation: &'static str, elapsed: Duration);

    /// So many audit events were not written, and whoever caused them had been answered before.
    fn audit_events_lost(&self, _events: u64) {}

    /// A client's rows were looked for in memory.
    fn row_cache(&self, _outcome: RowCacheOutcome) {}

    /// Whether changes of rows are heard of, where there is anybody to listen.
    fn listener(&self, _hears: bool) {}
}

pub(super) struct NobodyListens;

impl QueryObserver for NobodyListens {
    fn observe(&self, _operation: &'static str, _elapsed: Duration) {}
}

/// Runs operations: measures them and translates their errors.
#[derive(Clone)]
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    observer: Arc<dyn QueryObserver>,
    reach: Reach,
}

/// An operation whose caller goes away leaves a connection on which an answer is awaited.
struct GivenUp<'a>(&'a Reach);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.0.doubt();
    }
}

impl Watch {
    pub(super) fn new(clock: Arc<dyn Clock>, observer: Arc<dyn QueryObserver>, reach: Reach) -> Self {
        Self { clock, observer, reach }
    }

    /// For the database that `reach` leads to.
    pub(super) fn over(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// Runs `work`. It fails at once when the database refuses connections, and when it does not answer for longer than it may: the
    /// outcome of what was sent before is then as unknown as after any lost connection.
    pub(super) async fn run<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> Result<T> {
        self.run_within(Some(DEADLINE), operation, work).await
    }

    /// As [`run`](Self::run), for what may take any time.
    pub(super) async fn run_long<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> Result<T> {
        self.run_within(None, operation, work).await
    }

    async fn run_within<T>(
        &self,
        limit: Option<Duration>,
        operation: &'static str,
        work: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> Result<T> {
        let begun = self.clock.instant();
        let mut work = pin!(work);
        // Dropped before the work is, and so before its connection goes back.
        let given_up = GivenUp(&self.reach);
        let done = tokio::select! {
            biased;
            done = work.as_mut() => {
                std::mem::forget(given_up);
                done
            }
            error = self.reach.lost(limit) => Err(error),
        };
        self.reach.note(&done);
        self.observer.observe(operation, self.clock.instant().saturating_duration_since(begun));
        done.map_err(|error| RepoError::new(operation, error))
    }

    /// As [`run`](Self::run), for what may be done twice: a read, or a write that changes nothing the second time.
    pub(super) async fn again<T, F>(&self, operation: &'static str, work: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = sqlx::Result<T>> + Send,
    {
        self.run(operation, self.on_a_live_connection(work)).await
    }

    /// Does `work` once more for each connection of the pool that turns out to be dead. They are not tried before they are
    /// used: that would be a round trip for each statement, to find what a restart of the database does once in a while, and
    /// then to all of them.
    pub(super) async fn on_a_live_connection<T, F>(&self, work: impl Fn() -> F) -> sqlx::Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        for _ in 0..CONNECTIONS {
            match work().await {
                Err(error) if is_lost(&error) => {
                    debug!(%error, "a connection to the database was dead: trying another")
                }
                // Nothing was written. The next connection is a new one: it may lead to the primary.
                Err(error) if is_read_only(&error) => {
                    self.reach.note_error(&error);
                    return work().await;
                }
                decided => return decided,
            }
        }
        work().await
    }
}

/// Whether it was the connection that failed. What it was asked last may have been done or not.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // The server says why it hangs up: it is being stopped (57P01), a process of it crashed (57P02), it is just
        // starting (57P03); class 08 is the connection itself. A pooler that refuses what is asked for says 08P01, each time.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            matches!(&*code, "57P01" | "57P02" | "57P03") || is_class(&code, "08") && code != "08P01"
        }),
        _ => false,
    }
}

/// Whether `code` is an SQLSTATE of this class. SQLite's codes are numbers without such classes.
fn is_class(code: &str, class: &str) -> bool {
    code.len() == 5 && code.starts_with(class)
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
