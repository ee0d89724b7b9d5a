//! Which of two secrets counts, where the database and the backend were restored from different moments.

use std::time::Duration;

use super::{Difference, DifferenceKind as Kind};
use crate::backend::Held;
use crate::credential::CredentialKey;
use crate::error::ErrorKind;
use crate::inventory::Inventory;
use crate::lifecycle::commit::{Committed, Replacement, Why, Write};
use crate::lifecycle::lease::Lease;
use crate::lifecycle::ledger::{Change, Ledger};
use crate::lifecycle::note::OpenWriteKind;
use crate::lifecycle::revision::Revision;
use crate::lifecycle::rotate::Old;
use crate::lifecycle::rows::{Row, State};
use crate::lifecycle::{Failure, Lifecycle};
use crate::record::StoredSecret;
use crate::store::CredentialSecrets;

/// Which secret counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each")]
pub enum Settlement {
    /// The row's. A later version is written over by it, so that nothing differs any more.
    Row,
    /// The latest one that the backend has, and no other.
    Latest,
    /// The latest one, and the row's for so long beside it: nobody is refused.
    Both(Duration),
}

impl<L: Ledger> Lifecycle<L> {
    /// Settles a difference of the kinds `VersionBehind`, `PathNotPointedTo`, `VersionMissing` or `OtherWrite`, as a [comparison](Self::compare)
    /// has told it. Says whether it did: not where the row or the place has changed since, where there is nothing to choose,
    /// where the kind is another one, or where it was told of another backend.
    ///
    /// No secret is shown, and none is deleted but by the debts that a rotation has, too.
    ///
    /// # Errors
    /// [`Failure`]; then everything is as before.
    pub async fn settle(
        &self,
        inventory: &dyn Inventory,
        difference: &Difference,
        settlement: Settlement,
        change: impl Change<L>,
    ) -> Result<bool, Failure<L::Error>> {
        if difference.backend.as_ref().is_some_and(|backend| *backend != inventory.info().id) {
            return Ok(false);
        }
        let place = difference.key().and_then(|key| Some((inventory.place(&key)?, key)));
        let (Some((place, key)), Some(latest)) = (place, difference.latest) else { return Ok(false) };
        let (life, kind, revision) = (self.clone(), difference.kind, difference.revision);
        self.uncut(async move {
            match (settlement, kind) {
                (Settlement::Row, Kind::VersionBehind) => {
                    life.write_forward(&key, &place, revision, latest, &change).await
                }
                (Settlement::Row, Kind::PathNotPointedTo) => {
                    life.keep_left(&key, &place).await?;
                    life.confirm(&key, revision, &change).await
                }
                (Settlement::Latest | Settlement::Both(_), kind) if kind.has_another_secret() => {
                    let overlap = if let Settlement::Both(overlap) = settlement { overlap } else { Duration::ZERO };
                    life.take_latest(&key, &place, revision, latest, overlap, &change).await
                }
                _ => Ok(false),
            }
        })
        .await
    }

    /// Has the row pin the latest version at the place, if it is still this one.
    async fn take_latest(
        &self,
        key: &CredentialKey,
        place: &StoredSecret,
        revision: Option<Revision>,
        latest: u64,
        overlap: Duration,
        change: &dyn Change<L>,
    ) -> Result<bool, Failure<L::Error>> {
        let counts_on = !overlap.is_zero();
        let opened = self.open_unchanged(key, place, revision, OpenWriteKind::Pin, counts_on).await?;
        let Some((mut lease, before)) = opened else { return Ok(false) };
        if counts_on && lease.has_repair() && self.finish_leased(&before, &mut lease, counts_on).await? {
            // The row is another one by now.
            return Ok(false);
        }
        let held = match self.backend_at(key, place)?.inspect(key, None).await {
            Ok(held) => held,
            Err(error) => return Err(self.failed(&lease, error).await),
        };
        let (stored, secret) = match held {
            Held::Version { version, stored, secret: Some(secret) } if version == latest => (stored, secret),
            Held::Version { .. } | Held::Nothing => {
                self.close(&lease).await;
                return Ok(false);
            }
        };
        let previous = match self.previous(&before, Old::WorksFor(overlap), lease.now).await {
            Ok(previous) => previous,
            Err(failure) => {
                self.close(&lease).await;
                return Err(failure);
            }
        };
        let selector = self.0.store.selector_for(key, &stored, &secret);
        let secrets = CredentialSecrets { current: stored, selector, previous };
        let after = Row { secrets: Some(secrets), is_unused: false, ..before.clone() };
        let write = Write::Replace { before: before.revision, after, kind: Replacement::Rotation };
        let committed = self.commit(key, &write, lease.attempt, change).await?;
        let is_done = matches!(committed, Committed::Done(_));
        if is_done {
            self.0.ledger.acknowledge(key.client_id()).await;
            self.purge_now(key).await;
        }
        Ok(is_done)
    }

    /// Writes the row's secret over later versions, and has the row pin it.
    async fn write_forward(
        &self,
        key: &CredentialKey,
        place: &StoredSecret,
        revision: Option<Revision>,
        latest: u64,
        change: &dyn Change<L>,
    ) -> Result<bool, Failure<L::Error>> {
        let opened = self.open_unchanged(key, place, revision, OpenWriteKind::Rotate, false).await?;
        let Some((mut lease, before)) = opened else { return Ok(false) };
        let Some(stored) = self.repair_over(&mut lease, &before, latest).await? else { return Ok(false) };
        self.commit_pinned(&before, stored, &lease, change).await
    }

    /// Writes the row once more as it is, with the caller's part of the change.
    async fn confirm(
        &self,
        key: &CredentialKey,
        revision: Option<Revision>,
        change: &dyn Change<L>,
    ) -> Result<bool, Failure<L::Error>> {
        let row = self.edit(key, |state, _, _| state.active().cloned()).await?;
        let Some(after) = row.filter(|row| row.revision == revision) else { return Ok(false) };
        let write = Write::Replace { before: revision, after, kind: Replacement::OfTheSame };
        Ok(matches!(self.commit(key, &write, Revision::fresh()?, change).await?, Committed::Done(_)))
    }

    /// Opens a write of a row that has not changed since.
    async fn open_unchanged(
        &self,
        key: &CredentialKey,
        place: &StoredSecret,
        revision: Option<Revision>,
        kind: OpenWriteKind,
        counts_on: bool,
    ) -> Result<Option<(Lease, Row)>, Failure<L::Error>> {
        let plan = |state: &State, _| match state.active() {
            Some(row) if row.revision == revision => Ok((kind, self.plan(row, place).1)),
            Some(_) => Err(Why::Changed),
            None => Err(Why::Ended),
        };
        match self.open(key, place, None, counts_on, plan).await {
            Ok(lease) => Ok(lease.row.clone().map(|row| (lease, row))),
            // The row is another one by now.
            Err(Failure::Busy | Failure::Ended) => Ok(None),
            Err(Failure::Backend(error)) if error.kind() == ErrorKind::Malformed => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}
