//! Storage: one trait per aggregate, with PostgreSQL and SQLite forms that one suite proves equal.
//!
//! Two rules hold for every method. A change and its audit events are one transaction. A change that depends on what
//! was read before is a compare-and-set on it, and answers with an outcome instead of an error when it lost.

mod audit;
mod changes;
mod columns;
mod credentials;
mod error;
mod group_commit;
mod idempotency;
mod ledger;
mod open;
mod postgres;
mod reach;
mod retention;
mod row_cache;
mod rows;
mod sqlite;
mod usage;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use agentidp_secrets_sqlx::replicas::Replicas;
use async_trait::async_trait;
use uuid::Uuid;

use crate::domain::{Agent, AgentStatus, AgentType, AuditEvent, Credential, CredentialStatus, Page, Paged, Timestamp};

pub use self::audit::{AuditFilter, AuditRepo};
pub use self::changes::{ChangeRepo, ChangeTx};
pub use self::credentials::CredentialRepo;
pub use self::error::{RepoError, Result};
pub use self::group_commit::AuditMode;
pub use self::idempotency::{Claimed, IdempotencyRepo};
pub use self::ledger::LedgerRepo;
pub(crate) use self::open::missing_file;
pub use self::open::{open, open_observed};
pub use self::retention::RetentionRepo;
pub use self::row_cache::RowCacheOutcome;
pub use self::usage::{Deadlines, Since, UsageRepo};
pub use self::watch::{LIST_CONNECTIONS, QueryObserver};

/// The repositories of one database.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "built by the two database modules and by tests")]
pub struct Repos {
    /// Agents.
    pub agents: Arc<dyn AgentRepo>,
    /// Credentials.
    pub credentials: Arc<dyn CredentialRepo>,
    /// Transactions that change credentials.
    pub changes: Arc<dyn ChangeRepo>,
    /// Requests that may come again.
    pub idempotency: Arc<dyn IdempotencyRepo>,
    /// Issued and revoked tokens.
    pub tokens: Arc<dyn TokenRepo>,
    /// When secrets were last proved.
    pub usage: Arc<dyn UsageRepo>,
    /// What a comparison with Vault reads.
    pub drift: Arc<dyn DriftRepo>,
    /// Who this database is to the folders in Vault.
    pub ledger: Arc<dyn LedgerRepo>,
    /// The audit trail.
    pub audit: Arc<dyn AuditRepo>,
    /// Up to when rows are deleted by their age.
    pub retention: Arc<dyn RetentionRepo>,
    /// The servers on this database, for a change to be obeyed by all of them. None where nobody else keeps rows.
    pub replicas: Option<Replicas>,
    /// The database itself.
    pub database: Arc<dyn DatabaseRepo>,
}

impl fmt::Debug for Repos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repos").finish_non_exhaustive()
    }
}

/// Agents.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait AgentRepo: Send + Sync + 'static {
    /// Inserts an agent, unless its e-mail is taken or there are `limit` agents already (decommissioned ones do not count).
    async fn create(&self, agent: &Agent, limit: Option<u64>, event: &AuditEvent) -> Result<CreateAgent>;

    /// One agent.
    async fn find(&self, agent_id: Uuid) -> Result<Option<Agent>>;

    /// A page of agents, newest first.
    async fn list(&self, filter: &AgentFilter, page: Page) -> Result<Paged<Agent>>;
}

/// What became of a new agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each outcome")]
pub enum CreateAgent {
    /// It was inserted.
    Created,
    /// The e-mail is taken.
    EmailTaken,
    /// The limit is reached.
    LimitReached,
}

/// Which agents a list has.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the documented query")]
pub struct AgentFilter {
    /// Of this owner.
    pub owner: Option<String>,
    /// Of this type.
    pub agent_type: Option<AgentType>,
    /// In this status.
    pub status: Option<AgentStatus>,
}

/// What a comparison of the rows with Vault reads.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait DriftRepo: Send + Sync + 'static {
    /// Up to `limit` active credentials, by id, after this one.
    async fn page(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<Credential>>;

    /// How many jobs wait.
    async fn waiting(&self, now: Timestamp) -> Result<Waiting>;

    /// How many active credentials each backend verifies.
    async fn backends(&self) -> Result<Backends>;

    /// How many active credentials have their secret in Vault, and not below this path.
    async fn outside(&self, path: &str) -> Result<u64>;

    /// Becomes the one leader among the servers on this database; none while another one is. A server whose database is
    /// its own always is.
    async fn lead(&self) -> Result<Option<Box<dyn Leadership>>>;
}

/// Active credentials by what verifies them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by repositories")]
pub struct Backends {
    /// Their row holds a bcrypt digest.
    pub bcrypt: u64,
    /// Their row holds an argon2id digest.
    pub argon2: u64,
    /// Their secret is in Vault.
    pub vault: u64,
    /// Their row holds a keyed digest.
    pub keyed: u64,
    /// The same by the id of the key; of many ids those with the most.
    pub keys: Vec<(String, u64)>,
}

/// Being the leader, until it is dropped or its connection to the database ends.
#[async_trait]
pub trait Leadership: Send + Sync + 'static {
    /// Whether it still is.
    async fn holds(&mut self) -> bool;
}

/// Jobs that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by repositories")]
pub struct Waiting {
    /// Due by now; those under way too.
    pub due: u64,
    /// Not due yet.
    pub later: u64,
}

/// Issued and revoked tokens.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait TokenRepo: Send + Sync + 'static {
    /// Records an issued token: its event, and where there is a monthly limit one more for the client, unless the limit
    /// is reached. Says whether the token may go out.
    async fn issued(&self, client_id: Uuid, monthly_limit: Option<u64>, event: &AuditEvent) -> Result<bool>;

    /// Whether a token was revoked, and what its agent and its credential are now: one select.
    async fn bearer(&self, token_id: Uuid, agent_id: Option<Uuid>, credential_id: Option<Uuid>) -> Result<Bearer>;

    /// Revokes a token until it would have expired. Revoking twice is fine, and one event.
    async fn revoke(&self, token_id: Uuid, expires_at: Timestamp, event: &AuditEvent) -> Result<()>;

    /// Forgets revocations of tokens that expired before `now`, and counters of past months.
    async fn prune(&self, now: Timestamp) -> Result<u64>;
}

/// What is known of a bearer of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by repositories")]
pub struct Bearer {
    /// Whether the token was revoked.
    pub revoked: bool,
    /// The agent's status; none when there is no such agent.
    pub agent_status: Option<AgentStatus>,
    /// How often the agent was suspended; none when there is no such agent.
    pub token_epoch: Option<i64>,
    /// The credential's status; none when the agent has no such credential.
    pub credential_status: Option<CredentialStatus>,
}

/// The schema of a database, compared with the one that this server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by repositories")]
pub struct Schema {
    /// Numbers of migrations that are not applied.
    pub missing: Vec<i64>,
    /// The newest that is; none in an empty database.
    pub newest: Option<i64>,
    /// Those that are applied, and that this server does not know: a newer one has used the database.
    pub unknown: Vec<i64>,
    /// Whether this user may apply what is missing.
    pub may_migrate: bool,
    /// Rights on tables that this user needs and lacks, as in `INSERT on audit_events`. Empty while migrations are missing.
    pub lacking: Vec<String>,
}

/// The database itself.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait DatabaseRepo: Send + Sync + 'static {
    /// Applies the migrations that are missing. Safe when several servers start at once.
    async fn migrate(&self) -> Result<()>;

    /// Whether every migration that this server knows has been applied. More of them are fine: a newer server may have
    /// begun to replace this one.
    async fn is_current(&self) -> Result<bool>;

    /// What is missing of the schema, and whether this user may make it.
    async fn schema(&self) -> Result<Schema>;

    /// Writes something of no meaning, to learn whether the database takes writes: it may be read-only, its disk full, or this
    /// user not allowed to write the event that every login writes.
    async fn try_write(&self) -> Result<()>;

    /// Asks for a sign of life.
    async fn ping(&self) -> Result<()>;

    /// The time on the database's own clock, also inside a transaction. `None` where it has none: then the machine's clock is
    /// the only one.
    async fn now(&self) -> Result<Option<SystemTime>>;

    /// Closes the connections.
    async fn close(&self);
}
