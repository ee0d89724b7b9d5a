//! What a login proves is put into today's form.

mod policy;

use std::error::Error as _;
use std::sync::Arc;

pub use self::policy::UpgradePolicy;
pub(super) use self::policy::Upgrades;
use super::authenticate::Proof;
use super::commit::{Committed, Replacement, Why, Write};
use super::flaw::Flaw;
use super::lease::Asked;
use super::ledger::Ledger;
use super::note::OpenWriteKind;
use super::revision::Revision;
use super::rows::{Row, State};
use super::writing::NewSecret;
use super::{Event, Failure, Lifecycle};
use crate::backend::Custody;
use crate::error::{ErrorKind, Operation};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;
use crate::store::{CredentialSecrets, Generation, Verified};

struct Upgrade {
    row: Row,
    proof: Verified,
    proved: ClientSecret,
    anew: bool,
}

impl<L: Ledger> Lifecycle<L> {
    /// Begins what a proof is worth, and returns at once: a record of another backend or of weaker parameters is stored anew, and a
    /// record without its selector gets one. The client keeps its secret and notices nothing; a failure is tried again at a later
    /// login.
    pub(super) fn begin_upgrade(&self, proof: &Proof, proved: &ClientSecret) {
        let (verified, upgrades) = (proof.verified(), &self.0.upgrades);
        let is_worth_it = verified.outdated
            && !verified.stale
            && verified.generation == Generation::Current
            && self.0.store.primary().can_store(proved)
            && upgrades.policy.includes(proof.key().client_id());
        if !is_worth_it && verified.selector.is_none() {
            return;
        }
        let Ok(room) = Arc::clone(&upgrades.room).try_acquire_owned() else { return };
        let anew = is_worth_it && self.may_move_in() && upgrades.begin(self.0.store.instant());
        if !anew && verified.selector.is_none() {
            return;
        }
        let Some(row) = proof.row() else { return };
        let (from, to) = self.route(&row, verified.generation, anew);
        let upgrade = Upgrade { row, proof: verified.clone(), proved: proved.clone(), anew };
        let life = self.clone();
        (self.0.spawn)(Box::pin(async move {
            let _room = room;
            let key = upgrade.row.key.clone();
            match life.upgrade(upgrade).await {
                Ok(true) => life.tell(&Event::Upgraded { key, from, to }),
                Ok(false) => {}
                Err(failure) => {
                    if is_outage(&failure) {
                        life.0.upgrades.pause(life.0.store.instant());
                    }
                    let cause = failure.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                    let why = format!("{failure}{cause}").into();
                    life.tell(&Event::NotUpgraded { key, from, to, why });
                }
            }
        }));
    }

    /// Whether secrets may move to the primary backend. A database that was cloned or restored would write over another's.
    pub(super) fn may_move_in(&self) -> bool {
        let primary = self.0.store.primary();
        primary.custody == Custody::Record || self.may_adopt(&primary.id)
    }

    /// From which backend to which.
    fn route(&self, row: &Row, generation: Generation, anew: bool) -> (BackendId, BackendId) {
        let primary = &self.0.store.primary().id;
        let record = row.secrets.as_ref().and_then(|secrets| secrets.record(generation));
        let from = record.and_then(|record| self.0.store.claim(Operation::Verify, record).ok());
        let from = from.map_or(primary, |(backend, _)| &backend.info().id);
        (from.clone(), if anew { primary.clone() } else { from.clone() })
    }

    /// Whether it was committed. It is not where the row has changed meanwhile, or another is writing.
    async fn upgrade(&self, upgrade: Upgrade) -> Result<bool, Failure<L::Error>> {
        if upgrade.anew {
            return self.store_anew(&upgrade.row, &upgrade.proved).await;
        }
        let Some(secrets) = upgrade.row.secrets.clone() else { return Ok(false) };
        let secrets = with_selector(secrets, &upgrade.proof);
        self.commit_upgrade(&upgrade.row, secrets, Revision::fresh()?).await
    }

    /// Stores the current secret of `row`, which is `secret`, on the primary backend at its present cost; whether it was committed, as
    /// above.
    pub(super) async fn store_anew(&self, row: &Row, secret: &ClientSecret) -> Result<bool, Failure<L::Error>> {
        let Some(secrets) = &row.secrets else { return Ok(false) };
        let (new, attempt) = match self.place(&row.key)? {
            Some(place) => match self.move_to(row, secret, &place).await? {
                Some(moved) => moved,
                None => return Ok(false),
            },
            None => {
                let primary = self.0.store.primary_backend();
                let stored = primary.store(&row.key, secret).await?;
                (self.new_secret(&row.key, stored, secret.clone()), Revision::fresh()?)
            }
        };
        // What is not committed counts for nothing, and stays until the next move, or the end.
        let previous = secrets.previous.clone();
        let secrets = CredentialSecrets { current: new.stored, selector: new.selector, previous };
        if self.has(Flaw::MovesOverRotations) {
            return self.commit_upgrade(&self.active(&row.key).await?.0, secrets, attempt).await;
        }
        self.commit_upgrade(row, secrets, attempt).await
    }

    /// Moves the secret to its place on the primary backend. It is written over whatever lies there, and no digest of it is noted: a
    /// secret that its client has must never be taken for a generated one.
    async fn move_to(
        &self,
        row: &Row,
        secret: &ClientSecret,
        place: &StoredSecret,
    ) -> Result<Option<(NewSecret, Revision)>, Failure<L::Error>> {
        // Another login, or a rotation, may have been committed since the row was read. From here on none is.
        let plan = |state: &State, _| match state.active() {
            Some(now) if now.revision == row.revision => match self.plan(now, place) {
                (OpenWriteKind::Move, base) => Ok((OpenWriteKind::Move, base)),
                _ => Err(Why::Changed),
            },
            Some(_) => Err(Why::Changed),
            None => Err(Why::Ended),
        };
        // An upgrade never waits: the write that is open is a rotation's, or another login's.
        match self.ask(&row.key, place, Revision::fresh()?, None, false, plan).await? {
            Asked::Busy | Asked::Refused(_) | Asked::Unrepaired(_) => Ok(None),
            Asked::Ours(lease) => {
                let new = self.write_moving_in(&lease, secret.clone()).await?;
                Ok(Some((new, lease.attempt)))
            }
        }
    }

    async fn commit_upgrade(
        &self,
        before: &Row,
        secrets: CredentialSecrets,
        attempt: Revision,
    ) -> Result<bool, Failure<L::Error>> {
        let after = Row { secrets: Some(secrets), ..before.clone() };
        let write = Write::Replace { before: before.revision, after, kind: Replacement::OfTheSame };
        match self.commit(&before.key, &write, attempt, &()).await? {
            Committed::Done(_) => Ok(true),
            Committed::Lost(Why::Absent | Why::Ended) => {
                self.clear_away(&before.key).await;
                Ok(false)
            }
            Committed::Lost(_) if self.has(Flaw::DeletesLostUpgrades) => {
                self.0.store.primary_backend().forget(&before.key).await?;
                Ok(false)
            }
            Committed::Lost(_) => Ok(false),
        }
    }
}

/// Whether it tells of the backend or the database, and not of one credential.
fn is_outage<E>(failure: &Failure<E>) -> bool {
    match failure {
        Failure::Backend(error) => matches!(
            error.kind(),
            ErrorKind::Denied | ErrorKind::InvalidConfig | ErrorKind::Throttled | ErrorKind::Unavailable
        ),
        Failure::Ledger(_) | Failure::Unknown(_) | Failure::Cut => true,
        _ => false,
    }
}

/// The selector stands beside the record that was proved.
fn with_selector(secrets: CredentialSecrets, proof: &Verified) -> CredentialSecrets {
    match (proof.generation, secrets.previous) {
        (Generation::Previous, Some(previous)) => {
            let previous = Some(crate::store::Previous { selector: proof.selector, ..previous });
            CredentialSecrets { previous, ..secrets }
        }
        (_, previous) => CredentialSecrets { selector: proof.selector, previous, ..secrets },
    }
}

#[cfg(test)]
mod tests;
