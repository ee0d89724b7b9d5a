//! What the server is about, free of HTTP and SQL.

pub mod agent;
pub mod audit;
pub mod credential;
pub mod idempotency;
mod named;
pub mod page;
pub mod scope;
pub mod timestamp;

pub use agent::{Agent, AgentStatus, AgentType, DeploymentEnv};
pub use audit::{AuditAction, AuditEvent, Metadata, Origin, Outcome};
pub use credential::{Credential, CredentialStatus, PreviousColumns, SecretColumns, ids, key};
pub use page::{Page, Paged};
pub use scope::{Scope, Scopes};
pub use timestamp::Timestamp;
