//! From the backend's side: places that no row vouches for.

use std::time::SystemTime;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Difference, DifferenceKind as Kind, Mode, PAGE, Pass};
use crate::backend::Held;
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind};
use crate::lifecycle::flaw::Flaw;
use crate::lifecycle::ledger::Ledger;
use crate::lifecycle::note::{DebtKind, Note};
use crate::lifecycle::revision::Revision;
use crate::lifecycle::rows::State;
use crate::lifecycle::{Failure, Lifecycle};
use crate::record::StoredSecret;

/// Clients of one list: Vault goes through all there are for each.
const NAMES: usize = 20_000;

/// Clients whose places are looked at at a time. Each takes a connection to the database, and logins need the others.
const AT_A_TIME: usize = 3;

/// Who answers for a place.
pub(super) enum Standing {
    /// A row, or what is noted: a write, or a deletion.
    Vouched,
    /// The credential has ended.
    Ended,
    /// The credential is active, and its row points elsewhere.
    Left(Option<Revision>),
    /// Nobody.
    Unknown,
}

impl<L: Ledger> Pass<'_, L> {
    /// Goes through all that the backend lists. Why it could not, where the listing is refused.
    pub(super) async fn compare_places(&self) -> Result<Option<Error>, Failure<L::Error>> {
        let mut after = None;
        loop {
            let page = match self.inventory.clients(after.as_deref(), NAMES).await {
                Ok(page) => page,
                // It is a right of its own.
                Err(error) if error.kind() == ErrorKind::Denied => return Ok(Some(error)),
                Err(error) => return Err(error.into()),
            };
            let compared = stream::iter(page.names)
                .map(Ok)
                .try_for_each_concurrent(AT_A_TIME, async |client: String| self.compare_client(&client).await);
            compared.await?;
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    async fn compare_client(&self, name: &str) -> Result<(), Failure<L::Error>> {
        let ledger = &self.life.0.ledger;
        let client = self.inventory.client_named(name).filter(|client| ledger.gives_ids_like(client, None));
        let Some(client) = client else {
            self.found(&Difference::named(Kind::ForeignName, name, ""));
            return Ok(());
        };
        let mut after = None;
        loop {
            let page = self.inventory.credentials_of(name, after.as_deref(), PAGE).await?;
            for credential in &page.names {
                let id = self.inventory.credential_named(credential);
                match id.filter(|id| ledger.gives_ids_like(&client, Some(id))) {
                    Some(id) => self.compare_place(&CredentialKey::new(client.clone(), id)).await?,
                    None => self.found(&Difference::named(Kind::ForeignName, name, credential)),
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn compare_place(&self, key: &CredentialKey) -> Result<(), Failure<L::Error>> {
        let (life, repairs) = (self.life, self.mode == Mode::Repair);
        let Some(place) = self.inventory.place(key) else { return Ok(()) };
        match life.edit(key, |state, note, now| life.standing(state, note, &place, now)).await? {
            Standing::Vouched => {}
            Standing::Unknown if repairs && life.has(Flaw::DeletesUnknownPlaces) => self.inventory.forget(key).await?,
            Standing::Unknown => self.found(&Difference::of_key(Kind::PathWithoutRow, key)),
            Standing::Ended if repairs && life.may_delete(place.backend()) => life.delete_ended(key, &place).await?,
            Standing::Ended => self.found(&Difference::of_key(Kind::PathOfEnded, key)),
            Standing::Left(revision) => {
                // In a restored database it may be the one that counts.
                if repairs && life.may_adopt(place.backend()) {
                    return life.keep_left(key, &place).await;
                }
                if let Held::Version { version, secret: Some(_), .. } = self.inventory.inspect(key, None).await? {
                    let latest = Some(version);
                    self.found(&Difference { latest, revision, ..Difference::of_key(Kind::PathNotPointedTo, key) });
                }
            }
        }
        Ok(())
    }
}

impl<L: Ledger> Lifecycle<L> {
    /// A write of this ledger that is under way is noted, and so is what has to be deleted, for as long as it may come back.
    pub(super) fn standing(&self, state: &State, note: &Note, place: &StoredSecret, now: SystemTime) -> Standing {
        if note.is_about(place) {
            return Standing::Vouched;
        }
        match state {
            State::Active(row) => {
                let counting = row.secrets.as_ref().map(|secrets| self.counting(secrets, now)).unwrap_or_default();
                // Where a row cannot be read nobody knows where it points.
                let is_vouched = row.secrets.is_none() || counting.iter().any(|(counts, _)| counts == place);
                if is_vouched { Standing::Vouched } else { Standing::Left(row.revision) }
            }
            State::Ended => Standing::Ended,
            State::Absent => Standing::Unknown,
        }
    }

    async fn delete_ended(&self, key: &CredentialKey, place: &StoredSecret) -> Result<(), Failure<L::Error>> {
        self.edit(key, |state, note, now| {
            if *state == State::Ended {
                note.owe(place.clone(), DebtKind::Delete, now);
            }
        })
        .await?;
        self.purge_now(key).await;
        Ok(())
    }

    pub(super) async fn keep_left(&self, key: &CredentialKey, place: &StoredSecret) -> Result<(), Failure<L::Error>> {
        self.edit(key, |state, note, now| {
            if matches!(self.standing(state, note, place, now), Standing::Left(_)) {
                note.keep_in_mind(place.clone());
            }
        })
        .await
    }
}
