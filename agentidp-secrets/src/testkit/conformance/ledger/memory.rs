//! Rows in memory, where a ledger keeps them. A ledger without memory passes by reading for each call.

use super::fixture::{Site, Write, set_up};
use crate::lifecycle::{ClientRows, Freshness, Ledger, Revision};
use crate::testkit::conformance::fixture::holds;
use crate::testkit::ledger_harness::LedgerHarness;

/// Cannot claim it of a read that began before the commit and is answered after it.
pub(crate) async fn rows_read_anew_hold_what_was_committed<H: LedgerHarness>(harness: &H) {
    let (site, reader) = (Site::new(harness).await, harness.ledger().await);
    let mut row = site.inserted().await;
    for _ in 0..3 {
        let served = set_up("rows", reader.rows(&site.client, Freshness::Cached).await);
        row = site.plain(row.key.clone());
        site.committed(&[Write::Replace(row.clone())]).await;
        for freshness in [Freshness::After(served.as_of), Freshness::Latest] {
            let rows = set_up("rows", reader.rows(&site.client, freshness).await);
            let clause = "`rows`: a read that begins after a commit holds it";
            holds(first(&rows) == row.revision, &format!("{clause}, with {freshness:?}"));
            let is_read = freshness != Freshness::Latest || !rows.from_memory;
            holds(is_read, "`rows`: the latest rows are read for the call, and say so");
        }
        row = site.plain(row.key.clone());
        site.committed(&[Write::Replace(row.clone())]).await;
        let rows = set_up("rows", reader.rows(&site.client, Freshness::Cached).await);
        let is_told = rows.from_memory || first(&rows) == row.revision;
        holds(is_told, "`rows`: rows that are behind the database, a read replica's too, say `from_memory`");
    }
}

/// Cannot claim it of a replica that does not answer any more: its lease has to be over.
pub(crate) async fn an_acknowledged_change_is_obeyed_by_every_handle<H: LedgerHarness>(harness: &H) {
    let (site, reader) = (Site::new(harness).await, harness.ledger().await);
    let mut row = site.inserted().await;
    for _ in 0..3 {
        let served = set_up("rows", reader.rows(&site.client, Freshness::Cached).await);
        row = site.plain(row.key.clone());
        site.committed(&[Write::Replace(row.clone())]).await;
        site.ledger.acknowledge(&site.client).await;
        let rows = set_up("rows", reader.rows(&site.client, Freshness::Cached).await);
        let clause = "`acknowledge`: when it returns, no handle decides by older rows";
        holds(first(&rows) == row.revision, &format!("{clause}, with `rows`"));
        let is_current = reader.is_current(&site.client, served.as_of, None);
        holds(!is_current, &format!("{clause}, with `is_current`"));
    }
}

fn first(rows: &ClientRows) -> Option<Revision> {
    rows.known.as_ref()?.rows().into_iter().next()?.revision
}
