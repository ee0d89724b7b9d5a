//! What the server is about, free of HTTP and SQL.

pub mod agent;
pub mod audit;
pub mod credential;
pub mod idempotency;
mod named;
pub mod open_write;
pub mod page;
pub mod purge;
pub mod scope;
pub mod timestamp;

pub use agent::{Agent, AgentStatus, AgentType, DeploymentEnv};
pub use audit::{AuditAction, AuditEvent, Metadata, Origin, Outcome};
pub use credential::{Credential, CredentialStatus, SecretColumns};
pub use open_write::{LeftWrite, OpenWrite, OpenWriteKind, SecretDigest};
pub use page::{Page, Paged};
pub use purge::{PurgeClaim, PurgeJob, PurgeKind};
pub use scope::{Scope, Scopes};
pub use timestamp::Timestamp;
