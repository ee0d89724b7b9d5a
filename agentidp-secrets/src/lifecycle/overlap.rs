//! The end of an overlap, before its time.

use std::time::Duration;

use super::commit::{Committed, Why, Write};
use super::ledger::{Change, Ledger};
use super::places::without_past;
use super::rows::{Revision, Row};
use super::{ATTEMPTS, Failure, Lifecycle};
use crate::credential::CredentialKey;
use crate::store::CredentialSecrets;

impl<L: Ledger> Lifecycle<L> {
    /// Ends the overlap of a rotation early: the previous secret does not work any more when this returns.
    ///
    /// # Errors
    /// [`Failure`]: `NoPrevious` where there is none that counts.
    pub async fn end_previous(&self, key: &CredentialKey, change: impl Change<L>) -> Result<(), Failure<L::Error>> {
        let (life, key) = (self.clone(), key.clone());
        self.uncut(async move { life.previous_ended(&key, Duration::ZERO, &change).await }).await
    }

    /// The same, unless the previous secret was proved `within` so long: then whoever uses it would be refused. Other processes
    /// tell of a use up to a minute late, so take more than that. Without [`with_usage`](Self::with_usage) nothing is known of any use.
    ///
    /// # Errors
    /// [`Failure`]: `NoPrevious` as above, and `PreviousInUse`.
    pub async fn end_previous_unless_used(
        &self,
        key: &CredentialKey,
        within: Duration,
        change: impl Change<L>,
    ) -> Result<(), Failure<L::Error>> {
        let (life, key) = (self.clone(), key.clone());
        self.uncut(async move { life.previous_ended(&key, within, &change).await }).await
    }

    async fn previous_ended(
        &self,
        key: &CredentialKey,
        unless_within: Duration,
        change: &dyn Change<L>,
    ) -> Result<(), Failure<L::Error>> {
        for _ in 0..ATTEMPTS {
            let (row, now) = self.active(key).await?;
            let secrets = row.secrets.as_ref().filter(|secrets| without_past(secrets, now).previous.is_some());
            let secrets = secrets.ok_or(Failure::NoPrevious)?;
            if !unless_within.is_zero() {
                let used_at = self.usage(key).await?.previous_last_used_at;
                if let Some(at) = used_at.filter(|at| at.checked_add(unless_within).is_none_or(|end| end > now)) {
                    return Err(Failure::PreviousInUse(at));
                }
            }
            let secrets = CredentialSecrets { previous: None, ..secrets.clone() };
            let after = Row { secrets: Some(secrets), ..row.clone() };
            let write = Write::Replace { before: row.revision, after, rotates: false };
            match self.commit(key, &write, Revision::fresh()?, change).await? {
                Committed::Done(_) => {
                    self.0.ledger.acknowledge(key.client_id()).await;
                    self.purge_now(key).await;
                    return Ok(());
                }
                Committed::Lost(Why::Changed | Why::WriteLost) => {}
                Committed::Lost(why) => return Err(why.into()),
            }
        }
        Err(Failure::Busy)
    }
}
