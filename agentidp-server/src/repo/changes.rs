//! The contract of the transactions that change credentials: what the library's `Ledger` is made of here.

use std::time::SystemTime;

use agentidp_secrets::lifecycle::{CommitError, Entry, Note, Row};
use async_trait::async_trait;
use uuid::Uuid;

use super::{RepoError, Result};
use crate::domain::idempotency::Claim;
use crate::domain::{Agent, AgentStatus, AuditEvent, Credential, Timestamp};

/// Transactions that change credentials, and what they leave to be done.
#[async_trait]
pub trait ChangeRepo: Send + Sync + 'static {
    /// Begins a transaction.
    async fn begin(&self) -> Result<Box<dyn ChangeTx>>;

    /// Up to `limit` credentials of which somebody has to look at the notes, the longest due first: client and credential. Jobs of
    /// an older release become notes here first.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<(Uuid, Uuid)>>;

    /// How many places Vault has not forgotten yet, due or not, with new credentials that are not committed yet. Repetitions do not
    /// count.
    async fn pending(&self) -> Result<u64>;

    /// The secret of this row was used: from now on a retried request does not replace it. Says whether it still is the row's.
    async fn used(&self, row: &Row) -> Result<bool>;
}

/// A transaction that changes credentials. Locks are taken in the order agent, credential, notes. Dropped, it is rolled back.
#[async_trait]
pub trait ChangeTx: Send + 'static {
    /// Commits.
    async fn commit(self: Box<Self>) -> std::result::Result<(), CommitError<RepoError>>;

    /// An agent's status and when it was changed; it is locked until the transaction ends.
    async fn lock_agent(&mut self, agent_id: Uuid) -> Result<Option<(AgentStatus, Timestamp)>>;

    /// A credential and its notes, locked until the transaction ends.
    async fn lock(&mut self, client_id: Uuid, credential_id: Uuid) -> Result<Entry>;

    /// Inserts an active credential, without an end.
    async fn insert(&mut self, row: &Row, created_at: Timestamp) -> Result<()>;

    /// Puts the secret's columns of `row` in place of those of the locked one.
    async fn replace(&mut self, row: &Row) -> Result<()>;

    /// The current secret of the locked credential becomes the previous one: its last use too.
    async fn rotate_usage(&mut self, credential_id: Uuid, now: SystemTime) -> Result<()>;

    /// Revokes the locked credential.
    async fn end(&mut self, client_id: Uuid, credential_id: Uuid, now: Timestamp) -> Result<()>;

    /// Keeps the notes of a credential.
    async fn note(&mut self, client_id: Uuid, credential_id: Uuid, note: &Note, now: Timestamp) -> Result<()>;

    /// Sets when a credential ends by itself, and whether a retried request may replace its secret until it is used; returns its
    /// whole row.
    async fn finish(
        &mut self,
        client_id: Uuid,
        credential_id: Uuid,
        expires_at: Option<Timestamp>,
        awaits_use: bool,
    ) -> Result<Credential>;

    /// Writes an agent's columns. The caller has locked it.
    async fn update_agent(&mut self, agent: &Agent) -> Result<()>;

    /// The active credentials of an agent, in the order in which they are to be locked.
    async fn active_credentials(&mut self, agent_id: Uuid) -> Result<Vec<Uuid>>;

    /// Appends an event.
    async fn append(&mut self, event: &AuditEvent) -> Result<()>;

    /// Notes that the request of `claim` was carried out by this row; says whether the claim still counted.
    async fn carry_out(&mut self, claim: &Claim, row: &Credential) -> Result<bool>;

    /// Notes that a request which was carried out before has another secret to show now; says whether it had that of `before`.
    async fn carry_out_anew(&mut self, claim: &Claim, before: &Credential, after: &Credential) -> Result<bool>;
}
