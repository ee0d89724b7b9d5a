//! What KV version 2 does with one mount, without network and without waiting.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::credential::CredentialKey;
use crate::secret::ClientSecret;

/// How far a standby is behind at the most.
const LAG: Duration = Duration::from_secs(30);

/// The versions at one path. Nothing is in a blank one.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    evicted: u64,
    kept: VecDeque<Option<ClientSecret>>,
}

impl Place {
    pub(super) fn latest(&self) -> u64 {
        self.evicted + self.kept.len() as u64
    }

    pub(super) fn get(&self, version: u64) -> Option<&Option<ClientSecret>> {
        self.kept.get(usize::try_from(version.checked_sub(self.evicted + 1)?).ok()?)
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = &Option<ClientSecret>> {
        self.kept.iter()
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &ClientSecret> {
        self.kept.iter().flatten()
    }
}

/// A mount: the active node's state, and what a standby has heard of it.
#[derive(Clone, Debug)]
pub(super) struct Kv {
    versions_kept: u64,
    pub(super) places: BTreeMap<CredentialKey, Place>,
    standby: BTreeMap<CredentialKey, Place>,
    heard: Duration,
}

/// A change of a mount, as it travels.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// The next version, if this is still the latest.
    Write { cas: u64, secret: Option<ClientSecret> },
    /// The path with all versions.
    Delete,
}

impl Kv {
    pub(super) fn new(versions_kept: u64) -> Self {
        Self { versions_kept, places: BTreeMap::new(), standby: BTreeMap::new(), heard: Duration::ZERO }
    }

    pub(super) fn versions_kept(&self) -> u64 {
        self.versions_kept
    }

    pub(super) fn latest(&self, key: &CredentialKey) -> u64 {
        self.places.get(key).map_or(0, Place::latest)
    }

    /// What a version is on the active node: nothing, blank, or a secret.
    pub(super) fn read(&self, key: &CredentialKey, version: u64) -> Option<&Option<ClientSecret>> {
        self.places.get(key)?.get(version)
    }

    /// Carries a change out. The number of the version that was written; nothing where the compare-and-set was lost.
    pub(super) fn apply(&mut self, key: &CredentialKey, change: &Change) -> Option<u64> {
        match change {
            Change::Delete => {
                self.places.remove(key);
                Some(0)
            }
            Change::Write { cas, .. } if *cas != self.latest(key) => None,
            Change::Write { secret, .. } => {
                let most = self.versions_kept;
                let place = self.places.entry(key.clone()).or_default();
                place.kept.push_back(secret.clone());
                while place.kept.len() as u64 > most {
                    place.kept.pop_front();
                    place.evicted += 1;
                }
                Some(place.latest())
            }
        }
    }

    /// The mount as the standby knows it, which hears of everything in time.
    pub(super) fn standby(&mut self, now: Duration, is_up_to_date: bool) -> &BTreeMap<CredentialKey, Place> {
        if is_up_to_date || now.saturating_sub(self.heard) > LAG {
            self.standby.clone_from(&self.places);
            self.heard = now;
        }
        &self.standby
    }
}
