//! The sequences over the ledger.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::{Site, set_up, succeeds};
use crate::backend::{Held, SecretBackend as _};
use crate::backends::KeyedDigest;
use crate::credential::ClientId;
use crate::keys::MacKeys;
use crate::lifecycle::{Decision, Ledger, Lifecycle, State};
use crate::secret::ClientSecret;
use crate::store::{SecretStore, SecretStoreBuilder};
use crate::testkit::conformance::fixture::holds;
use crate::testkit::ledger_harness::LedgerHarness;

/// So long that it lasts by any clock that a test sets.
const OVERLAP: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// Cannot claim it of crashes and lost answers, which `Lifecycle`'s own tests try.
pub(crate) async fn a_credential_lives_from_its_issue_to_its_end<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (key, backend) = (site.key().await, harness.backend().await);
    let store = SecretStore::builder(Arc::clone(&backend)).selector_keys(keys());
    let life = lifecycle(harness.ledger().await, store);
    let first = succeeds(life.issue(&key, ()).await, "`issue` runs over the ledger").secret;
    let second = succeeds(life.rotate(&key, OVERLAP, ()).await, "`rotate` runs over the ledger").secret;
    let works = async |secret: &ClientSecret| works(&life, &site.client, secret).await;
    holds(works(&first).await && works(&second).await, "both secrets work within an overlap");
    succeeds(life.end_previous(&key, ()).await, "`end_previous` runs over the ledger");
    holds(!works(&first).await, "a previous secret that was ended does not work");
    holds(works(&second).await, "the current secret works after the end of the previous one");
    let third = succeeds(life.rotate(&key, Duration::ZERO, ()).await, "`rotate` runs over the ledger").secret;
    holds(works(&third).await && !works(&second).await, "without an overlap the new secret is the only one");
    succeeds(life.end(&key, ()).await, "`end` runs over the ledger");
    holds(!works(&third).await, "an ended credential does not authenticate");
    holds(site.entry(&key).await.state == State::Ended, "an ended credential is ended");
    let held = set_up("inspect", backend.inspect(&key, None).await);
    holds(matches!(held, Held::Nothing), "the backend has forgotten an ended credential");
    holds(site.note(&key).await.is_some(), "the deletion is noted, to be repeated");
}

pub(super) fn lifecycle<L: Ledger>(ledger: L, store: SecretStoreBuilder) -> Lifecycle<L> {
    let store = set_up("a store", store.build());
    Lifecycle::new(store, ledger, |task| drop(tokio::spawn(task)))
}

/// A store that writes nothing but records, so that a sequence is one transaction, and reads those of the ledger's rows.
pub(super) async fn digests<H: LedgerHarness>(harness: &H) -> SecretStoreBuilder {
    SecretStore::builder(KeyedDigest::new(keys())).accepts(harness.backend().await)
}

fn keys() -> MacKeys {
    set_up("keys", MacKeys::parse(&format!("k1:{}", "0123456789abcdef".repeat(4))))
}

async fn works<L: Ledger>(life: &Lifecycle<L>, client: &ClientId, secret: &ClientSecret) -> bool {
    match set_up("authenticate", life.authenticate(client, secret).await) {
        Decision::Proved(proof) => {
            let decision = set_up("still_counts", life.still_counts(proof, secret).await);
            matches!(decision, Decision::Proved(_))
        }
        Decision::NotActive | Decision::Mismatch { .. } => false,
    }
}
