//! Putting a store together.

use std::collections::HashSet;
use std::sync::Arc;

use super::decoy::Decoy;
use super::{Inner, SecretStore};
use crate::backend::{SecretBackend, SharedBackend, shared};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::keys::MacKeys;

/// Settings of a [`SecretStore`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct SecretStoreBuilder {
    primary: SharedBackend,
    accepted: Vec<SharedBackend>,
    clock: Arc<dyn Clock>,
    selector_keys: Option<MacKeys>,
}

impl SecretStore {
    /// Starts with the backend for new secrets. It also verifies its own records.
    pub fn builder(primary: impl SecretBackend) -> SecretStoreBuilder {
        SecretStoreBuilder {
            primary: shared(primary),
            accepted: Vec::new(),
            clock: Arc::new(SystemClock),
            selector_keys: None,
        }
    }
}

impl SecretStoreBuilder {
    /// Adds a backend whose records still verify. Repeat it for more.
    pub fn accepts(mut self, backend: impl SecretBackend) -> Self {
        self.accepted.push(shared(backend));
        self
    }

    /// Sets the clock by which grace periods end; the machine's unless set.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets keys for [`Selector`](crate::Selector)s. The store then gives one with every record that it makes or proves,
    /// and asks only those records that the selectors beside them leave in question. Without keys it neither makes nor
    /// reads any.
    ///
    /// What time tells changes with it: a wrong secret for a record with a selector costs a MAC, and so does an unknown
    /// client; see [`verify_decoy`](SecretStore::verify_decoy).
    pub fn selector_keys(mut self, keys: MacKeys) -> Self {
        self.selector_keys = Some(keys);
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    /// `InvalidConfig` when two backends have the same id: a record could not be told to belong to one of them; when the
    /// primary [only verifies](crate::BackendInfo::reads_only).
    pub fn build(self) -> Result<SecretStore> {
        let Self { primary, accepted, clock, selector_keys } = self;
        let mut seen = HashSet::from([primary.info().id.clone()]);
        if let Some(twice) = accepted.iter().map(|backend| &backend.info().id).find(|id| !seen.insert((*id).clone())) {
            let message = format!("the backend `{twice}` was given twice; each id may stand for one backend only");
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_backend(twice.clone()));
        }
        if primary.info().reads_only {
            return Err(primary.info().only_reads());
        }
        let decoy = Decoy::of(&primary, &accepted, selector_keys.as_ref())?;
        Ok(SecretStore(Arc::new(Inner { primary, accepted, clock, selector_keys, decoy })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::Memory;

    #[test]
    fn an_id_stands_for_one_backend() {
        let error = SecretStore::builder(Memory::new()).accepts(Memory::new()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("`memory`"), "{error}");
    }

    #[test]
    fn the_store_can_be_shared() {
        fn shareable<T: Clone + Send + Sync + 'static>(_: &T) {}
        shareable(&SecretStore::builder(Memory::new()).build().unwrap());
    }
}
