//! Where records point.

use std::time::SystemTime;

use super::Lifecycle;
use super::ledger::Ledger;
use super::rows::Row;
use crate::backend::{Custody, Pointer, SharedBackend};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::StoredSecret;
use crate::store::CredentialSecrets;

impl<L: Ledger> Lifecycle<L> {
    /// Where new secrets of the key are kept; none where the record itself holds the digest.
    pub(super) fn place(&self, key: &CredentialKey) -> Result<Option<StoredSecret>> {
        let primary = self.0.store.primary_backend();
        match (primary.info().custody, primary.place(key)) {
            (Custody::Record, _) => Ok(None),
            (Custody::Backend, Some(place)) => Ok(Some(place)),
            (Custody::Backend, None) => {
                let message =
                    "the backend keeps secrets and names no place of a key; implement `place` and `points_to`";
                Err(Error::new(ErrorKind::InvalidConfig, message).with_backend(primary.info().id.clone()))
            }
        }
    }

    /// The backend that a place is at, if the key's secrets are kept at that place.
    pub(super) fn backend_at(&self, key: &CredentialKey, place: &StoredSecret) -> Result<&SharedBackend> {
        let (backend, _) = self.0.store.claim(Operation::Revoke, place)?;
        let own = backend.place(key);
        // A place that was noted while its backend was not configured is a whole record.
        if own.as_ref() == Some(place) || backend.points_to(place).is_some_and(|to| Some(to.place) == own) {
            return Ok(backend);
        }
        let message = "the place is not where this backend keeps the secrets of the key: another mount or prefix";
        Err(Error::new(ErrorKind::Malformed, message).with_backend(place.backend().clone()))
    }

    /// Where a record points; none for a digest, and for a record that its backend cannot read.
    pub(super) fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let (backend, stored) = self.0.store.claim(Operation::Pin, stored).ok()?;
        backend.points_to(&stored)
    }

    /// The places that the records of a row may point to.
    pub(super) fn places(&self, row: &Row) -> Vec<StoredSecret> {
        match &row.secrets {
            Some(secrets) => records(secrets).flat_map(|record| self.may_point_to(&row.key, record)).collect(),
            None => self.everywhere(&row.key),
        }
    }

    /// Where a record may point. Of a backend that this store was not given it is the record itself: the backend may be configured
    /// again. A record that cannot be read may point to each place that there is for the key.
    pub(super) fn may_point_to(&self, key: &CredentialKey, record: &StoredSecret) -> Vec<StoredSecret> {
        match self.0.store.claim(Operation::Revoke, record) {
            Ok((backend, record)) => {
                let read = backend.points_to(&record).map(|to| to.place);
                read.or_else(|| backend.place(key)).into_iter().collect()
            }
            Err(error) if error.kind() == ErrorKind::Malformed => self.everywhere(key),
            Err(_) => vec![self.0.store.under_its_id(record)],
        }
    }

    fn everywhere(&self, key: &CredentialKey) -> Vec<StoredSecret> {
        self.0.store.backends().filter_map(|backend| backend.place(key)).collect()
    }

    /// A place of a debt. One that was noted while its backend was not configured is a whole record.
    pub(super) fn place_of(&self, noted: &StoredSecret) -> StoredSecret {
        self.points_to(noted).map_or_else(|| noted.clone(), |to| to.place)
    }

    /// The places where something counts now; with its end for a previous secret.
    pub(super) fn counting(
        &self,
        secrets: &CredentialSecrets,
        now: SystemTime,
    ) -> Vec<(StoredSecret, Option<SystemTime>)> {
        let secrets = without_past(secrets, now);
        let current = self.points_to(&secrets.current).map(|to| (to.place, None));
        let previous = secrets
            .previous
            .as_ref()
            .and_then(|previous| Some((self.points_to(&previous.stored)?.place, Some(previous.valid_until))));
        current.into_iter().chain(previous).collect()
    }

    /// The oldest version that counts at a place.
    pub(super) fn oldest(&self, secrets: &CredentialSecrets, place: &StoredSecret, now: SystemTime) -> Option<u64> {
        let secrets = without_past(secrets, now);
        let versions = records(&secrets).filter_map(|record| self.points_to(record)).filter(|to| to.place == *place);
        versions.filter_map(|to| to.version).min()
    }
}

/// Those of one credential.
fn records(secrets: &CredentialSecrets) -> impl Iterator<Item = &StoredSecret> {
    std::iter::once(&secrets.current).chain(secrets.previous.as_ref().map(|previous| &previous.stored))
}

/// The same without a previous secret whose time is over.
pub(super) fn without_past(secrets: &CredentialSecrets, now: SystemTime) -> CredentialSecrets {
    let previous = secrets.previous.clone().filter(|previous| previous.valid_until > now);
    CredentialSecrets { previous, ..secrets.clone() }
}
