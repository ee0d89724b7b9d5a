//! When secrets were last proved.

use std::collections::HashMap;

use agentidp_secrets::lifecycle::{Usage, Use};
use async_trait::async_trait;
use uuid::Uuid;

use super::Result;
use crate::domain::Timestamp;

/// Adds the uses of `$rows`, which selects ids and times from a JSON text; `$greatest` is the greater of its arguments. A use until
/// `since` was of the secret that is the previous one now; one of the secret before that is no more.
macro_rules! note_uses {
    ($rows:literal, $greatest:literal) => {
        concat!(
            "INSERT INTO credential_usage AS u (credential_id, last_used_at, previous_last_used_at) ",
            $rows,
            " ON CONFLICT (credential_id) DO UPDATE SET last_used_at = nullif(",
            $greatest,
            "(coalesce(u.last_used_at, 0), CASE WHEN excluded.last_used_at > coalesce(u.since, 0) \
             THEN excluded.last_used_at ELSE 0 END), 0), previous_last_used_at = nullif(",
            $greatest,
            "(coalesce(u.previous_last_used_at, 0), CASE WHEN excluded.last_used_at <= coalesce(u.since, 0) \
             THEN excluded.last_used_at ELSE 0 END, CASE WHEN excluded.previous_last_used_at >= coalesce(u.since, 0) \
             THEN excluded.previous_last_used_at ELSE 0 END), 0)"
        )
    };
}

pub(super) use note_uses;

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
    /// Their previous secret works, although it should have been ended.
    pub previous_overdue: u64,
}

/// Since when something has to be so, for [`Deadlines`].
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "passed to repositories")]
pub struct Since {
    /// What was used since then is used.
    pub recently: Timestamp,
    /// An overlap is overdue when nobody has used its previous secret since then; none where no overlap ever is.
    pub idle: Option<Timestamp>,
}

/// When secrets were last proved.
#[async_trait]
pub trait UsageRepo: Send + Sync + 'static {
    /// Adds uses, in the order in which they are given.
    async fn note_uses(&self, uses: &[Use]) -> Result<()>;

    /// Which active credentials have to be seen to at `now`: those that expire by `soon`, and those whose previous secret still
    /// works.
    async fn deadlines(&self, now: Timestamp, soon: Timestamp, since: Since) -> Result<Deadlines>;

    /// What is kept of up to a page of credentials; nothing of one that was never used.
    async fn usage(&self, credential_ids: &[Uuid]) -> Result<HashMap<Uuid, Usage>>;

    /// When each of up to a page of credentials was made.
    async fn created(&self, credential_ids: &[Uuid]) -> Result<HashMap<Uuid, Timestamp>>;
}
