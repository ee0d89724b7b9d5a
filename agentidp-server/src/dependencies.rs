//! What is known of the database and of Vault.
//!
//! A background task asks them every two seconds. `/health`, `/ready` and `/metrics` answer from memory, so they answer at
//! once whatever the database or Vault do.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentidp_secrets::{Clock, Error, ErrorKind, SecretStore};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::error::chain;
use crate::metrics::Metrics;
use crate::repo::{DatabaseRepo, RepoError};

/// Time between two rounds.
pub const PERIOD: Duration = Duration::from_secs(2);

/// How long the database or Vault may take for one answer. A round takes two at most: with [`PERIOD`] that is less than the
/// 5 s within which a server says that it is not ready.
const TIMEOUT: Duration = Duration::from_millis(1400);

/// After this time without a finished round nothing is known: the background task has stopped.
const STALE: Duration = Duration::from_secs(10);

/// What the library calls Vault.
const VAULT: &str = "vault-kv2";

/// What the last round found.
#[derive(Debug, Default)]
pub struct Dependencies {
    database: Mutex<Option<(Instant, Database)>>,
    vault: Mutex<Option<(Instant, Vault)>>,
}

/// What the database does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "data, read by two routes")]
pub struct Database {
    /// It answers.
    pub answers: bool,
    /// It takes writes.
    pub writes: bool,
    /// Whether every migration is applied; none while the database does not say.
    pub current: Option<bool>,
}

/// What Vault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each")]
pub enum Vault {
    /// It answers, and accepts the token.
    Up,
    /// It does not answer.
    OutOfReach,
    /// It answers, and refuses the token.
    RefusesToken,
}

impl Dependencies {
    /// What the database did in the last round. Nothing is known before the first one.
    #[must_use]
    pub fn database(&self, now: Instant) -> Database {
        known(&self.database, now).unwrap_or(Database { answers: false, writes: false, current: None })
    }

    /// What Vault did in the last round; none before the first one, and without Vault.
    #[must_use]
    pub fn vault(&self, now: Instant) -> Option<Vault> {
        known(&self.vault, now)
    }

    /// Asks the database. Logs each change in one line.
    pub async fn ask_database(&self, repo: &dyn DatabaseRepo, clock: &dyn Clock, metrics: &Metrics) {
        let (database, problem) = database(repo).await;
        let before = replace(&self.database, clock.instant(), database);
        metrics.database(database.answers, database.writes);
        let was = before.is_none_or(|before| before.writes);
        match (was, problem) {
            (true, Some(problem)) if database.answers => error!(
                problem = chain(&problem),
                "the database takes no writes: this server is not ready until it does; free disk space, point \
                 DATABASE_URL at the primary, or grant the role what `agentidp-server check` names"
            ),
            (true, Some(problem)) => {
                error!(
                    problem = chain(&problem),
                    "the database is out of reach: this server is not ready until it answers"
                );
            }
            (false, None) => info!("the database takes writes again"),
            _ => {}
        }
    }

    /// Asks Vault. Logs each change in one line.
    pub async fn ask_vault(&self, store: &SecretStore, clock: &dyn Clock, metrics: &Metrics) {
        let (vault, problem) = match vault(store).await {
            Ok(()) => (Vault::Up, None),
            Err(error) if error.kind() == ErrorKind::Denied => (Vault::RefusesToken, Some(error)),
            Err(error) => (Vault::OutOfReach, Some(error)),
        };
        let before = replace(&self.vault, clock.instant(), vault);
        metrics.vault_up(vault == Vault::Up);
        match (problem, vault) {
            _ if before == Some(vault) => {}
            (Some(error), Vault::RefusesToken) => error!(
                %error,
                "Vault refuses this server: credentials in Vault get no tokens until it accepts it again. If the token is \
                 dead, make a new one with `bao token create -orphan -period=768h -policy=agentidp` and put it into \
                 VAULT_TOKEN_FILE, or into VAULT_TOKEN and restart; `agentidp-server check` says what is missing"
            ),
            (Some(error), _) => {
                warn!(%error, "Vault cannot be asked: credentials in Vault get no tokens until it answers")
            }
            (None, _) if before.is_some() => info!("Vault answers, and accepts this server"),
            _ => {}
        }
    }
}

async fn database(database: &dyn DatabaseRepo) -> (Database, Option<RepoError>) {
    let problem = match timeout(TIMEOUT, database.try_write()).await {
        Ok(written) => written.err(),
        Err(_) => {
            let problem = RepoError::late("database.try_write", TIMEOUT);
            return (Database { answers: false, writes: false, current: None }, Some(problem));
        }
    };
    let rest = async { (database.ping().await.is_ok(), database.is_current().await.ok()) };
    let (answers, current) = timeout(TIMEOUT, rest).await.unwrap_or_default();
    let writes = problem.is_none();
    (Database { answers: answers || writes, writes, current }, problem)
}

async fn vault(store: &SecretStore) -> Result<(), Error> {
    let probed = timeout(TIMEOUT, store.probe()).await;
    let probed = probed.map_err(|_| Error::new(ErrorKind::Unavailable, "Vault did not answer in time"))?;
    probed.into_iter().find(|(id, _)| id.as_str() == VAULT).map_or(Ok(()), |(_, outcome)| outcome)
}

fn known<T: Copy>(state: &Mutex<Option<(Instant, T)>>, now: Instant) -> Option<T> {
    let state = *state.lock().unwrap_or_else(PoisonError::into_inner);
    state.filter(|(at, _)| now.saturating_duration_since(*at) < STALE).map(|(_, found)| found)
}

/// Returns what was known before.
fn replace<T>(state: &Mutex<Option<(Instant, T)>>, now: Instant, found: T) -> Option<T> {
    state.lock().unwrap_or_else(PoisonError::into_inner).replace((now, found)).map(|(_, found)| found)
}
