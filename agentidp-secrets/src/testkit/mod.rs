//! Help for tests: the conformance suite, faults on order, redaction asserts, a mock. Feature `testkit`.
//!
//! **Not covered by semantic versioning**: a minor release may add a check that your backend fails. Keep it under
//! `[dev-dependencies]`.
//!
//! | for | use |
//! |---|---|
//! | the author of a backend or a layer | [`conformance!`](crate::conformance), [`checks`] |
//! | code that uses a store, over your backend as its primary | [`store_conformance!`](crate::store_conformance), [`store_checks`] |
//! | the author of a [`Ledger`](crate::lifecycle::Ledger) | [`ledger_conformance!`](crate::ledger_conformance), [`usage_conformance!`](crate::usage_conformance), [`LedgerHarness`] |
//! | the author of `folder::FolderRows` | `check_folder_rows` |
//! | code that must bear outages | [`FaultLayer`] |
//! | code that calls a backend | [`MockSecretBackend`] |
//! | types and logs that must not leak | [`assert_redacted`], [`assert_error_redacted`], [`assert_text_redacted`] |
//! | the author of a check | [`broken`]: backends and ledgers with one flaw each, so that every check is seen to fail |
//!
//! The suite runs over any backend, with one test a check:
//!
//! ```
//! use agentidp_secrets::Custody;
//! use agentidp_secrets::testkit::BackendHarness;
//! use agentidp_secrets::testkit::broken::BrokenBackend;
//!
//! // Yours instead of the sound one. The expression is evaluated for every check and may `.await`.
//! agentidp_secrets::conformance!(my_backend, BackendHarness::new(BrokenBackend::sound(Custody::Backend)));
//! ```

pub mod broken;
mod coding;
mod conformance;
mod faults;
#[cfg(feature = "vault")]
mod folder_rows;
mod harness;
mod ledger_harness;
mod mock;
mod redaction;
mod run;
pub mod simulation;

pub use self::conformance::{
    CallerFlaw, Check, CheckFuture, LedgerCheck, StoreCheck, checks, ledger_checks, store_checks,
};
pub use self::faults::{Fault, FaultLayer};
#[cfg(feature = "vault")]
pub use self::folder_rows::check_folder_rows;
pub use self::harness::{BackendHarness, Harness, fresh_key};
pub use self::ledger_harness::LedgerHarness;
pub use self::mock::MockSecretBackend;
pub use self::redaction::{assert_error_redacted, assert_redacted, assert_text_redacted};
#[doc(hidden)]
pub use self::run::{run_check, run_ledger_check, run_store_check, run_usage_check};
