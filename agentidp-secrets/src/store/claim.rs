//! Whose a record is.

use std::borrow::Cow;

use super::SecretStore;
use super::failed::failed;
use crate::backend::SharedBackend;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::{BackendId, StoredSecret};

impl SecretStore {
    /// The backend that a record belongs to: the one that it names, or the first of this store that
    /// [recognises](crate::SecretBackend::recognises) it.
    ///
    /// Where this store was given no such backend, the id that the record names, or that of this library's backend whose bare form it
    /// has. [Unclaimed](BackendId::UNCLAIMED) where it has none of those: it is damaged, or of a backend that is missing here.
    ///
    /// ```
    /// use agentidp_secrets::backends::{Bcrypt, Memory};
    /// use agentidp_secrets::{BackendId, SecretStore, StoredSecret};
    ///
    /// let row = StoredSecret::parse("$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy")?;
    /// let store = SecretStore::builder(Memory::new()).accepts(Bcrypt::builder().build()?).build()?;
    /// assert_eq!(store.backend_of(&row), BackendId::BCRYPT);
    /// # Ok::<(), agentidp_secrets::Error>(())
    /// ```
    #[must_use]
    pub fn backend_of(&self, stored: &StoredSecret) -> BackendId {
        self.claimed(stored).map_or_else(|| stored.seems_of(), |(backend, _)| backend.info().id.clone())
    }

    /// The backend of a record, and the record as that backend takes it.
    ///
    /// # Errors
    /// `UnknownBackend` when the record names a backend that this store was not given, or has the bare form of one; `Malformed` when
    /// nothing is known of it. In both cases no backend of the store recognises the text.
    #[inline]
    pub(crate) fn claim<'a>(
        &self,
        operation: Operation,
        stored: &'a StoredSecret,
    ) -> Result<(&SharedBackend, Cow<'a, StoredSecret>)> {
        self.claimed(stored).ok_or_else(|| unclaimed(operation, stored))
    }

    /// The record under the id of its [backend](Self::backend_of).
    pub(crate) fn under_its_id(&self, stored: &StoredSecret) -> StoredSecret {
        StoredSecret::new(self.backend_of(stored), stored.payload())
    }

    #[inline]
    fn claimed<'a>(&self, stored: &'a StoredSecret) -> Option<(&SharedBackend, Cow<'a, StoredSecret>)> {
        if let Some(backend) = self.named(stored.backend()) {
            return Some((backend, Cow::Borrowed(stored)));
        }
        let text = stored.text();
        let backend = self.backends().find(|backend| backend.recognises(&text))?;
        Some((backend, Cow::Owned(StoredSecret::new(backend.info().id.clone(), text))))
    }
}

#[cold]
fn unclaimed(operation: Operation, stored: &StoredSecret) -> Error {
    let id = stored.seems_of();
    let error = if id == BackendId::UNCLAIMED {
        let message = "no backend of this store recognises the record; give the store one that does, or rotate";
        Error::new(ErrorKind::Malformed, message)
    } else {
        let message = format!(
            "the record was written by the backend `{id}`, which this store was not given: give it, under this id"
        );
        Error::new(ErrorKind::UnknownBackend, message)
    };
    failed(operation, &id)(error)
}
