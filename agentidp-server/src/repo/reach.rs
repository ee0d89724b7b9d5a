//! What a connection pool reports late or never: that the database refuses connections, that a connection leads to a server
//! that has become read-only, and that a disk is full.

use std::io::{Error as IoError, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
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

/// The way to the database. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub(super) struct Reach(Arc<Inner>);

struct Inner {
    /// Where the database listens; none: it has no address.
    address: Option<Address>,
    /// When the address was tried last, and whether it refused.
    tried: tokio::sync::Mutex<Option<(Instant, bool)>>,
    /// When the database last refused a write because it is read-only.
    read_only_at: Mutex<Option<Instant>>,
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
            read_only_at: Mutex::new(None),
            full: AtomicBool::new(false),
        }))
    }

    /// Waits until the database refuses connections, and returns the error of that.
    ///
    /// A pool would go on trying until its time is over, with each waiting request holding a place.
    pub(super) async fn refused(&self) -> sqlx::Error {
        loop {
            sleep(PATIENCE).await;
            if self.is_refused().await {
                return sqlx::Error::Io(ErrorKind::ConnectionRefused.into());
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

    /// Notes what an error says of the server that the connection leads to.
    pub(super) fn note(&self, error: &sqlx::Error) {
        if is_read_only(error) {
            let mut at = self.0.read_only_at.lock().unwrap_or_else(PoisonError::into_inner);
            if at.is_none_or(|at| at.elapsed() > READ_ONLY_PERIOD) {
                *at = Some(Instant::now());
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

    /// Whether a connection of this age may be used. One that was open when a write was refused may lead to a server that
    /// is the primary no longer; a new one leads to today's.
    pub(super) fn may_use(&self, age: Duration) -> bool {
        let at = *self.0.read_only_at.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_none_or(|at| age < at.elapsed())
    }
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
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "25006")
}

/// SQLSTATE 53100: the disk is full.
fn is_disk_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "53100")
}
