//! Counters and histograms that were looked up before.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

/// What every request counts by is looked up by its name and labels once, and by few words from then on.
pub(super) struct Handles<K, H>(RwLock<HashMap<K, H>>);

impl<K: Hash + Eq, H: Clone> Handles<K, H> {
    pub(super) fn new() -> Self {
        Self(RwLock::default())
    }

    pub(super) fn get(&self, key: K, register: impl FnOnce() -> H) -> H {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let registered = register();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, registered.clone());
        registered
    }
}
