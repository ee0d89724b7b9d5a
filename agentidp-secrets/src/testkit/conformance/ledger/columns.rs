//! What is written comes back, in every column.

use super::fixture::{Site, Write, set_up};
use crate::credential::CredentialKey;
use crate::lifecycle::{Ledger, State};
use crate::record::StoredSecret;
use crate::testkit::conformance::fixture::holds;
use crate::testkit::ledger_harness::LedgerHarness;

/// Cannot claim it of the caller's own columns.
pub(crate) async fn a_row_comes_back_as_it_was_written<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let now = site.now().await;
    let clause = "`insert`: every column comes back as it was written";
    for length in [64, StoredSecret::MAX_TEXT_LEN] {
        let row = site.full(site.key().await, now, length);
        site.committed(&[Write::Insert(row.clone())]).await;
        site.has(&row, clause).await;
    }
    let row = site.inserted().await;
    site.has(&row, clause).await;
}

/// Cannot claim that nothing else of the row is changed: the other columns are the caller's.
pub(crate) async fn a_replacement_writes_every_column<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (first, now) = (site.inserted().await, site.now().await);
    let key = first.key;
    let clause = "`replace`: every column is the new row's, also where that has nothing";
    for row in
        [site.full(key.clone(), now, 64), site.full(key.clone(), now, StoredSecret::MAX_TEXT_LEN), site.plain(key)]
    {
        site.committed(&[Write::Replace(row.clone())]).await;
        site.has(&row, clause).await;
    }
}

/// Cannot claim it of two inserts at the same instant, which a unique index has to decide.
pub(crate) async fn a_key_is_inserted_once<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (active, ended) = (site.inserted().await, site.inserted().await);
    site.committed(&[Write::End(ended.key.clone())]).await;
    let clause = "`insert`: a key that is there already is an error, also after its end";
    for key in [&active.key, &ended.key] {
        let mut tx = site.begun(&[]).await;
        set_up("lock", site.ledger.lock(&mut tx, key).await);
        holds(site.ledger.insert(&mut tx, &site.plain(key.clone())).await.is_err(), clause);
        drop(tx);
    }
    site.has(&active, clause).await;
    holds(site.entry(&ended.key).await.state == State::Ended, clause);
}

/// Cannot claim that ids of clients are not mixed up before they reach the ledger.
pub(crate) async fn a_key_belongs_to_one_client<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let row = site.inserted().await;
    site.committed(&[Write::Note(row.key.clone(), Some(site.due(site.now().await)))]).await;
    let other = CredentialKey::new(harness.client().await, row.key.credential_id().clone());
    let entry = site.entry(&other).await;
    let clause = "`lock`: a key is the client and the credential: the credential of one client is absent for another";
    holds(entry.state == State::Absent, clause);
}

/// Cannot claim it of a row that somebody revives by hand.
pub(crate) async fn an_ended_row_never_comes_back<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let row = site.inserted().await;
    site.committed(&[Write::End(row.key.clone())]).await;
    holds(site.entry(&row.key).await.state == State::Ended, "`end`: `lock` returns `Ended` for ever");
    let among = site.rows(&site.client).await.iter().any(|found| found.key == row.key);
    holds(!among, "`end`: an ended row is not in `rows`");
    let page = set_up("page", site.ledger.page(None, 1000).await);
    holds(page.iter().all(|found| found.key != row.key), "`end`: an ended row is not in `page`");
}
