//! Listens for changed rows, on a connection of its own, and keeps the row cache's lease alive.
//!
//! PostgreSQL tells of a commit before it answers anything that was asked after it, on the same connection and in order. So
//! an answer to a question that was sent at some moment proves that every change up to then has been told.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};
use uuid::Uuid;

use super::STATEMENT_TIMEOUT;
use crate::repo::RepoError;
use crate::repo::error::describe;
use crate::repo::row_cache::RowCache;
use crate::repo::watch::{ACQUIRE_TIMEOUT, QueryObserver};

/// Where the triggers of migration 0011 tell of changes: a client's id, or [`ALL`].
const CHANNEL: &str = "agentidp_clients";

/// Anything may have changed.
const ALL: &str = "all";

/// As operators see it in `pg_stat_activity`.
const NAME: &str = "agentidp-server listener";

const HUNG_UP: &str = "the database has hung up";

/// Time between two questions: a third of the lease, so that one late answer does not end it.
const PERIOD: Duration = Duration::from_millis(250);

/// How long a notification of our own may take to come back.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Pauses before it is tried again: the first, doubled up to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// Listens until the handle is dropped, connecting again whenever it has to.
pub(in crate::repo) fn listen(
    url: &str,
    cache: Arc<RowCache>,
    observer: Arc<dyn QueryObserver>,
) -> Result<AbortOnDropHandle<()>, RepoError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| RepoError::new("listen", error))?;
    let options = options.application_name(NAME).options([("statement_timeout", STATEMENT_TIMEOUT)]);
    Ok(AbortOnDropHandle::new(tokio::spawn(run(options, cache, observer))))
}

async fn run(options: PgConnectOptions, cache: Arc<RowCache>, observer: Arc<dyn QueryObserver>) {
    observer.listener(false);
    let (mut pause, mut told) = (PAUSES.0, false);
    loop {
        let reason = match timeout(ACQUIRE_TIMEOUT + PROBE_TIMEOUT, begin(&options)).await {
            Ok(Ok(session)) => {
                info!("listening for changed rows: rows of known clients are served from memory");
                (pause, told) = (PAUSES.0, false);
                observer.listener(true);
                session.keep(&cache).await
            }
            Ok(Err(reason)) => reason,
            Err(_) => sqlx::Error::PoolTimedOut.into(),
        };
        cache.end_lease();
        observer.listener(false);
        if !told {
            warn!(%reason, "changed rows are not heard of: every request reads its rows until they are");
            told = true;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Why nothing is heard.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unheard(Cow<'static, str>);

impl From<sqlx::Error> for Unheard {
    fn from(error: sqlx::Error) -> Self {
        Self(Cow::Owned(describe(&error)))
    }
}

/// A connection that is known to tell of changes.
struct Session(PgListener);

async fn begin(options: &PgConnectOptions) -> Result<Session, Unheard> {
    // A pool of one, because that is what the driver's listener takes. It must not come back behind our back.
    let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    let probe = format!("agentidp_probe_{}", Uuid::new_v4().simple());
    listener.listen_all([CHANNEL, &probe]).await?;
    let triggers: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_trigger WHERE tgenabled = 'A' AND \
         (tgrelid = 'agents'::regclass AND tgname IN ('agentidp_agent_changed', 'agentidp_agents_emptied') OR \
         tgrelid = 'credentials'::regclass AND tgname IN ('agentidp_credential_changed', 'agentidp_credentials_emptied'))",
    )
    .fetch_one(&mut listener)
    .await?;
    if triggers != 4 {
        return Err(unheard("the triggers of migration 0011 are missing or disabled on agents or credentials"));
    }
    // A pooler that lends connections for a transaction at a time takes the LISTEN, and what is told meanwhile goes astray.
    let mut other = PgConnection::connect_with(options).await?;
    sqlx::query("SELECT pg_notify($1, '')").bind(&probe).execute(&mut other).await?;
    other.close().await?;
    let heard = timeout(PROBE_TIMEOUT, async {
        while let Some(told) = listener.try_recv().await? {
            if told.channel() == probe {
                return Ok(true);
            }
        }
        Ok::<_, sqlx::Error>(false)
    });
    match heard.await {
        Ok(Ok(true)) => Ok(Session(listener)),
        Ok(Ok(false)) => Err(unheard(HUNG_UP)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(unheard(
            "notifications do not arrive: DATABASE_URL probably leads to a pooler in transaction mode; give it the \
             database itself, or a pooler in session mode",
        )),
    }
}

impl Session {
    /// Forgets what changed, for as long as the connection lives.
    async fn keep(mut self, cache: &RowCache) -> Unheard {
        // What was kept under an earlier connection may have changed between the two.
        cache.forget_all();
        loop {
            if let Err(error) = self.turn(cache).await {
                return error;
            }
        }
    }

    /// Asks for a sign of life, and then hears what there is until it is time for the next.
    async fn turn(&mut self, cache: &RowCache) -> Result<(), Unheard> {
        let (sent, next) = (cache.now(), Instant::now() + PERIOD);
        let question =
            sqlx::query_scalar("SELECT current_setting('transaction_read_only') = 'on'").fetch_one(&mut self.0);
        let question = timeout(ACQUIRE_TIMEOUT, question).await;
        // After a failover this connection may still lead to the old primary, where no change arrives.
        if question.map_err(|_| unheard("the database does not answer"))?? {
            return Err(unheard("the database is read-only"));
        }
        while let Some(told) = self.0.next_buffered() {
            forget(cache, told.channel(), told.payload());
        }
        cache.extend(sent);
        loop {
            // Safe to drop: a message is taken when it is there as a whole, and then at once returned.
            tokio::select! {
                told = self.0.try_recv() => match told? {
                    Some(told) => forget(cache, told.channel(), told.payload()),
                    None => return Err(unheard(HUNG_UP)),
                },
                () = sleep_until(next) => return Ok(()),
            }
        }
    }
}

fn forget(cache: &RowCache, channel: &str, payload: &str) {
    if channel != CHANNEL {
        return;
    }
    match payload.parse() {
        Ok(client_id) => cache.forget(client_id),
        // Whatever else it says, it says that something has changed.
        Err(_) => {
            if payload != ALL {
                warn!("a notification names no client: everything is read again");
            }
            cache.forget_all();
        }
    }
}

fn unheard(why: &'static str) -> Unheard {
    Unheard(Cow::Borrowed(why))
}
