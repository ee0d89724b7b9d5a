//! From the ledger's side: rows whose secret is not what it ought to be.

use std::time::SystemTime;

use futures_util::future::join_all;

use super::{Difference, DifferenceKind as Kind, PAGE, Pass};
use crate::backend::Held;
use crate::error::{Error, ErrorKind, Operation};
use crate::inventory::{Inventory, RecordState};
use crate::lifecycle::ledger::Ledger;
use crate::lifecycle::note::Note;
use crate::lifecycle::places::without_past;
use crate::lifecycle::rows::{Row, State};
use crate::lifecycle::{Failure, Lifecycle};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;
use crate::store::{CredentialSecrets, SecretStore};

/// Rows that are looked up at a time: more in flight only wait in the backend.
const AT_A_TIME: usize = 8;

/// What was seen of a row before its lock.
struct Seen {
    kind: Kind,
    latest: Option<u64>,
    /// What a later version holds.
    later: Option<ClientSecret>,
}

impl From<Kind> for Seen {
    fn from(kind: Kind) -> Self {
        Self { kind, latest: None, later: None }
    }
}

impl<L: Ledger> Pass<'_, L> {
    pub(super) async fn compare_rows(&self) -> Result<(), Failure<L::Error>> {
        let mut after = None;
        loop {
            let rows = self.life.0.ledger.page(after.as_ref(), PAGE).await.map_err(Failure::Ledger)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for part in rows.chunks(AT_A_TIME) {
                let (life, inventory) = (self.life, self.inventory);
                for looked_up in join_all(part.iter().map(|row| life.look_up(inventory, row))).await {
                    if let Some(difference) = looked_up? {
                        self.found(&difference);
                    }
                }
            }
        }
    }
}

impl<L: Ledger> Lifecycle<L> {
    async fn look_up(&self, inventory: &dyn Inventory, row: &Row) -> Result<Option<Difference>, Failure<L::Error>> {
        // A text that no backend of the store recognises is damaged.
        let is_damaged = |error: Error| error.kind() == ErrorKind::Malformed;
        let damaged = |current| self.store().claim(Operation::Pin, current).map_or_else(is_damaged, |_| false);
        let Some(secrets) = row.secrets.as_ref().filter(|secrets| !damaged(&secrets.current)) else {
            return Ok(Some(Difference::of_row(Kind::RowUnreadable, row)));
        };
        let Some(seen) = look_at(self.store(), inventory, row, secrets).await? else { return Ok(None) };
        let may_adopt = self.may_adopt(&inventory.info().id);
        self.edit(&row.key, |state, note, now| self.judge(row, secrets, &seen, may_adopt, state, note, now)).await
    }

    /// What was seen, if the row is still as it was and nobody is writing: whoever is, changes what belongs to it.
    #[expect(clippy::too_many_arguments, reason = "what was seen, and what is there now")]
    fn judge(
        &self,
        row: &Row,
        secrets: &CredentialSecrets,
        seen: &Seen,
        may_adopt: bool,
        state: &State,
        note: &Note,
        now: SystemTime,
    ) -> Option<Difference> {
        let is_unchanged = state.active().is_some_and(|is| is.revision == row.revision && is.secrets == row.secrets);
        let is_over = seen.kind == Kind::PreviousMissing && without_past(secrets, now).previous.is_none();
        if !is_unchanged || is_over || note.is_being_written(now) {
            return None;
        }
        let pinned = self.points_to(&secrets.current);
        let is_unfinished = match (&seen.later, &pinned) {
            // A blank version is nobody's secret.
            (None, _) => true,
            // A note that was restored may be of a secret that was shown since.
            (Some(secret), Some(to)) => may_adopt && note.has_noted(&to.place, to.version.unwrap_or(0), secret),
            (Some(_), None) => false,
        };
        let kind = if seen.kind == Kind::VersionBehind && is_unfinished { Kind::VersionUnfinished } else { seen.kind };
        let pinned = pinned.and_then(|to| to.version);
        Some(Difference { pinned, latest: seen.latest, ..Difference::of_row(kind, row) })
    }
}

/// What a row's records mean at the backend, if they point there.
async fn look_at<E>(
    store: &SecretStore,
    inventory: &dyn Inventory,
    row: &Row,
    secrets: &CredentialSecrets,
) -> Result<Option<Seen>, Failure<E>> {
    if let Some(state) = state_of(store, inventory, row, &secrets.current).await? {
        let seen = match state {
            Ok(RecordState::Sound) => None,
            Ok(RecordState::Behind { latest }) => {
                let later = match inventory.inspect(&row.key, Some(latest)).await? {
                    Held::Version { secret, .. } => secret,
                    Held::Nothing => None,
                };
                Some(Seen { kind: Kind::VersionBehind, latest: Some(latest), later })
            }
            Ok(RecordState::SoftDeleted) => Some(Kind::SoftDeleted.into()),
            Ok(RecordState::Destroyed) => Some(Kind::VersionMissing.into()),
            Ok(RecordState::VersionGone { latest }) => {
                Some(Seen { latest: Some(latest), ..Kind::VersionMissing.into() })
            }
            Ok(RecordState::OtherWrite { latest }) => Some(Seen { latest: Some(latest), ..Kind::OtherWrite.into() }),
            Ok(RecordState::Absent) => Some(Kind::RowWithoutPath.into()),
            Ok(_) => Some(Kind::Unreadable.into()),
            Err(Elsewhere) => Some(Kind::Elsewhere.into()),
        };
        if seen.is_some() {
            return Ok(seen);
        }
    }
    let Some(previous) = &secrets.previous else { return Ok(None) };
    let state = state_of(store, inventory, row, &previous.stored).await?;
    let is_there = matches!(state, None | Some(Ok(RecordState::Sound | RecordState::Behind { .. })));
    Ok((!is_there).then(|| Kind::PreviousMissing.into()))
}

/// The record points to a place that the backend does not write any more.
struct Elsewhere;

/// None for a record of another backend.
async fn state_of<E>(
    store: &SecretStore,
    inventory: &dyn Inventory,
    row: &Row,
    record: &StoredSecret,
) -> Result<Option<Result<RecordState, Elsewhere>>, Failure<E>> {
    let claimed = store.claim(Operation::Pin, record).ok();
    let Some((_, record)) = claimed.filter(|(backend, _)| backend.info().id == inventory.info().id) else {
        return Ok(None);
    };
    match inventory.record_state(&row.key, &record).await {
        Ok(state) => Ok(Some(Ok(state))),
        Err(error) if error.kind() == ErrorKind::Malformed => Ok(Some(Err(Elsewhere))),
        Err(error) => Err(error.into()),
    }
}
