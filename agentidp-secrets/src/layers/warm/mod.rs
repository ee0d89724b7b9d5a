//! One proof decides every later candidate.

mod backend;
mod flights;
mod names;
mod proofs;
mod sync;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::backend::Warm;
use self::proofs::{Lifetimes, Proofs};
use crate::backend::SharedBackend;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Layer;

/// Decides at memory speed what was proved before.
///
/// A backend is asked until it has once stored a secret or said that a candidate is the secret of a record. From then
/// on the layer decides *every* candidate for that record, right or wrong, by one MAC and one comparison in constant
/// time: a few hundred nanoseconds in place of a digest or a round trip, and the same work for both outcomes.
///
/// # What it keeps
/// For each proved record the MAC of its secret, 128 bits of HMAC-SHA-256 under a random key of this layer; never the
/// secret, an unkeyed hash of it, or the record. The MAC is bound to the client, so one MAC of a candidate serves for all of a
/// client's credentials. The entry is found by a name of 128 bits: NH (RFC 4418's, over 64-bit words) of client, backend, credential and
/// record with their lengths, under a random key of its own. Two records meet with a probability of at most 2⁻⁶³. An entry takes
/// about 100 bytes; at the [capacity](WarmLayerBuilder::capacity) the least used ones go.
///
/// It learns from proofs and from nothing else: from a match, and from a secret that the backend has just stored, which
/// its new record verifies by contract. A mismatch or an error leaves no trace: wrong candidates can neither make an
/// entry nor push one out.
///
/// # For how long
/// - A record that is a digest ([`Custody::Record`](crate::Custody::Record)) means the same for ever, so its entry does
///   not expire.
/// - A record that points into a backend ([`Custody::Backend`](crate::Custody::Backend)) has an absolute
///   [lifetime](WarmLayerBuilder::lifetime), counted from the moment that the backend was asked: use does not prolong
///   it. For so long a secret still verifies that was deleted in the backend by somebody else, and through an outage.
/// - With a [stale window](WarmLayerBuilder::stale_window), off unless set, a proof whose lifetime is over still decides
///   while the backend is [`Unavailable`](ErrorKind::Unavailable), and only then: the backend is asked first, every
///   time. A match is then [`MatchStale`](crate::Verdict::MatchStale). The window is absolute too: it follows the lifetime, and
///   an outage does not prolong it.
/// - A record whose secret may change under it, such as a Vault path without a version, is
///   [not held](crate::BackendInfo::is_pinned) at all.
/// - `store`, `rotate`, `revoke` and `forget` through the layer forget at once what was known of the credential, and a call that
///   began before they ended cannot bring it back. A `rotate` that meets an outage leaves it: the old record stands. Another process, or another layer, does not hear of them. A `revoke`
///   that was dropped may still reach the backend later: as ever, it has to be repeated until it succeeds.
///
/// Whether a credential is active is for the caller to look up, on every request, as ever.
///
/// # While cold
/// Calls with the same candidate for the same record that are under way at the same time share one call to the backend
/// and its outcome, errors included; different candidates do not wait for each other. Whoever is dropped leaves the work
/// to the others, and the last one ends it.
///
/// # Order
/// Inside of [`ObserveLayer`](super::ObserveLayer), which then counts what callers see, and outside of all others:
/// `observe → warm → breaker → timeout → retry → limit → backend`. With `warm` innermost, a decision that needs no server would
/// wait for a permit of [`LimitLayer`](super::LimitLayer) behind calls to one that hangs. A second observer inside of
/// `warm` sees what was cold: its share of the outer one's count is the rate of misses.
///
/// One layer around two backends shares its capacity between them and nothing else: a proof at one decides nothing at
/// the other, even under the same backend id.
#[derive(Clone)]
pub struct WarmLayer {
    proofs: Arc<Proofs>,
    /// How many backends were wrapped.
    wrapped: Arc<AtomicU64>,
}

impl WarmLayer {
    /// Entries when nothing else is said: 10 MB.
    pub const DEFAULT_CAPACITY: usize = 100_000;

    /// Lifetime of a record in a backend's custody when nothing else is said.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

    /// Starts from the defaults.
    pub fn builder() -> WarmLayerBuilder {
        WarmLayerBuilder {
            capacity: Self::DEFAULT_CAPACITY,
            lifetimes: Lifetimes { fresh: Self::DEFAULT_LIFETIME, stale: Duration::ZERO },
            clock: Arc::new(SystemClock),
        }
    }
}

/// Shows how much is held and nothing of it.
impl fmt::Debug for WarmLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmLayer").field("entries", &self.proofs.len()).finish_non_exhaustive()
    }
}

impl Layer for WarmLayer {
    fn layer(&self, inner: SharedBackend) -> SharedBackend {
        let realm = self.wrapped.fetch_add(1, Ordering::Relaxed);
        Arc::new(Warm::new(inner, realm, Arc::clone(&self.proofs)))
    }
}

/// Settings of [`WarmLayer`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct WarmLayerBuilder {
    capacity: usize,
    lifetimes: Lifetimes,
    clock: Arc<dyn Clock>,
}

impl WarmLayerBuilder {
    /// The most entries: 1.7 GB of them. More is a slip of the hand.
    pub const MAX_CAPACITY: usize = 1 << 24;

    /// Sets how many records are held at most, give or take a few; an entry takes about 100 bytes.
    pub fn capacity(mut self, entries: usize) -> Self {
        self.capacity = entries;
        self
    }

    /// Sets for how long a record in a backend's custody is decided without asking the backend. With zero such records
    /// are not held, unless for a [stale window](Self::stale_window); digests always are.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetimes.fresh = lifetime;
        self
    }

    /// Sets for how long after its lifetime a record in a backend's custody is decided by what was proved before, while
    /// the backend is [`Unavailable`](ErrorKind::Unavailable); zero, that is never, unless set. Each such call has asked
    /// the backend first, and waited for it: up to the deadline, or not at all behind an open
    /// [`BreakerLayer`](crate::layers::BreakerLayer). For so long clients get through an outage, those too whose secret somebody
    /// has deleted in the backend just before it.
    pub fn stale_window(mut self, window: Duration) -> Self {
        self.lifetimes.stale = window;
        self
    }

    /// Sets the clock that lifetimes are measured with; the machine's unless set.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the layer, with fresh random keys.
    ///
    /// # Errors
    /// `InvalidConfig` when the capacity is zero (leave the layer out instead) or above
    /// [`MAX_CAPACITY`](Self::MAX_CAPACITY); `Internal` when the operating system gives no randomness.
    pub fn build(self) -> Result<WarmLayer> {
        if !(1..=Self::MAX_CAPACITY).contains(&self.capacity) {
            let message = format!("the capacity of warm verification must be 1 to {} entries", Self::MAX_CAPACITY);
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        let proofs = Proofs::new(self.capacity, self.lifetimes, self.clock)?;
        Ok(WarmLayer { proofs: Arc::new(proofs), wrapped: Arc::default() })
    }
}

#[cfg(test)]
mod tests;
