//! The contract of [`Ledger`](crate::lifecycle::Ledger) as code: one function a check.
//!
//! A check that fails panics and names the clause that was broken. Nothing here sleeps or measures time; a wait that a sound
//! ledger ends is bounded, so that a ledger that never ends it fails.

mod columns;
mod contention;
mod fixture;
mod memory;
mod notes;
mod rows;
mod sequences;
mod time;
mod transactions;
mod usage;

use std::fmt;

pub(crate) use self::usage::usage_check;
use super::CheckFuture;
use crate::testkit::ledger_harness::LedgerHarness;

/// One check of a ledger, for running it by program. Tests are better written with
/// [`ledger_conformance!`](crate::ledger_conformance).
#[non_exhaustive]
pub struct LedgerCheck<H> {
    /// What the check is called, here and in the tests that `ledger_conformance!` writes.
    pub name: &'static str,
    run: for<'a> fn(&'a H) -> CheckFuture<'a>,
}

impl<H: LedgerHarness> LedgerCheck<H> {
    /// The check of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ledger_checks().into_iter().find(|check| check.name == name)
    }

    /// Runs the check. The future panics when it fails, with the broken clause.
    #[must_use = "a check that is not awaited checks nothing"]
    pub fn run<'a>(&self, harness: &'a H) -> CheckFuture<'a> {
        (self.run)(harness)
    }
}

impl<H> fmt::Debug for LedgerCheck<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerCheck({})", self.name)
    }
}

/// Every check of a ledger, in the order in which they are best read.
#[must_use]
pub fn ledger_checks<H: LedgerHarness>() -> Vec<LedgerCheck<H>> {
    crate::__each_ledger_check!(__list_ledger_checks)
}

/// Writes one test a check of a [`Ledger`](crate::lifecycle::Ledger), in a module named after the first argument.
///
/// The second argument is an expression that gives a [`LedgerHarness`](crate::testkit::LedgerHarness). It is evaluated for
/// every check, on the check's own runtime, and may `.await`.
///
/// ```
/// use agentidp_secrets::lifecycle::MemoryLedger;
///
/// // Yours instead of this one, which is its own harness.
/// agentidp_secrets::ledger_conformance!(my_ledger, MemoryLedger::new());
/// ```
#[macro_export]
macro_rules! ledger_conformance {
    ($name:ident, $harness:expr $(,)?) => {
        #[cfg(test)]
        async fn $name() -> impl $crate::testkit::LedgerHarness {
            $harness
        }

        #[cfg(test)]
        mod $name {
            $crate::__each_ledger_check!(__write_ledger_tests $name);
        }
    };
}

/// Hands the names of all checks to another macro: the one place that lists them.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_ledger_check {
    ($then:ident $($argument:ident)?) => {
        $crate::$then! {
            [$($argument)?]
            columns::a_row_comes_back_as_it_was_written
            columns::a_replacement_writes_every_column
            columns::a_key_is_inserted_once
            columns::a_key_belongs_to_one_client
            columns::an_ended_row_never_comes_back
            rows::an_unknown_client_is_none
            rows::a_client_whose_credentials_ended_is_known
            rows::rows_are_all_of_the_client_and_no_others
            rows::an_expired_row_does_not_authenticate
            rows::a_suspended_client_may_not_authenticate
            rows::a_damaged_row_is_returned_without_secrets
            rows::a_row_is_found_by_its_selectors
            rows::pages_return_each_active_row_once
            rows::a_page_has_rows_that_authenticate_nobody
            notes::a_note_comes_back_as_it_was_written
            notes::a_note_needs_no_row
            notes::a_deleted_note_is_gone
            notes::notes_are_due_in_order
            notes::notes_are_due_by_the_ledgers_time
            transactions::a_commit_holds_every_write
            transactions::a_dropped_transaction_leaves_nothing
            transactions::a_refused_change_leaves_nothing
            transactions::the_callers_writes_are_in_the_commit
            transactions::a_commit_after_a_failed_statement_is_reported_as_it_was
            transactions::a_lost_answer_is_unknown
            contention::transactions_on_one_credential_run_one_after_the_other
            contention::one_of_many_gets_the_note
            contention::two_credentials_do_not_wait_for_each_other
            memory::rows_read_anew_hold_what_was_committed
            memory::an_acknowledged_change_is_obeyed_by_every_handle
            time::time_moves_within_a_transaction_and_never_back
            sequences::a_credential_lives_from_its_issue_to_its_end
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __list_ledger_checks {
    ([] $($group:ident::$check:ident)*) => {
        vec![$(LedgerCheck { name: stringify!($check), run: |harness| Box::pin($group::$check(harness)) }),*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __write_ledger_tests {
    ([$name:ident] $($group:ident::$check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::testkit::run_ledger_check(super::$name(), stringify!($check));
            }
        )*
    };
}
