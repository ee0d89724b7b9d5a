//! Uses that are noted and not written yet.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use quick_cache::DefaultHashBuilder;
use tokio::sync::Notify;

use super::record::Use;
use crate::credential::CredentialKey;
use crate::lifecycle::revision::Revision;
use crate::store::Generation;

/// Parts with a lock each, so that logins of many clients seldom meet.
const PARTS: usize = 16;

/// Credentials, beyond which the next write is due at once: some 200 bytes each.
const MANY: usize = 50_000;

/// Uses of one call.
const BATCH: usize = 1000;

#[derive(Debug, Default)]
pub(crate) struct Noted {
    hasher: DefaultHashBuilder,
    parts: [Mutex<Part>; PARTS],
    count: AtomicUsize,
    many: Notify,
}

#[derive(Debug, Default)]
struct Part {
    noted: Uses,
    /// What the writer has begun to write. It stays until the ledger has it: until then nobody could read it elsewhere.
    writing: Uses,
}

/// Two of the standard library's hashes of a key would be most of what it costs a login to be noted.
type Uses = HashMap<CredentialKey, Vec<Times>, DefaultHashBuilder>;

/// Uses by one state of the row. A rotation makes another state, so the latest use of each secret tells all of them. Uses by two states
/// are kept apart: there may have been a rotation between them, also one by another process.
#[derive(Clone, Debug)]
struct Times {
    by: Option<Revision>,
    current: Option<SystemTime>,
    previous: Option<SystemTime>,
}

impl Noted {
    /// A secret was proved by the row of this revision.
    pub(super) fn note(&self, key: &CredentialKey, by: Option<Revision>, generation: Generation, now: SystemTime) {
        let (current, previous) = match generation {
            Generation::Current => (Some(now), None),
            Generation::Previous => (None, Some(now)),
        };
        if merge(&mut self.part(key).noted, key, Times { by, current, previous })
            && self.count.fetch_add(1, Ordering::Relaxed) == MANY
        {
            self.many.notify_one();
        }
    }

    /// All of it, for a ledger: in calls with no key twice, each in the order of the keys. It stays to be read, and is among what comes
    /// next, until it is [`written`](Self::written).
    pub(super) fn begin(&self) -> Vec<Vec<Use>> {
        self.count.store(0, Ordering::Relaxed);
        let mut uses = Vec::new();
        for part in &self.parts {
            let Part { noted, writing } = &mut *locked(part);
            // With its room: a minute of many clients would be kept for good.
            for (key, times) in std::mem::take(noted) {
                times.into_iter().for_each(|times| {
                    merge(writing, &key, times);
                });
            }
            uses.extend(writing.iter().flat_map(|(key, times)| numbered(key, times)));
        }
        uses.sort_unstable_by(|(round, one), (other_round, other)| (round, &one.key).cmp(&(other_round, &other.key)));
        let rounds = uses.chunk_by(|(round, _), (next, _)| round == next);
        let batches = rounds.flat_map(|round| round.chunks(BATCH));
        batches.map(|batch| batch.iter().map(|(_, used)| used.clone()).collect()).collect()
    }

    /// What was begun is written.
    pub(super) fn written(&self) {
        self.parts.iter().for_each(|part| locked(part).writing = Uses::default());
    }

    /// What is noted of a credential, also while it is being written.
    pub(super) fn of(&self, key: &CredentialKey) -> Vec<Use> {
        let part = self.part(key);
        let noted = [&part.writing, &part.noted].into_iter().filter_map(|uses| uses.get(key));
        noted.flatten().map(|times| times.of(key)).collect()
    }

    /// Waits until there are so many that they are to be written at once.
    pub(super) async fn is_full(&self) {
        while self.count.load(Ordering::Relaxed) <= MANY {
            self.many.notified().await;
        }
    }

    fn part(&self, key: &CredentialKey) -> MutexGuard<'_, Part> {
        // In range by the remainder.
        let place = self.hasher.hash_one(key) % PARTS as u64;
        locked(&self.parts[place as usize])
    }
}

impl Times {
    fn of(&self, key: &CredentialKey) -> Use {
        Use { key: key.clone(), current: self.current, previous: self.previous }
    }
}

/// Says whether they are by a state of the row that there was nothing of.
fn merge(uses: &mut Uses, key: &CredentialKey, times: Times) -> bool {
    let Some(noted) = uses.get_mut(key) else {
        uses.insert(key.clone(), vec![times]);
        return true;
    };
    match noted.iter_mut().find(|noted| noted.by == times.by) {
        Some(noted) => {
            noted.current = noted.current.max(times.current);
            noted.previous = noted.previous.max(times.previous);
            false
        }
        None => {
            noted.push(times);
            true
        }
    }
}

fn numbered<'a>(key: &'a CredentialKey, times: &'a [Times]) -> impl Iterator<Item = (usize, Use)> + 'a {
    times.iter().map(|times| times.of(key)).enumerate()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
