//! The contract of [`SecretBackend`](crate::SecretBackend) as code: one function a check.
//!
//! A check that fails panics and names the clause that was broken. Each says what it cannot claim. Checks that apply to
//! one kind of custody go by `info().custody`, and never by the backend's name. Nothing here sleeps or measures time.

mod candidates;
mod disturbance;
mod fixture;
mod ledger;
mod lifecycle;
mod places;
mod records;
mod secrets;
mod store;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use self::fixture::does_not_apply;
use super::harness::Harness;

pub(crate) use self::ledger::usage_check;
pub use self::ledger::{LedgerCheck, ledger_checks};
pub use self::store::{CallerFlaw, StoreCheck, store_checks};

/// A check under way.
pub type CheckFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One check of the suite, for running it by program. Tests are better written with
/// [`conformance!`](crate::conformance).
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Check {
    /// What the check is called, here and in the tests that `conformance!` writes.
    pub name: &'static str,
    run: for<'a> fn(&'a dyn Harness) -> CheckFuture<'a>,
}

impl Check {
    /// The check of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        checks().iter().copied().find(|check| check.name == name)
    }

    /// Runs the check. The future panics when it fails, with the broken clause.
    #[must_use = "a check that is not awaited checks nothing"]
    pub fn run<'a>(&self, harness: &'a dyn Harness) -> CheckFuture<'a> {
        let check = *self;
        Box::pin(async move {
            if OF_WRITES.contains(&check.name) && harness.backend().await.info().reads_only {
                return does_not_apply(check.name, "the backend only reads");
            }
            (check.run)(harness).await;
        })
    }
}

/// Checks of what a backend writes. None of them applies to one that only reads.
const OF_WRITES: [&str; 18] = [
    "every_id_has_a_place",
    "longest_secret_accepted",
    "oversize_secret_refused",
    "empty_or_nul_secret_refused",
    "chosen_secret_refused",
    "records_differ_for_same_secret",
    "record_names_its_backend",
    "record_hides_secret",
    "rotate_new_record_rejects_old_secret",
    "old_record_still_verifies_after_rotate",
    "rotate_rejects_foreign_record",
    "revoke_is_idempotent",
    "recall_agrees_with_verify",
    "revealed_is_what_was_stored",
    "credentials_are_independent",
    "pinned_record_keeps_its_secret",
    "latest_is_what_was_written_last",
    "forgotten_admits_nothing",
];

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({})", self.name)
    }
}

/// Every check, in the order in which they are best read.
#[must_use]
pub fn checks() -> &'static [Check] {
    crate::__each_check!(__list_checks)
}

/// Writes one test a check, in a module named after the first argument.
///
/// The second argument is an expression that gives a [`Harness`](crate::testkit::Harness). It is evaluated for every
/// check, on the check's own runtime, and may `.await`.
///
/// A check that does not apply to the backend passes and prints why (`--nocapture` shows it). Run a backend that
/// [only reads](crate::BackendInfo::reads_only) with
/// [`BackendHarness::reading`](crate::testkit::BackendHarness::reading).
///
/// ```
/// use agentidp_secrets::Custody;
/// use agentidp_secrets::testkit::BackendHarness;
/// use agentidp_secrets::testkit::broken::BrokenBackend;
///
/// agentidp_secrets::conformance!(my_backend, BackendHarness::new(BrokenBackend::sound(Custody::Record)));
/// ```
#[macro_export]
macro_rules! conformance {
    ($name:ident, $harness:expr $(,)?) => {
        // A function and a module may share a name: this one is the module's way to the expression.
        #[cfg(test)]
        async fn $name() -> impl $crate::testkit::Harness {
            $harness
        }

        #[cfg(test)]
        mod $name {
            $crate::__each_check!(__write_tests $name);
        }
    };
}

/// Hands the names of all checks to another macro: the one place that lists them.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_check {
    ($then:ident $($argument:ident)?) => {
        $crate::$then! {
            [$($argument)?]
            candidates::store_then_verify
            candidates::wrong_secret
            candidates::near_misses
            candidates::empty_candidate
            candidates::oversize_candidate_never_matches
            candidates::wrong_guesses_change_nothing
            candidates::proof_admits_nothing_else
            secrets::longest_secret_accepted
            secrets::oversize_secret_refused
            secrets::empty_or_nul_secret_refused
            secrets::chosen_secret_refused
            records::records_differ_for_same_secret
            records::record_names_its_backend
            records::record_roundtrips
            records::record_hides_secret
            records::debug_and_errors_redacted
            records::foreign_record_is_malformed
            records::damaged_record_is_malformed
            records::record_bound_to_key
            records::bound_record_verifies_nothing_elsewhere
            records::reads_only_writes_nothing
            lifecycle::store_refuses_overwrite
            lifecycle::rotate_new_record_rejects_old_secret
            lifecycle::old_record_still_verifies_after_rotate
            lifecycle::rotate_rejects_foreign_record
            lifecycle::stale_rotate_conflicts
            lifecycle::revoke_is_idempotent
            lifecycle::revoked_is_not_found
            lifecycle::proof_ends_with_revocation
            lifecycle::recall_agrees_with_verify
            lifecycle::revoke_is_noop
            lifecycle::credentials_are_independent
            lifecycle::revealed_is_what_was_stored
            places::every_id_has_a_place
            places::pinned_record_keeps_its_secret
            places::latest_is_what_was_written_last
            places::blank_version_verifies_nothing
            places::forgotten_admits_nothing
            disturbance::concurrent_verify
            disturbance::dropped_future_leaves_record_usable
            disturbance::outage_is_never_a_verdict
            disturbance::probe_ok
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __list_checks {
    ([] $($group:ident::$check:ident)*) => {
        &[$(Check { name: stringify!($check), run: |harness| Box::pin($group::$check(harness)) }),*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __write_tests {
    ([$name:ident] $($group:ident::$check:ident)*) => {
        $(
            #[test]
            fn $check() {
                let check = $crate::testkit::Check::named(stringify!($check)).expect("every check is listed");
                $crate::testkit::run_check(super::$name(), check);
            }
        )*
    };
}
