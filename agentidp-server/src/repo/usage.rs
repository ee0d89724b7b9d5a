//! When secrets were last proved.

use std::collections::HashMap;

use agentidp_secrets::lifecycle::{Usage, Use};
use async_trait::async_trait;
use uuid::Uuid;

use super::Result;
use crate::domain::Timestamp;

/// How many active credentials there are whose time is coming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by repositories and tests")]
pub struct Deadlines {
    /// They expire soon, and are used.
    pub expiring_used: u64,
    /// They expire soon, and nobody uses them.
    pub expiring_unused: u64,
    /// Their previous secret works, and is used.
    pub previous_used: u64,
    /// Their previous secret works, and nobody uses it.
    pub previous_unused: u64,
}

/// When secrets were last proved.
#[async_trait]
pub trait UsageRepo: Send + Sync + 'static {
    /// Adds uses, in the order in which they are given.
    async fn note_uses(&self, uses: &[Use]) -> Result<()>;

    /// Which active credentials have to be seen to at `now`: those that expire by `soon`, and those whose previous secret still
    /// works. Used is what was used since `recently`.
    async fn deadlines(&self, now: Timestamp, soon: Timestamp, recently: Timestamp) -> Result<Deadlines>;

    /// What is kept of up to a page of credentials; nothing of one that was never used.
    async fn usage(&self, credential_ids: &[Uuid]) -> Result<HashMap<Uuid, Usage>>;
}
