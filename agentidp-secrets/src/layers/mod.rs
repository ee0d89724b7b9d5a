//! Behaviour around a backend: deadlines, retries, limits, a breaker, observation, warm verification.
//!
//! A [`Layer`](crate::Layer) wraps a backend and gives one back; [`stack`](crate::stack) puts several around one. Every
//! layer keeps the contract of [`SecretBackend`](crate::SecretBackend): the conformance suite runs over each of them.
//!
//! | layer | does | never |
//! |---|---|---|
//! | [`ObserveLayer`] | reports every operation to an [`Observer`] | sees a secret, a digest or a path |
//! | [`TimeoutLayer`] | one deadline an operation | says that a write which timed out did not happen |
//! | [`RetryLayer`] | repeats `verify` and `probe` after an outage | repeats a write, or work that was shed |
//! | [`BreakerLayer`] | answers at once while a backend is down | turns any other answer into an outage |
//! | [`LimitLayer`] | bounds the calls to a remote backend | goes around a digest, which limits itself |
//! | [`WarmLayer`] | decides at once what was proved before | keeps a secret, or learns from a mismatch or an error |
//!
//! # Order
//! ```text
//!        caller
//!          │
//!     ┌────▼────┐
//!     │ observe │  outermost: it sees what callers see, waiting included
//!     ├─────────┤
//!     │  warm   │  a secret proved before costs nothing below
//!     ├─────────┤
//!     │ breaker │  counts operations, one that timed out too; while it is open nothing below waits
//!     ├─────────┤
//!     │ timeout │  one deadline over everything below: attempts, pauses, queueing
//!     ├─────────┤
//!     │  retry  │  pauses without holding a permit
//!     ├─────────┤
//!     │  limit  │  innermost: only a permit holder talks to the backend
//!     └────┬────┘
//!       backend
//! ```
//! [`stack`](crate::stack) takes the innermost first, so this order reads backwards there:
//!
//! ```
//! use std::time::Duration;
//!
//! use agentidp_secrets::layers::{BreakerLayer, LimitLayer, RetryLayer, TimeoutLayer, WarmLayer};
//! use agentidp_secrets::{Result, SecretBackend, SharedBackend, stack};
//!
//! fn around(backend: impl SecretBackend) -> Result<SharedBackend> {
//!     Ok(stack(
//!         backend,
//!         &[
//!             &LimitLayer::new(16).max_wait(Duration::from_secs(1)),
//!             &RetryLayer::default(),
//!             &TimeoutLayer::new(Duration::from_secs(2)).writes(Duration::from_secs(5)),
//!             &BreakerLayer::default(),
//!             &WarmLayer::builder().build()?,
//!         ],
//!     ))
//! }
//! ```
//! Each layer's page says what goes wrong in another order. State lives in the layer and its clones: one [`LimitLayer`]
//! around two backends bounds both together. A [`BreakerLayer`] is the exception: one backend that is down says nothing
//! about another.

mod breaker;
mod limit;
mod observe;
mod pause;
mod retry;
mod timeout;
mod warm;

pub use self::breaker::{BreakerChange, BreakerLayer};
pub use self::limit::{FairPermit, FairSemaphore, LimitLayer};
pub use self::observe::{Event, ObserveLayer, Observer, Outcome};
pub use self::retry::RetryLayer;
pub use self::timeout::TimeoutLayer;
pub use self::warm::{WarmLayer, WarmLayerBuilder};
