//! Putting a store together.

use std::collections::HashSet;
use std::sync::Arc;

use super::decoy::Decoy;
use super::{Inner, SecretStore};
use crate::backend::{SecretBackend, SharedBackend};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};

/// Settings of a [`SecretStore`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct SecretStoreBuilder {
    primary: SharedBackend,
    accepted: Vec<SharedBackend>,
    clock: Arc<dyn Clock>,
}

impl SecretStore {
    /// Starts with the backend for new secrets. It also verifies its own records.
    pub fn builder(primary: impl SecretBackend) -> SecretStoreBuilder {
        SecretStoreBuilder { primary: Arc::new(primary), accepted: Vec::new(), clock: Arc::new(SystemClock) }
    }
}

impl SecretStoreBuilder {
    /// Adds a backend whose records still verify. Repeat it for more.
    pub fn accepts(mut self, backend: impl SecretBackend) -> Self {
        self.accepted.push(Arc::new(backend));
        self
    }

    /// Sets the clock by which grace periods end; the machine's unless set.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    /// `InvalidConfig` when two backends have the same id: a record could not be told to belong to one of them.
    pub fn build(self) -> Result<SecretStore> {
        let Self { primary, accepted, clock } = self;
        let mut seen = HashSet::from([primary.info().id.clone()]);
        if let Some(twice) = accepted.iter().map(|backend| &backend.info().id).find(|id| !seen.insert((*id).clone())) {
            let message = format!("the backend `{twice}` was given twice; each id may stand for one backend only");
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_backend(twice.clone()));
        }
        let decoy = Decoy::of(&primary, &accepted)?;
        Ok(SecretStore(Arc::new(Inner { primary, accepted, clock, decoy })))
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
