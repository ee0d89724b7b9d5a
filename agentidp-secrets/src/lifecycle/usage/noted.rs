//! Uses that are noted and not written yet.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;

use super::record::Use;
use crate::credential::CredentialKey;
use crate::store::Generation;

/// Parts with a lock each, so that logins of many clients seldom meet.
const PARTS: usize = 16;

/// Credentials, beyond which the next write is due at once: some 100 bytes each.
const MANY: usize = 50_000;

#[derive(Debug, Default)]
pub(crate) struct Noted {
    hasher: RandomState,
    parts: [Mutex<HashMap<CredentialKey, Times>>; PARTS],
    count: AtomicUsize,
    many: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    current: Option<SystemTime>,
    previous: Option<SystemTime>,
}

impl Noted {
    pub(super) fn note(&self, key: &CredentialKey, generation: Generation, now: SystemTime) {
        let times = match generation {
            Generation::Current => Times { current: Some(now), previous: None },
            Generation::Previous => Times { current: None, previous: Some(now) },
        };
        self.merge(key, times);
    }

    /// What could not be written.
    pub(super) fn add(&self, used: &Use) {
        self.merge(&used.key, Times { current: used.current, previous: used.previous });
    }

    /// All of it, in the order of the keys.
    pub(super) fn take(&self) -> Vec<Use> {
        self.count.store(0, Ordering::Relaxed);
        let parts = self.parts.iter().map(|part| std::mem::take(&mut *locked(part)));
        let mut uses: Vec<_> = parts.flatten().map(|(key, times)| times.of(key)).collect();
        uses.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        uses
    }

    pub(super) fn of(&self, key: &CredentialKey) -> Option<Use> {
        locked(self.part(key)).get(key).map(|times| times.of(key.clone()))
    }

    /// Waits until there are so many that they are to be written at once.
    pub(super) async fn is_full(&self) {
        self.many.notified().await;
    }

    fn merge(&self, key: &CredentialKey, times: Times) {
        let mut part = locked(self.part(key));
        if let Some(noted) = part.get_mut(key) {
            *noted = Times { current: noted.current.max(times.current), previous: noted.previous.max(times.previous) };
            return;
        }
        part.insert(key.clone(), times);
        if self.count.fetch_add(1, Ordering::Relaxed) == MANY {
            self.many.notify_one();
        }
    }

    fn part(&self, key: &CredentialKey) -> &Mutex<HashMap<CredentialKey, Times>> {
        // In range by the remainder.
        let place = self.hasher.hash_one(key) % PARTS as u64;
        &self.parts[place as usize]
    }
}

impl Times {
    fn of(self, key: CredentialKey) -> Use {
        Use { key, current: self.current, previous: self.previous }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
