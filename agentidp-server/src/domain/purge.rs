//! Places in Vault that have to be forgotten.

use std::fmt;

use uuid::Uuid;

use super::Timestamp;
use super::named::named_enum;

named_enum! {
    /// What has to become of a place.
    PurgeKind {
        /// Vault deletes it with all versions: its credential has ended, or was never committed.
        Delete = "delete",
        /// Blank versions push out the secrets: its credential has moved away, and may come back.
        Blank = "blank",
        /// Nothing yet. Something may lie there, which is deleted when the credential ends.
        Rest = "rest",
    }
}

/// A place in Vault that has to be forgotten: durable work, retried until Vault has done it.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row; repositories build it")]
pub struct PurgeJob {
    /// The credential whose place it is.
    pub credential_id: Uuid,
    /// The agent whose credential it is.
    pub client_id: Uuid,
    /// The place: a path without a version. One job a credential and place.
    pub vault_path: String,
    /// What has to become of it.
    pub kind: PurgeKind,
    /// Not to be tried before.
    pub due_at: Timestamp,
    /// How often it was tried in vain.
    pub attempts: u32,
}

impl PurgeJob {
    /// Has a place deleted from `due_at` on.
    #[must_use]
    pub fn delete(client_id: Uuid, credential_id: Uuid, vault_path: String, due_at: Timestamp) -> Self {
        Self { credential_id, client_id, vault_path, kind: PurgeKind::Delete, due_at, attempts: 0 }
    }
}

/// The right to have Vault forget a job's place, for a limited time.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by repositories")]
pub struct PurgeClaim {
    /// The credential whose job it is.
    pub credential_id: Uuid,
    /// The place.
    pub vault_path: String,
    /// When it ends by itself, as it does when its process is killed. Tells claims of one job apart.
    pub until: Timestamp,
}

/// Without the path.
impl fmt::Debug for PurgeJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PurgeJob")
            .field("credential_id", &self.credential_id)
            .field("kind", &self.kind)
            .field("due_at", &self.due_at)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Without the path.
impl fmt::Debug for PurgeClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PurgeClaim")
            .field("credential_id", &self.credential_id)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
