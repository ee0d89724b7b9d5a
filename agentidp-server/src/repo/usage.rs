//! When secrets were last proved.

use std::collections::HashMap;

use agentidp_secrets::lifecycle::{Usage, Use};
use async_trait::async_trait;
use uuid::Uuid;

use super::Result;

/// When secrets were last proved.
#[async_trait]
pub trait UsageRepo: Send + Sync + 'static {
    /// Adds uses, in the order in which they are given.
    async fn note_uses(&self, uses: &[Use]) -> Result<()>;

    /// What is kept of up to a page of credentials; nothing of one that was never used.
    async fn usage(&self, credential_ids: &[Uuid]) -> Result<HashMap<Uuid, Usage>>;
}
