//! The ledger entry of a folder on three OpenBao nodes: a standby that is behind does not answer for it.

use std::collections::BTreeMap;

use agentidp_secrets::ErrorKind;
use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::ledger::{LedgerCounter, LedgerEntry};

use crate::support;

fn counters(counter: u64) -> BTreeMap<String, LedgerCounter> {
    BTreeMap::from([("a".to_owned(), LedgerCounter { counter, mark: format!("m{counter}") })])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_finds_the_entry_as_it_was_last_written_whichever_node_it_asks() {
    let cluster = support::cluster().await;
    let mount = cluster.fresh_mount().await;
    let only = |node: usize| {
        let builder = VaultKv2::builder(cluster.node(node).address(), mount.policy_token.as_str());
        builder.mount(mount.name.as_str()).build().unwrap()
    };
    // Each of them is a process of its own: it knows nothing of what the others have written.
    let processes: Vec<_> = cluster.numbers().map(only).collect();
    let mut behind = 0;
    for round in 0..30 {
        let written = counters(round + 1);
        let writer = usize::try_from(round).unwrap() % processes.len();
        assert_eq!(processes[writer].write_ledger_entry(&written, round).await.unwrap(), round + 1);
        for node in cluster.numbers() {
            for process in [processes[node].clone(), only(node)] {
                let expected = LedgerEntry::Live { version: round + 1, counters: written.clone() };
                behind += u32::from(process.ledger_entry().await.unwrap() != expected);
            }
        }
        let other = counters(round + 100);
        let lost = only(writer).write_ledger_entry(&other, round).await.unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Conflict);
        let again = only(writer).write_ledger_entry(&written, round).await;
        assert_eq!(again.unwrap(), round + 1, "what was carried out already is no conflict");
    }
    assert_eq!(behind, 0, "of 180");
}
