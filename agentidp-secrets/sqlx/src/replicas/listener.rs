//! Listens for changed rows and for questions, on a connection of its own, and keeps the lease of what is in memory alive.
//!
//! PostgreSQL tells of a commit before it answers anything that was asked after the commit's own answer, on the same connection and in
//! order. So an answer to a question that was sent at some moment proves that every change up to then has been told.

use std::borrow::Cow;
use std::mem;
use std::time::{Duration, SystemTime};

use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::lease::Memory;
use super::list::List;
use crate::Error;
use crate::columns::time;

/// Where writers ask: `NAME NUMBER`.
const QUESTIONS: &str = "agentidp_questions";

/// Where the answers to a writer go, with its name behind: `NUMBER NAME`.
const ANSWERS: &str = "agentidp_answers_";

const HUNG_UP: &str = "the database has hung up";

/// Time between two signs of life: a third of the lease, so that one late answer does not end it.
const PERIOD: Duration = Duration::from_millis(250);

/// How long an answer of the database may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a notification of our own may take to come back.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Pauses before it is tried again: the first, doubled up to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

pub(super) async fn run(
    replicas: &List,
    options: PgConnectOptions,
    memory: &dyn Memory,
    tell: &(dyn Fn(Result<(), &str>) + Send + Sync),
) {
    let options = options.application_name(replicas.tables.name);
    let (mut pause, mut told, mut former) = (PAUSES.0, false, None);
    loop {
        let begun = Session::begin(replicas, &options, memory, &mut former);
        let reason = match timeout(ANSWER_TIMEOUT + PROBE_TIMEOUT, begun).await {
            Ok(Ok(session)) => {
                tell(Ok(()));
                (pause, told) = (PAUSES.0, false);
                session.keep().await
            }
            Ok(Err(reason)) => reason,
            Err(_) => sqlx::Error::PoolTimedOut.into(),
        };
        if !mem::replace(&mut told, true) {
            tell(Err(&reason.0));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Why nothing is heard.
struct Unheard(Cow<'static, str>);

impl From<sqlx::Error> for Unheard {
    fn from(error: sqlx::Error) -> Self {
        Self(Cow::Owned(Error::from(error).to_string()))
    }
}

fn unheard(why: &'static str) -> Unheard {
    Unheard(Cow::Borrowed(why))
}

/// The server process behind a connection, and when the server was started. A proxy may lead to another one, which knows of no LISTEN.
type Process = (i32, String);

/// A connection that is known to tell of changes. When it is over, no rows are served.
struct Session<'a> {
    listener: PgListener,
    process: Process,
    name: String,
    /// Who has asked, and what: not answered yet.
    asked: (Vec<String>, Vec<String>),
    replicas: &'a List,
    memory: &'a dyn Memory,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.memory.end_lease();
        self.replicas.questions.end();
    }
}

impl<'a> Session<'a> {
    /// Listens, and then puts itself on the list: whoever is on it can answer.
    async fn begin(
        replicas: &'a List,
        options: &PgConnectOptions,
        memory: &'a dyn Memory,
        former: &mut Option<String>,
    ) -> Result<Self, Unheard> {
        let tables = &replicas.tables;
        // A pool of one, because that is what the driver's listener takes. It must not come back behind our back.
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.acquire_timeout(ANSWER_TIMEOUT).connect_lazy_with(options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        let about =
            "SELECT replace(gen_random_uuid()::text, '-', ''), pg_backend_pid(), pg_postmaster_start_time()::text";
        let (name, pid, started): (String, i32, String) = sqlx::query_as(about).fetch_one(&mut listener).await?;
        let probe = format!("agentidp_probe_{name}");
        listener.listen_all([tables.channel, QUESTIONS, &format!("{ANSWERS}{name}"), &probe]).await?;
        if !sqlx::query_scalar(tables.triggers_work).fetch_one(&mut listener).await? {
            return Err(unheard(tables.triggers_missing));
        }
        prove(&mut listener, options, &probe).await?;
        let register = "WITH former AS (DELETE FROM agentidp_replicas WHERE replica = $2) \
                        INSERT INTO agentidp_replicas (replica) VALUES ($1)";
        sqlx::query(register).bind(&name).bind(former.as_deref()).execute(&mut listener).await?;
        *former = Some(name.clone());
        replicas.questions.begin(&name);
        Ok(Self { listener, process: (pid, started), name, asked: Default::default(), replicas, memory })
    }

    /// Forgets what changed, for as long as the connection lives.
    async fn keep(mut self) -> Unheard {
        // What was kept under an earlier connection may have changed between the two.
        self.memory.forget_all();
        loop {
            if let Err(error) = self.turn().await {
                return error;
            }
        }
    }

    /// Asks for a sign of life, and then hears what there is until it is time for the next.
    async fn turn(&mut self) -> Result<(), Unheard> {
        let (sent, next) = (self.memory.now(), Instant::now() + PERIOD);
        let database_time = in_time(self.sign_of_life()).await??;
        self.hear_all(None).await?;
        self.memory.extend(sent, database_time);
        let over = self.replicas.questions.take_removable();
        if !over.is_empty() {
            let remove = sqlx::query("DELETE FROM agentidp_replicas WHERE replica = ANY($1) AND is_off").bind(over);
            in_time(remove.execute(&mut self.listener)).await??;
        }
        loop {
            // Safe to drop: a message is taken when it is there as a whole, and then at once returned.
            let told = tokio::select! {
                told = self.listener.try_recv() => told?,
                () = sleep_until(next) => return Ok(()),
            };
            self.hear_all(Some(told.ok_or_else(|| unheard(HUNG_UP))?)).await?;
        }
    }

    async fn sign_of_life(&mut self) -> Result<SystemTime, Unheard> {
        let ask = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', pg_backend_pid(), \
                   pg_postmaster_start_time()::text, (SELECT is_off FROM agentidp_replicas WHERE replica = $1), \
                   floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let ask = sqlx::query_as(ask).bind(&self.name).fetch_one(&mut self.listener);
        let (is_read_only, pid, started, is_off, millis): (bool, i32, String, Option<bool>, i64) = ask.await?;
        // After a failover this connection may still lead to the old primary, where no change arrives.
        if is_read_only {
            return Err(unheard("the database is read-only"));
        }
        if (pid, started) != self.process {
            return Err(unheard("the connection leads to another database server by now"));
        }
        if is_off != Some(false) {
            return Err(unheard(
                "this server was silent when it was asked, so that others do not wait for it any more",
            ));
        }
        Ok(time(millis))
    }

    /// Forgets what is told of, in order, and then answers what was asked.
    async fn hear_all(&mut self, first: Option<PgNotification>) -> Result<(), Unheard> {
        let mut told = first;
        while let Some(notification) = told.or_else(|| self.listener.next_buffered()) {
            self.hear(notification.channel(), notification.payload());
            told = None;
        }
        let (askers, numbers) = mem::take(&mut self.asked);
        if askers.is_empty() {
            return Ok(());
        }
        let answer = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1 || asker, number || ' ' || $2)::text \
                      FROM unnest($3::text[], $4::text[]) AS asked (asker, number)";
        let answer = sqlx::query(answer).bind(ANSWERS).bind(&self.name).bind(askers).bind(numbers);
        in_time(answer.execute(&mut self.listener)).await??;
        Ok(())
    }

    fn hear(&mut self, channel: &str, payload: &str) {
        if channel == self.replicas.tables.channel {
            self.memory.told(payload);
        } else if channel == QUESTIONS {
            // Our own question comes to us as well. A name is the rest of a channel's name, of which the length is limited.
            let question = payload.split_once(' ').filter(|(asker, _)| *asker != self.name && asker.len() == 32);
            if let Some((asker, number)) = question {
                self.asked.0.push(asker.to_owned());
                self.asked.1.push(number.to_owned());
            }
        } else if channel.starts_with(ANSWERS) {
            self.replicas.questions.answered(payload);
        }
    }
}

/// A pooler that lends connections for a transaction at a time takes the LISTEN, and what is told meanwhile goes astray.
async fn prove(listener: &mut PgListener, options: &PgConnectOptions, probe: &str) -> Result<(), Unheard> {
    let mut other = PgConnection::connect_with(options).await?;
    sqlx::query("SELECT pg_notify($1, '')").bind(probe).execute(&mut other).await?;
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
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(unheard(HUNG_UP)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(unheard(
            "notifications do not arrive: the address probably leads to a pooler in transaction mode; give it the database \
             itself, or a pooler in session mode",
        )),
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Unheard> {
    timeout(ANSWER_TIMEOUT, work).await.map_err(|_| unheard("the database does not answer"))
}
