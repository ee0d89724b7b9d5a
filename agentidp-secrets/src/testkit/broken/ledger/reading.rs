//! What goes wrong without a lock.

use std::time::SystemTime;

use super::{BrokenLedger, LedgerFlaw as Flaw};
use crate::clock::{Clock as _, SystemClock};
use crate::credential::{ClientId, CredentialKey};
use crate::lifecycle::{ClientRows, Freshness, Known, Ledger as _, MemoryError, Row};

impl BrokenLedger {
    pub(super) async fn due_keys(&self, limit: usize) -> Result<Vec<CredentialKey>, MemoryError> {
        let end_of_time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40);
        match self.flaw {
            Some(Flaw::DueWithoutLimit) => self.inner.due(usize::MAX).await,
            Some(Flaw::DueUnordered) => {
                let due = self.inner.due(usize::MAX).await?;
                Ok(due.into_iter().rev().take(limit).collect())
            }
            Some(Flaw::DueAtOnce) => Ok(self.due_by(limit, end_of_time)),
            Some(Flaw::DueByOwnClock) => Ok(self.due_by(limit, SystemClock.now())),
            Some(Flaw::DueIsFixed) => {
                let mut due = self.inner.due(usize::MAX).await?;
                let state = self.state();
                due.sort_by_key(|key| state.first_due.get(key).copied().flatten());
                Ok(due.into_iter().take(limit).collect())
            }
            _ => self.inner.due(limit).await,
        }
    }

    fn due_by(&self, limit: usize, now: SystemTime) -> Vec<CredentialKey> {
        let due = |key: CredentialKey| Some((self.inner.entry(&key).note?.due().filter(|due| *due <= now)?, key));
        let mut due: Vec<_> = self.inner.keys().into_iter().filter_map(due).collect();
        due.sort();
        due.into_iter().map(|(_, key)| key).take(limit).collect()
    }

    pub(super) async fn rows_of(&self, client: &ClientId, freshness: Freshness) -> Result<ClientRows, MemoryError> {
        let from_memory = match self.flaw {
            Some(Flaw::ServesOldRows) => true,
            Some(Flaw::NeverForgets | Flaw::ServesBehind) => freshness == Freshness::Cached,
            _ => false,
        };
        if let Some(served) = self.state().served.get(client).filter(|_| from_memory) {
            return Ok(ClientRows { from_memory: !self.has(Flaw::ServesBehind), ..served.clone() });
        }
        let rows = self.inner.rows(client, freshness).await?;
        let rows = self.misread(client, rows)?;
        self.state().served.insert(client.clone(), rows.clone());
        Ok(rows)
    }

    pub(super) async fn page_of(&self, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<Row>, MemoryError> {
        let after = after.filter(|_| !self.has(Flaw::PagesRepeat));
        let skipped = usize::from(after.is_some() && self.has(Flaw::PagesSkip));
        let limit = if self.has(Flaw::PagesWithoutLimit) { usize::MAX } else { limit + skipped };
        let mut rows: Vec<_> = self.inner.page(after, limit).await?.into_iter().skip(skipped).collect();
        match self.flaw {
            Some(Flaw::PagesHideDamaged) => rows.retain(|row| row.secrets.is_some()),
            Some(Flaw::PagesHideExpired) => rows.retain(|row| row.expires_at.is_none()),
            Some(Flaw::PagesLosePrevious) => {
                rows.iter_mut().filter_map(|row| row.secrets.as_mut()).for_each(|secrets| secrets.previous = None);
            }
            _ => {}
        }
        Ok(rows)
    }

    /// The client as the flaw reads it.
    fn misread(&self, client: &ClientId, read: ClientRows) -> Result<ClientRows, MemoryError> {
        let Some(known) = &read.known else {
            return match self.flaw {
                Some(Flaw::UnknownFails) => Err(MemoryError::new("there is no such client")),
                Some(Flaw::UnknownIsKnown) => Ok(ClientRows::read(Some(Known::new(true, Vec::new())))),
                _ => Ok(read),
            };
        };
        let mut rows = known.rows();
        match self.flaw {
            Some(Flaw::KnownByRows) if known.is_empty() => return Ok(ClientRows::read(None)),
            Some(Flaw::RowsOnlyFirst) => rows.truncate(1),
            Some(Flaw::RowsOfAll) => rows = self.active(|_| true),
            Some(Flaw::RowsShowExpired) => rows = self.active(|key| key.client_id() == client),
            Some(Flaw::RowsLosePrevious) => {
                for secrets in rows.iter_mut().filter_map(|row| row.secrets.as_mut()) {
                    secrets.previous = None;
                }
            }
            Some(Flaw::HidesDamaged) => rows.retain(|row| row.secrets.is_some()),
            Some(Flaw::IgnoresSuspension) => {}
            _ => return Ok(read),
        }
        let may_authenticate = known.may_authenticate() || self.has(Flaw::IgnoresSuspension);
        Ok(ClientRows::read(Some(Known::new(may_authenticate, rows))))
    }

    /// Every row whose state is active, expired or not.
    fn active(&self, of: impl Fn(&CredentialKey) -> bool) -> Vec<Row> {
        let keys = self.inner.keys().into_iter().filter(of);
        keys.filter_map(|key| self.inner.entry(&key).state.active().cloned()).collect()
    }
}
