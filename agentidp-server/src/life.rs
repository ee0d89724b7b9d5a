//! The library's lifecycle over this server's database.
//!
//! Its ledger is made of [`ChangeRepo`]: the tables, their transactions and their clock are this server's.

use std::sync::Arc;
use std::time::SystemTime;

use agentidp_secrets::folder::FolderGate;
use agentidp_secrets::lifecycle::{
    AsOf, ClientRows, CommitError, Entry, Event, Freshness, Ledger, Lifecycle, Note, Row, UpgradePolicy, Usage,
    UsageLedger, Use,
};
use agentidp_secrets::{ClientId, Clock, CredentialId, CredentialKey, SecretStore};
use agentidp_secrets_sqlx::replicas::{Obeyed, Replicas};
use async_trait::async_trait;
use tracing::{Instrument, info, warn};
use uuid::Uuid;

use crate::domain::{Timestamp, ids, key};
use crate::error::ApiError;
use crate::fail_point::{self, Fate};
use crate::metrics::Metrics;
use crate::repo::{ChangeRepo, ChangeTx, CredentialRepo, DriftRepo, Repos, UsageRepo};

/// This server's database, as the library's sequences need it.
#[expect(missing_debug_implementations, reason = "repositories show nothing")]
pub struct Database {
    changes: Arc<dyn ChangeRepo>,
    credentials: Arc<dyn CredentialRepo>,
    drift: Arc<dyn DriftRepo>,
    usage: Arc<dyn UsageRepo>,
    replicas: Option<Replicas>,
    clock: Arc<dyn Clock>,
}

/// The library's lifecycle over this server's database.
pub type Life = Lifecycle<Database>;

/// The sequences over these parts, which tell the log and `metrics` what happens. A login puts records into today's form as
/// `upgrades` says.
pub(crate) fn life(
    store: &SecretStore,
    repos: &Repos,
    clock: &Arc<dyn Clock>,
    gate: &FolderGate,
    upgrades: UpgradePolicy,
    metrics: &Metrics,
) -> Life {
    let (database, metrics) = (Database::new(repos, Arc::clone(clock)), metrics.clone());
    metrics.upgrades(store);
    Lifecycle::new(store.clone(), database, |task| drop(tokio::spawn(task.in_current_span())))
        .with_upgrades(upgrades)
        .with_usage()
        // A move's folders are this database's as much as the first one is.
        .with_gate(gate.for_all_backends())
        .with_observer(move |event| {
            log(event);
            metrics.told(event);
        })
}

impl Database {
    /// The ledger in these repositories; `clock` follows the database's.
    #[must_use]
    pub fn new(repos: &Repos, clock: Arc<dyn Clock>) -> Self {
        let Repos { changes, credentials, drift, usage, replicas, .. } = repos.clone();
        Self { changes, credentials, drift, usage, replicas, clock }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().into()
    }
}

#[async_trait]
impl Ledger for Database {
    type Tx = Box<dyn ChangeTx>;
    type Error = ApiError;

    async fn begin(&self) -> Result<Self::Tx, ApiError> {
        fail_point::boundary().await;
        Ok(self.changes.begin().await?)
    }

    async fn commit(&self, tx: Self::Tx) -> Result<(), CommitError<ApiError>> {
        fail_point::within();
        let fate = fail_point::fate();
        if fate != Fate::Undone {
            tx.commit().await.map_err(|error| match error {
                CommitError::NotDone(error) => CommitError::NotDone(error.into()),
                CommitError::Unknown(error) => CommitError::Unknown(error.into()),
            })?;
        }
        fail_point::boundary().await;
        match fate {
            Fate::Plain => Ok(()),
            Fate::Lost | Fate::Undone => Err(CommitError::Unknown(ApiError::internal("its answer is lost"))),
        }
    }

    /// The clock follows the database's.
    async fn now(&self, _tx: &mut Self::Tx) -> Result<SystemTime, ApiError> {
        Ok(self.clock.now())
    }

    async fn lock(&self, tx: &mut Self::Tx, key: &CredentialKey) -> Result<Entry, ApiError> {
        fail_point::within();
        let (client_id, credential_id) = ids(key);
        Ok(tx.lock(client_id, credential_id).await?)
    }

    async fn insert(&self, tx: &mut Self::Tx, row: &Row) -> Result<(), ApiError> {
        fail_point::within();
        Ok(tx.insert(row, self.now()).await?)
    }

    async fn replace(&self, tx: &mut Self::Tx, row: &Row) -> Result<(), ApiError> {
        fail_point::within();
        Ok(tx.replace(row).await?)
    }

    async fn end(&self, tx: &mut Self::Tx, key: &CredentialKey) -> Result<(), ApiError> {
        fail_point::within();
        let (client_id, credential_id) = ids(key);
        Ok(tx.end(client_id, credential_id, self.now()).await?)
    }

    async fn note(&self, tx: &mut Self::Tx, key: &CredentialKey, note: Option<&Note>) -> Result<(), ApiError> {
        fail_point::within();
        let (client_id, credential_id) = ids(key);
        let nothing = Note::default();
        Ok(tx.note(client_id, credential_id, note.unwrap_or(&nothing), self.now()).await?)
    }

    async fn due(&self, limit: usize) -> Result<Vec<CredentialKey>, ApiError> {
        let due = self.changes.due(self.now(), u32::try_from(limit).unwrap_or(u32::MAX)).await?;
        due.into_iter().map(|(client, credential)| key(client, credential).map_err(ApiError::internal)).collect()
    }

    async fn rows(&self, client: &ClientId, freshness: Freshness) -> Result<ClientRows, ApiError> {
        match Uuid::try_parse(client.as_str()) {
            Ok(client_id) => Ok(self.credentials.rows(client_id, self.now(), freshness).await?),
            // No client has such an id.
            Err(_) => Ok(ClientRows::read(None)),
        }
    }

    fn is_current(&self, client: &ClientId, as_of: AsOf, expires_at: Option<SystemTime>) -> bool {
        let lives = expires_at.is_none_or(|end| end > self.clock.now());
        lives && Uuid::try_parse(client.as_str()).is_ok_and(|client_id| self.credentials.is_current(client_id, as_of))
    }

    fn is_changed(&self, client: &ClientId, as_of: AsOf) -> bool {
        Uuid::try_parse(client.as_str()).is_ok_and(|client_id| self.credentials.is_changed(client_id, as_of))
    }

    async fn used(&self, row: &Row) -> Result<bool, ApiError> {
        Ok(self.changes.used(row).await?)
    }

    /// An id as this server writes it: other spellings of the same id are another path.
    fn gives_ids_like(&self, client: &ClientId, credential: Option<&CredentialId>) -> bool {
        let is_ours = |text: &str| Uuid::parse_str(text).is_ok_and(|id| id.to_string() == text);
        is_ours(client.as_str()) && credential.is_none_or(|credential| is_ours(credential.as_str()))
    }

    async fn page(&self, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<Row>, ApiError> {
        let (after, limit) = (after.map(|after| ids(after).1), u32::try_from(limit).unwrap_or(u32::MAX));
        let rows = self.drift.page(after, limit).await?;
        rows.iter().map(|row| row.to_row().map_err(ApiError::internal)).collect()
    }

    async fn acknowledge(&self, _client: &ClientId) {
        if let Some(replicas) = &self.replicas
            && let Obeyed::TookOff(silent) = replicas.acknowledge().await
        {
            warn!(
                silent,
                "servers did not say that they had heard of a change: it was acknowledged when their leases were over"
            );
        }
    }
}

#[async_trait]
impl UsageLedger for Database {
    async fn note_uses(&self, uses: &[Use]) -> Result<(), ApiError> {
        Ok(self.usage.note_uses(uses).await?)
    }

    async fn rotate_usage(&self, tx: &mut Self::Tx, key: &CredentialKey, now: SystemTime) -> Result<(), ApiError> {
        fail_point::within();
        Ok(tx.rotate_usage(ids(key).1, now).await?)
    }

    async fn usages(&self, keys: &[CredentialKey]) -> Result<Vec<Usage>, ApiError> {
        let credential_ids: Vec<_> = keys.iter().map(|key| ids(key).1).collect();
        let found = self.usage.usage(&credential_ids).await?;
        Ok(credential_ids.iter().map(|id| found.get(id).copied().unwrap_or_default()).collect())
    }

    async fn created(&self, keys: &[CredentialKey]) -> Result<Vec<Option<SystemTime>>, ApiError> {
        let credential_ids: Vec<_> = keys.iter().map(|key| ids(key).1).collect();
        let found = self.usage.created(&credential_ids).await?;
        Ok(credential_ids.iter().map(|id| found.get(id).copied().map(SystemTime::from)).collect())
    }
}

/// What happens in the sequences, for the log.
fn log(event: &Event) {
    let credential_id = event.key().map(|key| tracing::field::display(key.credential_id()));
    if event.is_warning() {
        warn!(credential_id, "{event}");
    } else {
        info!(credential_id, "{event}");
    }
}
