//! What authentication and comparison read.

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::{Site, Write, set_up, succeeds};
use crate::credential::CredentialKey;
use crate::lifecycle::{Freshness, Ledger, Row, State};
use crate::selector::Selector;
use crate::testkit::conformance::fixture::holds;
use crate::testkit::harness::fresh_key;
use crate::testkit::ledger_harness::LedgerHarness;

/// An id of another form than the database's is such a client, too: anybody can send one. Cannot claim it of every form.
pub(crate) async fn an_unknown_client_is_none<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    site.inserted().await;
    let clause = "`rows`: a client that does not exist is none, and no error";
    for client in [harness.unknown_client(), fresh_key().client_id().clone()] {
        let rows = succeeds(site.ledger.rows(&client, Freshness::Latest).await, clause);
        holds(rows.known.is_none(), clause);
    }
}

/// Cannot claim it of a client that never had a credential.
pub(crate) async fn a_client_whose_credentials_ended_is_known<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let row = site.inserted().await;
    site.committed(&[Write::End(row.key)]).await;
    let rows = set_up("rows", site.ledger.rows(&site.client, Freshness::Latest).await);
    let clause = "`rows`: a client without active rows is known, and has no rows";
    holds(rows.known.is_some_and(|known| known.is_empty()), clause);
}

/// Cannot claim an order: that is the ledger's.
pub(crate) async fn rows_are_all_of_the_client_and_no_others<H: LedgerHarness>(harness: &H) {
    let (site, other) = (Site::new(harness).await, Site::new(harness).await);
    let mut rows =
        vec![site.inserted().await, site.inserted().await, site.full(site.key().await, site.now().await, 64)];
    site.committed(&[Write::Insert(rows[2].clone())]).await;
    other.inserted().await;
    let (mut found, by_key) = (site.rows(&site.client).await, |row: &Row| row.key.clone());
    rows.sort_by_key(by_key);
    found.sort_by_key(by_key);
    let keys = |rows: &[Row]| rows.iter().map(by_key).collect::<Vec<_>>();
    holds(keys(&found) == keys(&rows), "`rows`: all active rows of the client are in it, and no others");
    let secrets = |rows: &[Row]| rows.iter().map(|row| row.secrets.clone()).collect::<Vec<_>>();
    holds(secrets(&found) == secrets(&rows), "`rows`: each row has its secrets, the previous one among them");
}

/// With [`LedgerHarness::expire`]. Cannot claim that the ledger's time decides where it is the machine's.
pub(crate) async fn an_expired_row_does_not_authenticate<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (row, stays) = (site.inserted().await, site.inserted().await);
    if !harness.expire(&row.key).await {
        return;
    }
    let keys: Vec<_> = site.rows(&site.client).await.into_iter().map(|row| row.key).collect();
    holds(keys == [stays.key], "`rows`: a row that has expired is not in it, and others are");
    let is_active = site.entry(&row.key).await.state.active().is_some();
    holds(is_active, "`lock`: a row that has expired is active until it is ended");
}

/// With [`LedgerHarness::suspend`].
pub(crate) async fn a_suspended_client_may_not_authenticate<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    site.inserted().await;
    let may = async || {
        let rows = set_up("rows", site.ledger.rows(&site.client, Freshness::Latest).await);
        rows.known.map(|known| known.may_authenticate())
    };
    holds(may().await == Some(true), "`rows`: a client that is not suspended may authenticate");
    if harness.suspend(&site.client).await {
        holds(may().await == Some(false), "`rows`: a suspended client is known, and may not authenticate");
    }
}

/// With [`LedgerHarness::damage`]. Cannot claim it of every kind of damage.
pub(crate) async fn a_damaged_row_is_returned_without_secrets<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (row, sound) = (site.inserted().await, site.inserted().await);
    if !harness.damage(&row.key).await {
        return;
    }
    let clause = "a row that cannot be read is active and without secrets, and no error: it fails the login, and a rotation \
                  repairs it";
    let mut tx = site.begun(&[]).await;
    let entry = succeeds(site.ledger.lock(&mut tx, &row.key).await, clause);
    drop(tx);
    holds(matches!(entry.state, State::Active(row) if row.secrets.is_none()), clause);
    let rows = succeeds(site.ledger.rows(&site.client, Freshness::Latest).await, clause);
    let found = rows.known.map(|known| known.rows()).unwrap_or_default();
    let readable: Vec<_> = found.iter().map(|row| (&row.key, row.secrets.is_some())).collect();
    holds(readable == [(&sound.key, true), (&row.key, false)], clause);
    let repaired = site.plain(row.key);
    site.committed(&[Write::Replace(repaired.clone())]).await;
    site.has(&repaired, "`replace`: a row that could not be read is repaired by it").await;
}

/// Where the ledger supports it. Cannot claim that an index is used.
pub(crate) async fn a_row_is_found_by_its_selectors<H: LedgerHarness>(harness: &H) {
    let (site, other) = (Site::new(harness).await, Site::new(harness).await);
    other.inserted().await;
    let row = site.full(site.key().await, site.now().await, 64);
    site.committed(&[Write::Insert(row.clone())]).await;
    let secrets = row.secrets.clone();
    let current = secrets.as_ref().and_then(|secrets| secrets.selector);
    let previous = secrets.and_then(|secrets| secrets.previous).and_then(|previous| previous.selector);
    let [current, previous] = [current, previous].map(|selector| set_up("a selector", selector.ok_or("there is none")));
    let none = set_up("a selector", Selector::parse("k0::0000000000000000"));
    let found = async |selectors: &[Selector]| {
        let found = succeeds(site.ledger.find(selectors).await, "`find` is no error");
        found.map(|found| {
            found.into_iter().map(|(client, rows)| (client, rows.known.map_or(0, |known| known.len()))).collect()
        })
    };
    let (Some(nothing), owner) = (found(&[none]).await, vec![(site.client.clone(), 1)]) else { return };
    let nothing: Vec<_> = nothing;
    holds(nothing.is_empty() && found(&[]).await == Some(Vec::new()), "`find`: a selector of no row finds nothing");
    holds(
        found(&[none, current]).await.as_ref() == Some(&owner),
        "`find`: the selector of a row finds its client, with its rows",
    );
    holds(found(&[previous]).await == Some(owner), "`find`: so does that of its previous record");
    let lacking = succeeds(site.ledger.unfindable(10).await, "`unfindable` is no error");
    holds(
        lacking.contains(&site.client) && lacking.contains(&other.client),
        "`unfindable`: rows without one for a look-up",
    );
    holds(
        succeeds(site.ledger.unfindable(1).await, "`unfindable` is no error").len() == 1,
        "`unfindable`: keeps the limit",
    );
    site.committed(&[Write::End(row.key)]).await;
    holds(found(&[current, previous]).await == Some(Vec::new()), "`find`: a row that has ended is not found");
}

/// Cannot claim what happens to rows that come while somebody reads.
pub(crate) async fn pages_return_each_active_row_once<H: LedgerHarness>(harness: &H) {
    const LIMIT: usize = 2;
    let (site, other) = (Site::new(harness).await, Site::new(harness).await);
    let mut written = BTreeSet::new();
    for _ in 0..3 {
        written.insert(site.inserted().await.key);
        written.insert(other.inserted().await.key);
    }
    let ended = site.inserted().await;
    site.committed(&[Write::End(ended.key)]).await;
    let mut found: Vec<CredentialKey> = Vec::new();
    // One more than there are full pages, so that one that repeats itself does not run for ever.
    for _ in 0..=written.len() {
        let page = set_up("page", site.ledger.page(found.last(), LIMIT).await);
        holds(page.len() <= LIMIT, "`page`: no more rows than the limit");
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|row| row.key));
    }
    holds(found.len() == written.len(), "`page`: one page after the other returns each active row once");
    holds(found.into_iter().collect::<BTreeSet<_>>() == written, "`page`: no row is missing, and none is repeated");
}

/// With [`LedgerHarness::expire`] and [`LedgerHarness::damage`].
pub(crate) async fn a_page_has_rows_that_authenticate_nobody<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (expired, damaged) = (site.inserted().await, site.inserted().await);
    let mut expected = BTreeMap::new();
    if harness.expire(&expired.key).await {
        expected.insert(expired.key, true);
    }
    if harness.damage(&damaged.key).await {
        expected.insert(damaged.key, false);
    }
    let page = succeeds(site.ledger.page(None, 10).await, "`page`: a row that cannot be read is no error");
    let mut found: BTreeMap<_, _> = page.into_iter().map(|row| (row.key, row.secrets.is_some())).collect();
    found.retain(|key, _| expected.contains_key(key));
    holds(
        found == expected,
        "`page`: rows that have expired are in it, and those that cannot be read, without secrets",
    );
}
