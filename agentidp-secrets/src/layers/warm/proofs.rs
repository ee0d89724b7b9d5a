//! What is kept of a proof, and where.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::names::{ClientName, Names, RecordName, two};
use super::sync::{AtomicU32, LEAST_EPOCHS, Ordering};
use crate::backend::Verdict;
use crate::clock::Clock;
use crate::credential::{ClientId, CredentialKey};
use crate::error::{Error, ErrorKind, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// Every proof that is held, and what is needed to ask for one.
pub(super) struct Proofs {
    names: Names,
    /// HMAC-SHA-256 with its key, one block long, taken in: a candidate costs three runs of the compression function,
    /// which CPUs have instructions for. BLAKE3 gains little on so few bytes, and is a larger dependency.
    mac: Hmac<Sha256>,
    held: Cache<RecordName, Proof>,
    /// How often each credential was forgotten. Several may share a counter: then forgetting one costs another a proof.
    epochs: Box<[AtomicU32]>,
    lifetimes: Lifetimes,
    clock: Arc<dyn Clock>,
    /// How many MACs were computed.
    #[cfg(test)]
    pub(super) macs: std::sync::atomic::AtomicUsize,
}

/// For how long a proof of a record in a backend's custody counts, from when the backend was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes {
    /// Without asking again.
    pub(super) fresh: Duration,
    /// After that, while the backend cannot be asked.
    pub(super) stale: Duration,
}

/// The first 128 bits of a MAC of a secret, bound to the client.
pub(super) type Tag = [u64; 2];

/// A candidate for a client. `Copy`, for nothing in it can be read back.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    client: ClientName,
    tag: Tag,
}

/// A candidate for a record, at one epoch of the credential.
#[derive(Clone, Copy)]
pub(super) struct Question {
    tag: Tag,
    record: RecordName,
    /// The credential's counter.
    counter: u32,
    pub(super) epoch: u32,
}

/// What stands for a candidate and the record that it is for.
pub(super) type QuestionId = (RecordName, Tag);

/// That a secret is a record's.
#[derive(Clone)]
struct Proof {
    tag: Tag,
    /// When the backend has to be asked again; never, for a digest.
    end: Option<Instant>,
    /// It counts as long as this is what the credential's counter says, which makes forgetting one step, whatever is under way.
    epoch: u32,
    outdated: bool,
}

impl Lifetimes {
    /// Whether there is any use in holding such a record.
    fn holds_any(self) -> bool {
        !(self.fresh.is_zero() && self.stale.is_zero())
    }
}

impl Proof {
    /// Whether the candidate is the proven secret, in constant time.
    fn is_of(&self, question: &Question) -> bool {
        let [one, other] = [0, 1].map(|at| self.tag[at] ^ question.tag[at]);
        (one | other).ct_eq(&0).into()
    }
}

impl Question {
    /// The same, asked at another epoch.
    pub(super) fn at(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }

    pub(super) fn id(&self) -> QuestionId {
        (self.record, self.tag)
    }
}

impl Proofs {
    pub(super) fn new(capacity: usize, lifetimes: Lifetimes, clock: Arc<dyn Clock>) -> Result<Self> {
        let names = Names::new()?;
        let mut mac = Zeroizing::new([0; 64]);
        getrandom::fill(mac.as_mut_slice()).map_err(|_| {
            Error::new(ErrorKind::Internal, "the operating system gave no randomness for the keys of warm verification")
        })?;
        // About as many epochs as entries: forgetting one credential then costs about one other its proof.
        let epochs = capacity.max(LEAST_EPOCHS).next_power_of_two();
        let epochs = (0..epochs).map(|_| AtomicU32::new(0)).collect();
        Ok(Self {
            names,
            mac: Hmac::new((&*mac).into()),
            held: bounded(capacity)?,
            epochs,
            lifetimes,
            clock,
            #[cfg(test)]
            macs: std::sync::atomic::AtomicUsize::new(0),
        })
    }

    /// Names the client, and computes the candidate's tag.
    pub(super) fn attempt(&self, client: &ClientId, candidate: &ClientSecret) -> Attempt {
        let client = self.names.client(client);
        Attempt { client, tag: self.tag(client, candidate) }
    }

    /// Names the record.
    pub(super) fn question(
        &self,
        attempt: Attempt,
        realm: u64,
        key: &CredentialKey,
        stored: &StoredSecret,
    ) -> Question {
        let credential = self.names.credential(attempt.client, key.credential_id());
        let counter = self.counter(credential.counter());
        // Before anything is looked up.
        let epoch = self.epochs[counter as usize].load(Ordering::Acquire);
        Question { tag: attempt.tag, record: credential.record(realm, stored), counter, epoch }
    }

    /// The verdict, where a proof that counts is held. The work is the same whether the candidate is right or wrong.
    pub(super) fn decide(&self, question: &Question) -> Option<Verdict> {
        let proof = self.held.get(&question.record)?;
        let over = proof.end.is_some_and(|end| self.clock.instant() >= end);
        if over || proof.epoch != question.epoch {
            return None;
        }
        Some(match (proof.is_of(question), proof.outdated) {
            (false, _) => Verdict::Mismatch,
            (true, false) => Verdict::Match,
            (true, true) => Verdict::MatchOutdated,
        })
    }

    /// What to say of a pinned record whose backend cannot be asked, where a proof of it is still within the stale
    /// window. The credential's present epoch counts, so a revocation does too that came while the backend was asked.
    ///
    /// A mismatch is one whatever has happened in the backend: the record meant this one secret, or by now none.
    pub(super) fn decide_stale(&self, question: &Question) -> Option<Verdict> {
        let proof = self.held.get(&question.record)?;
        let end = proof.end?.checked_add(self.lifetimes.stale)?;
        let epoch = self.epochs[question.counter as usize].load(Ordering::Acquire);
        if self.clock.instant() >= end || proof.epoch != epoch {
            return None;
        }
        Some(if proof.is_of(question) { Verdict::MatchStale } else { Verdict::Mismatch })
    }

    /// Keeps the proof, if it is one. `asked` is when the backend was asked: not later than what its answer is true of.
    pub(super) fn learn(&self, question: &Question, verdict: Verdict, remote: bool, asked: Instant) {
        let end = match asked.checked_add(self.lifetimes.fresh) {
            _ if !remote => None,
            Some(end) if self.lifetimes.holds_any() => Some(end),
            _ => return,
        };
        let outdated = match verdict {
            Verdict::Match => false,
            Verdict::MatchOutdated => true,
            // What another such layer remembers is no proof.
            Verdict::MatchStale | Verdict::Mismatch => return,
        };
        self.held.insert(question.record, Proof { tag: question.tag, end, epoch: question.epoch, outdated });
    }

    /// Forgets the credential now, and again when the guard goes: a proof that was under way meanwhile may be of what
    /// was before.
    pub(super) fn forgetting(&self, key: &CredentialKey) -> Forgetting<'_> {
        let epoch = self.credential_epoch(key);
        let now = epoch.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        Forgetting { epoch, now, kept: false }
    }

    /// Forgets the credential when the guard goes, unless it [keeps](Forgetting::keep) what is known.
    pub(super) fn replacing(&self, key: &CredentialKey) -> Forgetting<'_> {
        let epoch = self.credential_epoch(key);
        Forgetting { epoch, now: epoch.load(Ordering::Acquire), kept: false }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.instant()
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    fn credential_epoch(&self, key: &CredentialKey) -> &AtomicU32 {
        let credential = self.names.credential(self.names.client(key.client_id()), key.credential_id());
        &self.epochs[self.counter(credential.counter()) as usize]
    }

    fn counter(&self, number: u64) -> u32 {
        (number as usize & (self.epochs.len() - 1)) as u32
    }

    fn tag(&self, client: ClientName, candidate: &ClientSecret) -> Tag {
        #[cfg(test)]
        self.macs.fetch_add(1, Ordering::Relaxed);
        let secret = candidate.expose_secret().as_bytes();
        let mut mac = self.mac.clone();
        mac.update(&client.0);
        mac.update(secret);
        let mac = mac.finalize().into_bytes();
        two(&std::array::from_fn(|at| mac[at]))
    }
}

/// Without room for entries that have gone, which would be half as much memory again: what comes back is proved anew. Room for
/// the others is taken at once, or each shard would grow to twice what it needs; a page of it is used once an entry is there.
fn bounded(capacity: usize) -> Result<Cache<RecordName, Proof>> {
    let options = OptionsBuilder::new()
        .estimated_items_capacity(capacity)
        .weight_capacity(capacity as u64)
        .ghost_allocation(0.0)
        .build()
        .map_err(|_| Error::new(ErrorKind::Internal, "the cache of warm verification could not be made"))?;
    let cache = Cache::with_options(options, UnitWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default());
    cache.reserve(capacity);
    Ok(cache)
}

/// Forgets when it is dropped, however the call ended.
pub(super) struct Forgetting<'a> {
    epoch: &'a AtomicU32,
    /// The epoch at its beginning.
    now: u32,
    kept: bool,
}

impl Forgetting<'_> {
    /// Forgets, and tells the epoch after that: the present one only if nobody else has forgotten anything since the
    /// beginning. What is learned under it is dead if somebody has.
    pub(super) fn end(self) -> u32 {
        self.now.wrapping_add(1)
    }

    /// Nothing has changed: what is known stays.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest of an entry is the cache's: its links and its index take about 25 bytes more.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<(RecordName, Proof)>() <= 80, "{}", size_of::<(RecordName, Proof)>());
    }
}
