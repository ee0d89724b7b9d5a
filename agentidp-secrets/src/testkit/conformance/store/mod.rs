//! The store over a backend as its primary, used as its pages say: nobody is locked out, whatever meets whatever.
//!
//! Each check plays a caller with a database: `account::Account` is the row and what an adopter writes around it. A caller can be
//! [flawed](CallerFlaw), so that every check is seen to fail.

mod account;
mod older;
mod overlap;
mod races;

use std::fmt;

use self::account::Caller;
pub use self::account::CallerFlaw;
use super::CheckFuture;
use crate::testkit::harness::Harness;

/// One check of the store's suite. Tests are better written with [`store_conformance!`](crate::store_conformance).
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct StoreCheck {
    /// What the check is called, here and in the tests that `store_conformance!` writes.
    pub name: &'static str,
    run: for<'a> fn(&'a dyn Harness, Caller) -> CheckFuture<'a>,
}

impl StoreCheck {
    /// The check of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        store_checks().iter().copied().find(|check| check.name == name)
    }

    /// Runs the check. The future panics when it fails, with the broken clause.
    #[must_use = "a check that is not awaited checks nothing"]
    pub fn run<'a>(&self, harness: &'a dyn Harness) -> CheckFuture<'a> {
        (self.run)(harness, Caller::sound())
    }

    /// Runs the check with a caller that makes a mistake.
    #[must_use = "a check that is not awaited checks nothing"]
    pub fn run_with<'a>(&self, harness: &'a dyn Harness, flaw: CallerFlaw) -> CheckFuture<'a> {
        (self.run)(harness, Caller::with(flaw))
    }
}

impl fmt::Debug for StoreCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreCheck({})", self.name)
    }
}

/// Every check of the store, in the order in which they are best read.
#[must_use]
pub fn store_checks() -> &'static [StoreCheck] {
    crate::__each_store_check!(__list_store_checks)
}

/// Writes one test a check of the store, in a module named after the first argument.
///
/// The harness gives the primary backend. The checks bring a second one for the rows of an older system.
///
/// ```
/// use agentidp_secrets::Custody;
/// use agentidp_secrets::testkit::BackendHarness;
/// use agentidp_secrets::testkit::broken::BrokenBackend;
///
/// agentidp_secrets::store_conformance!(over_my_backend, BackendHarness::new(BrokenBackend::sound(Custody::Backend)));
/// ```
#[macro_export]
macro_rules! store_conformance {
    ($name:ident, $harness:expr $(,)?) => {
        #[cfg(test)]
        async fn $name() -> impl $crate::testkit::Harness {
            $harness
        }

        #[cfg(test)]
        mod $name {
            $crate::__each_store_check!(__write_store_tests $name);
        }
    };
}

/// Hands the names of all checks to another macro: the one place that lists them.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_store_check {
    ($then:ident $($argument:ident)?) => {
        $crate::$then! {
            [$($argument)?]
            races::upgrades_at_once_lock_no_client_out
            races::an_upgrade_beside_a_rotation_locks_no_client_out
            races::a_rotation_between_two_logins_locks_no_client_out
            overlap::a_bare_record_keeps_its_secret_through_an_overlap
            overlap::what_lost_commits_left_is_written_over_and_ends_with_the_credential
            overlap::a_lost_issue_is_forgotten_and_made_again
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __list_store_checks {
    ([] $($group:ident::$check:ident)*) => {
        &[$(StoreCheck {
            name: stringify!($check),
            run: |harness, caller| Box::pin($group::$check(harness, caller)),
        }),*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __write_store_tests {
    ([$name:ident] $($group:ident::$check:ident)*) => {
        $(
            #[test]
            fn $check() {
                let check = $crate::testkit::StoreCheck::named(stringify!($check)).expect("every check is listed");
                $crate::testkit::run_store_check(super::$name(), check);
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt;

    use super::*;
    use crate::backend::Custody;
    use crate::backends::Memory;
    use crate::testkit::BackendHarness;
    use crate::testkit::broken::BrokenBackend;

    async fn failure(check: CheckFuture<'_>) -> Option<String> {
        let panic = AssertUnwindSafe(check).catch_unwind().await.err()?;
        let text = panic.downcast_ref::<String>().cloned();
        Some(text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default())
    }

    fn kept() -> BackendHarness {
        BackendHarness::new(BrokenBackend::sound(Custody::Backend)).with_unpinned(BrokenBackend::unpinned)
    }

    #[tokio::test]
    async fn every_flaw_of_a_caller_is_caught_by_its_check_and_by_its_clause() {
        for &flaw in CallerFlaw::ALL {
            for name in flaw.caught_by() {
                let check = StoreCheck::named(name).unwrap_or_else(|| panic!("{flaw:?} names no check: {name}"));
                let message = failure(check.run_with(&kept(), flaw)).await;
                let message = message.unwrap_or_else(|| panic!("{name} does not notice {flaw:?}"));
                assert!(
                    message.starts_with("broken clause:"),
                    "{name} fails on {flaw:?} for another reason: {message}"
                );
            }
        }
        let caught = |check: &StoreCheck| CallerFlaw::ALL.iter().any(|flaw| flaw.caught_by().contains(&check.name));
        assert!(store_checks().iter().all(caught), "a check that nothing can fail proves nothing");
    }

    #[tokio::test]
    async fn no_check_fails_without_a_flaw() {
        let harnesses = [
            kept(),
            BackendHarness::new(BrokenBackend::sound(Custody::Record)),
            BackendHarness::new(BrokenBackend::sound(Custody::Record).generated_only()),
            BackendHarness::new(Memory::new()),
        ];
        for harness in &harnesses {
            for &check in store_checks() {
                assert_eq!(failure(check.run(harness)).await, None, "{}", check.name);
            }
        }
    }
}
