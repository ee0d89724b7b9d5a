//! What a connection pool reports late or never: that the database refuses connections, that nobody answers on those that are
//! open, that a connection leads to a server that has become read-only, and that a disk is full.

use std::io::{Error as IoError, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};

/// How long an operation may take before the address is tried. Most are done by then.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long the outcome of such a try counts, for all operations together.
const FRESH: Duration = Duration::from_millis(50);

/// How long such a try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(1);

/// While every connection is read-only, the pool connects again at most this often.
const READ_ONLY_PERIOD: Duration = Duration::from_secs(1);

/// How long an operation may take. The wait for a connection and the longest statement are over before, so what has not ended by
/// then asks a host that is gone, or one that nothing leads to. TCP repeats what is not acknowledged for a quarter of an hour.
pub(super) const DEADLINE: Duration = Duration::from_secs(16);

/// How long a connection may take to answer when it goes back to the pool.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A database that has carried out an operation so recently is there.
const JUST: Duration = Duration::from_millis(50);

/// For so long after an operation was given up its connection may not have gone back yet.
const DOUBT: Duration = Duration::from_secs(10);

/// The way to the database. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub(super) struct Reach(Arc<Inner>);

struct Inner {
    /// Where the database listens; none: it has no address.
    address: Option<Address>,
    /// When the address was tried last, and whether it refused.
    tried: tokio::sync::Mutex<Option<(Instant, bool)>>,
    /// When the database last refused a write because it is read-only, or did not answer: older connections are not used.
    stale_since: Mutex<Option<Instant>>,
    /// When it last carried out an operation.
    heard: Mutex<Option<Instant>>,
    /// When an operation was last given up.
    doubted: Mutex<Option<Instant>>,
    /// Whether the database had no room for a write, and has not shown since that it has.
    full: AtomicBool,
}

enum Address {
    Tcp(String, u16),
    Socket(PathBuf),
}

impl Reach {
    /// A database without an address.
    pub(super) fn embedded() -> Self {
        Self::to(None)
    }

    pub(super) fn postgres(options: &PgConnectOptions) -> Self {
        let (host, port) = (options.get_host(), options.get_port());
        let folder = options.get_socket().map(PathBuf::as_path).or(host.starts_with('/').then_some(host.as_ref()));
        Self::to(Some(match folder {
            // libpq's name for it.
            Some(folder) => Address::Socket(folder.join(format!(".s.PGSQL.{port}"))),
            None => Address::Tcp(host.to_owned(), port),
        }))
    }

    fn to(address: Option<Address>) -> Self {
        Self(Arc::new(Inner {
            address,
            tried: tokio::sync::Mutex::new(None),
            stale_since: Mutex::new(None),
            heard: Mutex::new(None),
            doubted: Mutex::new(None),
            full: AtomicBool::new(false),
        }))
    }

    /// Waits until the database refuses connections, or has not answered `within` that time, and returns the error of that.
    ///
    /// A pool would go on trying until its time is over, with each waiting request holding a place.
    pub(super) async fn lost(&self, within: Option<Duration>) -> sqlx::Error {
        let begun = Instant::now();
        loop {
            sleep(PATIENCE).await;
            if self.is_refused().await {
                return sqlx::Error::Io(ErrorKind::ConnectionRefused.into());
            }
            if let Some(limit) = within.filter(|limit| begun.elapsed() >= *limit) {
                // Connections that are open by now are used no more.
                *locked(&self.0.stale_since) = Some(Instant::now());
                return sqlx::Error::Io(IoError::new(ErrorKind::TimedOut, format!("no answer within {limit:?}")));
            }
        }
    }

    async fn is_refused(&self) -> bool {
        let Some(address) = &self.0.address else { return std::future::pending().await };
        let mut tried = self.0.tried.lock().await;
        if let Some((at, refused)) = *tried
            && at.elapsed() < FRESH
        {
            return refused;
        }
        let refused = match timeout(TRY_TIMEOUT, address.connect()).await {
            Ok(Err(error)) => matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
            Ok(Ok(())) | Err(_) => false,
        };
        *tried = Some((Instant::now(), refused));
        refused
    }

    /// Whether a connection that goes back to the pool answers.
    ///
    /// The pool asks as well, without a limit, and until it has an answer the connection keeps its place: a few operations that were
    /// given up would leave no place for a new connection, long after the database has come back.
    pub(super) async fn answers(&self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        let is_within = |at: &Mutex<Option<Instant>>, time| locked(at).is_some_and(|at| at.elapsed() < time);
        if is_within(&self.0.heard, JUST) && !is_within(&self.0.doubted, DOUBT) {
            return Ok(true);
        }
        match timeout(ANSWER_TIMEOUT, connection.ping()).await {
            Ok(answered) => answered.map(|()| true),
            Err(_) => Err(sqlx::Error::Io(ErrorKind::TimedOut.into())),
        }
    }

    /// An operation was given up: on its connection an answer may never come.
    pub(super) fn doubt(&self) {
        *locked(&self.0.doubted) = Some(Instant::now());
    }

    /// Notes what the outcome of an operation says of the server that the connection leads to.
    pub(super) fn note<T>(&self, outcome: &sqlx::Result<T>) {
        match outcome {
            Ok(_) => *locked(&self.0.heard) = Some(Instant::now()),
            Err(error) => self.note_error(error),
        }
    }

    pub(super) fn note_error(&self, error: &sqlx::Error) {
        if is_read_only(error) {
            let mut since = locked(&self.0.stale_since);
            if since.is_none_or(|at| at.elapsed() > READ_ONLY_PERIOD) {
                *since = Some(Instant::now());
            }
        }
        if is_disk_full(error) {
            self.0.full.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a write found no room since [`found_room`](Self::found_room).
    pub(super) fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    pub(super) fn found_room(&self) {
        self.0.full.store(false, Ordering::Relaxed);
    }

    /// Whether a connection of this age may be used. One that was open when a write was refused, or when nobody answered, may lead to
    /// a server that is the primary no longer; a new one leads to today's.
    pub(super) fn may_use(&self, age: Duration) -> bool {
        locked(&self.0.stale_since).is_none_or(|at| age < at.elapsed())
    }
}

fn locked(at: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    at.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Address {
    async fn connect(&self) -> Result<(), IoError> {
        match self {
            Self::Tcp(host, port) => TcpStream::connect((host.as_str(), *port)).await.map(drop),
            Self::Socket(path) => UnixStream::connect(path).await.map(drop),
        }
    }
}

/// SQLSTATE 25006: the session or the whole server is read-only.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    has_code(error, "25006")
}

/// SQLSTATE 53100: the disk is full.
fn is_disk_full(error: &sqlx::Error) -> bool {
    has_code(error, "53100")
}

/// Whether the database has refused with this SQLSTATE.
pub(super) fn has_code(error: &sqlx::Error, sqlstate: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == sqlstate)
}
