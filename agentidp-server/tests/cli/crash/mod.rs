//! The process dies, stands still or loses the answer to a commit at each call of the lifecycle to its database; then
//! `reconcile`, and it starts again.
//!
//! The calls are counted, not named: a case goes on to the next one until the change gets through untouched, so that no new
//! step can be forgotten. Each call meets a death and one of the other faults; `CRASH_ROUNDS=20` has each of them at each call so often
//! on PostgreSQL, once on SQLite, and dies within transactions too.

mod trial;

use self::trial::{Act, Fault, Trial};
use crate::support;

/// More than any change takes.
const MOST_CALLS: u32 = 60;

/// What is tried: an act, whether its credential was a digest when Vault came, and the transactions that it takes at least.
#[derive(Clone, Copy, Debug)]
struct Case {
    act: Act,
    moves: bool,
    transactions: u32,
}

macro_rules! cases {
    ($($name:ident: $act:ident, moves $moves:literal, $transactions:literal transactions;)+) => {$(
        mod $name {
            use super::*;

            const CASE: Case = Case { act: Act::$act, moves: $moves, transactions: $transactions };

            #[tokio::test]
            async fn dies() {
                at_each_call(CASE, Fault::Die, 2 * CASE.transactions).await;
            }

            #[tokio::test]
            async fn loses_an_answer() {
                at_each_call(CASE, Fault::Lose, CASE.transactions).await;
            }

            #[tokio::test]
            async fn loses_a_commit() {
                at_each_call(CASE, Fault::Undo, CASE.transactions).await;
            }

            #[tokio::test]
            async fn stands_still() {
                at_each_call(CASE, Fault::Pause, 2 * CASE.transactions).await;
            }
        }
    )+};
}

cases! {
    a_create: Create, moves false, 2 transactions;
    a_rotation: Rotate, moves false, 2 transactions;
    a_rotation_that_moves: Rotate, moves true, 2 transactions;
    a_rotation_that_overlaps: RotateOverlapping, moves false, 2 transactions;
    a_move_that_overlaps: RotateOverlapping, moves true, 2 transactions;
    an_early_end_of_an_overlap: EndPrevious, moves false, 1 transactions;
    an_upgrade: Login, moves true, 2 transactions;
    a_revocation: Revoke, moves false, 3 transactions;
    a_suspension: Suspend, moves false, 1 transactions;
    a_decommission: Decommission, moves false, 3 transactions;
}

/// Every call. A round has each on one of the databases, by turns.
const EACH: (u32, usize) = (1, 1);

/// One round tries each call on one of the databases, by turns: a death at each, and at each one of the three other faults.
async fn at_each_call(case: Case, fault: Fault, at_least: u32) {
    match std::env::var_os("CRASH_ROUNDS").map(|rounds| rounds.to_str().unwrap().parse::<u32>().unwrap()) {
        None => {
            let calls = match fault {
                Fault::Die | Fault::DieWithin => EACH,
                Fault::Lose => (1, 3),
                Fault::Undo => (2, 3),
                Fault::Pause => (3, 3),
            };
            until_it_gets_through(case, fault, at_least, calls, |number| number % 2 == 1).await;
        }
        Some(rounds) => {
            for _ in 0..rounds {
                until_it_gets_through(case, fault, at_least, EACH, |_| true).await;
            }
            until_it_gets_through(case, fault, at_least, EACH, |_| false).await;
            if fault == Fault::Die {
                // A suspension writes the agent's row, and asks the ledger for nothing between begin and commit.
                let calls = if matches!(case.act, Act::Suspend) { at_least } else { 2 * at_least };
                until_it_gets_through(case, Fault::DieWithin, calls, EACH, |_| true).await;
            }
        }
    }
}

/// Goes on, from the `first` call in steps of `step`, until the change gets through before the fault's turn comes.
async fn until_it_gets_through(
    case: Case,
    fault: Fault,
    at_least: u32,
    (first, step): (u32, usize),
    on_postgres: impl Fn(u32) -> bool,
) {
    let mut was_committed = false;
    for number in (first..MOST_CALLS).step_by(step) {
        let postgres = if on_postgres(number) { Some(support::postgres().fresh_database().await) } else { None };
        let outcome = Trial::run(case.act, case.moves, fault, number, postgres).await;
        let (act, moves) = (case.act, case.moves);
        if matches!(fault, Fault::Die | Fault::DieWithin) {
            assert!(
                outcome.is_committed || !was_committed,
                "{act:?}, moves {moves}, {fault:?} {number}: it comes undone"
            );
            was_committed = outcome.is_committed;
        }
        if !outcome.has_happened {
            assert!(outcome.is_committed, "{act:?}, moves {moves}, {fault:?} {number}: nothing was in its way");
            assert!(number > at_least, "{act:?}, moves {moves}, {fault:?}: the calls are not counted");
            return;
        }
    }
    panic!("{case:?}, {fault:?}: it never gets through");
}
