//! Backends and ledgers with one flaw each, so that every conformance check is seen to fail.
//!
//! A check that nothing can fail proves nothing. Each [`Flaw`] of a backend, and each [`LedgerFlaw`], is a mistake that is
//! easily made, and names the checks that catch it. Whoever adds a check adds the flaw that fails it.

mod backend;
mod flaw;
mod keeping;
mod ledger;
mod state;

pub use self::flaw::Flaw;
pub use self::ledger::{BrokenLedger, BrokenTx, LedgerFlaw};
pub use self::state::BrokenBackend;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt;

    use super::*;
    use crate::backend::Custody;
    use crate::testkit::{BackendHarness, Check, checks};

    /// How the check failed, if it did.
    async fn failure(check: Check, harness: &BackendHarness) -> Option<String> {
        let panic = AssertUnwindSafe(check.run(harness)).catch_unwind().await.err()?;
        let text = panic.downcast_ref::<String>().cloned();
        Some(text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default())
    }

    fn flawed(flaw: Flaw) -> BackendHarness {
        BackendHarness::new(BrokenBackend::new(flaw))
            .with_unreachable(BrokenBackend::new(flaw).unreachable())
            .with_unpinned(BrokenBackend::unpinned)
    }

    #[tokio::test]
    async fn every_flaw_is_caught_by_its_check_and_by_its_clause() {
        for &flaw in Flaw::ALL {
            let check = Check::named(flaw.caught_by()).unwrap_or_else(|| panic!("{flaw:?} names no check"));
            let message = failure(check, &flawed(flaw)).await;
            let message = message.unwrap_or_else(|| panic!("{} does not notice {flaw:?}", check.name));
            let by_clause = message.starts_with("broken clause:") || message.starts_with("the secret shows");
            assert!(by_clause, "{} fails on {flaw:?} for another reason: {message}", check.name);
        }
    }

    /// Otherwise a check could fail because nothing works, and not because of what it is there for.
    #[tokio::test]
    async fn nearly_every_check_can_be_the_only_one_that_fails() {
        let (mut alone, mut report) = (BTreeSet::new(), String::new());
        for &flaw in Flaw::ALL {
            let mut failing = Vec::new();
            for &check in checks() {
                if failure(check, &flawed(flaw)).await.is_some() {
                    failing.push(check.name);
                }
            }
            if let [only] = failing[..] {
                alone.insert(only);
            }
            report.push_str(&format!("{flaw:?}: {failing:?}\n"));
        }
        let never_alone: Vec<_> =
            checks().iter().map(|check| check.name).filter(|name| !alone.contains(name)).collect();
        // Others build on the first two, try a wrong candidate after a right one, and repeat a dropped revocation.
        let expected = ["store_then_verify", "wrong_secret", "proof_admits_nothing_else", "revoke_is_idempotent"];
        assert_eq!(never_alone, expected, "{report}");
    }

    #[tokio::test]
    async fn no_check_fails_without_a_flaw() {
        for custody in [Custody::Backend, Custody::Record] {
            let unreachable = BrokenBackend::sound(custody).unreachable();
            let harness = BackendHarness::new(BrokenBackend::sound(custody))
                .with_unreachable(unreachable)
                .with_unpinned(BrokenBackend::unpinned);
            let fussy = BackendHarness::new(BrokenBackend::sound(custody).generated_only());
            let reading =
                BackendHarness::reading(BrokenBackend::sound(Custody::Record).reads_only(), BrokenBackend::record_of);
            for &check in checks() {
                assert_eq!(failure(check, &reading).await, None, "{} for reading only", check.name);
                assert_eq!(failure(check, &harness).await, None, "{} with custody {custody:?}", check.name);
                assert_eq!(failure(check, &fussy).await, None, "{} for generated secrets only", check.name);
            }
        }
    }
}
