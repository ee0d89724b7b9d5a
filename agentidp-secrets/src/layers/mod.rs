//! Behaviour around a backend: deadlines, retries, limits, observation, warm verification.
//!
//! A [`Layer`](crate::Layer) wraps a backend and gives one back; [`stack`](crate::stack) puts several around one. Every
//! layer keeps the contract of [`SecretBackend`](crate::SecretBackend): the conformance suite runs over each of them.
//!
//! | layer | does | never |
//! |---|---|---|
//! | [`ObserveLayer`] | reports every operation to an [`Observer`] | sees a secret, a digest or a path |
//! | [`TimeoutLayer`] | one deadline an operation | says that a write which timed out did not happen |
//! | [`RetryLayer`] | repeats `verify` and `probe` after an outage | repeats a write, or work that was shed |
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
//! use agentidp_secrets::layers::{LimitLayer, RetryLayer, TimeoutLayer, WarmLayer};
//! use agentidp_secrets::{Result, SecretBackend, SharedBackend, stack};
//!
//! fn around(backend: impl SecretBackend) -> Result<SharedBackend> {
//!     Ok(stack(
//!         backend,
//!         &[
//!             &LimitLayer::new(16),
//!             &RetryLayer::default(),
//!             &TimeoutLayer::new(Duration::from_secs(2)).writes(Duration::from_secs(5)),
//!             &WarmLayer::builder().build()?,
//!         ],
//!     ))
//! }
//! ```
//! Each layer's page says what goes wrong in another order. State lives in the layer and its clones: one [`LimitLayer`]
//! around two backends bounds both together.

mod limit;
mod observe;
mod retry;
mod timeout;
mod warm;

pub use self::limit::LimitLayer;
pub use self::observe::{Event, ObserveLayer, Observer, Outcome};
pub use self::retry::RetryLayer;
pub use self::timeout::TimeoutLayer;
pub use self::warm::{WarmLayer, WarmLayerBuilder};
