//! The steps of an advance, cut at each of them; a Vault that is away; the lease of the gate.

use std::collections::BTreeMap;

use agentidp_secrets::ErrorKind;
use agentidp_secrets::folder::{FolderRow, GATE_LEASE, Judgement};
use agentidp_secrets::vault::ledger::{LedgerCounter, LedgerEntry};

use super::*;

/// What a process does in an advance, by hand.
struct Steps<'a> {
    server: &'a Server,
    folder: String,
}

impl Steps<'_> {
    async fn swap(&self, before: Option<&FolderRow>, after: FolderRow) -> FolderRow {
        assert!(self.server.site.app.repos.ledger.swap(&self.folder, before, &after).await.unwrap());
        after
    }

    async fn note(&self) -> FolderRow {
        let new = || FolderRow { identity: Uuid::new_v4().to_string(), counter: 0, mark: None, next_mark: None };
        let row = match self.server.site.app.repos.ledger.find(&self.folder).await.unwrap() {
            Some(row) => row,
            None => self.swap(None, new()).await,
        };
        if row.next_mark.is_some() {
            return row;
        }
        self.swap(Some(&row), FolderRow { next_mark: Some(Uuid::new_v4().to_string()), ..row.clone() }).await
    }

    async fn settle(&self, noted: &FolderRow) {
        let (counter, mark) = (noted.counter + 1, noted.next_mark.clone());
        self.swap(Some(noted), FolderRow { counter, mark, next_mark: None, ..noted.clone() }).await;
    }

    async fn write(&self, noted: &FolderRow, version: u64) -> Result<u64, ErrorKind> {
        let value = LedgerCounter { counter: noted.counter + 1, mark: noted.next_mark.clone().unwrap() };
        let counters = BTreeMap::from([(noted.identity.clone(), value)]);
        let vault = self.server.site.app.vault_client.as_ref().unwrap();
        vault.write_ledger_entry(&counters, version).await.map_err(|error| error.kind())
    }

    async fn version(&self) -> u64 {
        self.server.site.app.vault_client.as_ref().unwrap().ledger_entry().await.unwrap().version()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_died_at_any_step_of_an_advance_agrees_when_it_starts_again() {
    for on_postgres in [false, true] {
        // The claim is the first advance.
        for claimed in [false, true] {
            for steps in 0..=3 {
                let (mount, file) = (support::bao().fresh_mount(2).await, File::new());
                let url = if on_postgres { support::postgres().fresh_database().await } else { file.url() };
                let mut died = Server::at(&url, &mount).await;
                if claimed {
                    died.run(3 * MINUTE).await;
                }
                let at = Steps { server: &died, folder: format!("{}/agentidp", mount.name) };
                let version = at.version().await;
                if steps >= 1 {
                    let noted = at.note().await;
                    if steps >= 2 {
                        at.write(&noted, version).await.unwrap();
                    }
                    if steps >= 3 {
                        at.settle(&noted).await;
                    }
                }
                let mut again = Server::at(&url, &mount).await;
                let state = again.round().await;
                let claims = !claimed && steps < 2;
                let expected = if claims { FolderState::Agrees } else { FolderState::Watching };
                assert_eq!(state, expected, "claimed {claimed}, {steps} steps");
                assert_eq!(again.run(2 * MINUTE).await, FolderState::Agrees, "claimed {claimed}, {steps} steps");
                assert_eq!(again.ledger().compare().await.unwrap().judgement, Judgement::Current);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_arrives_late_changes_nothing() {
    let mount = support::bao().fresh_mount(2).await;
    let mut server = Server::on_sqlite(&mount).await;
    server.run(3 * MINUTE).await;
    let (noted, version) = {
        let at = Steps { server: &server, folder: format!("{}/agentidp", mount.name) };
        (at.note().await, at.version().await)
    };
    // Another process finds the noted mark and writes it: the late write has lost its version.
    server.run(2 * MINUTE).await;
    let at = Steps { server: &server, folder: format!("{}/agentidp", mount.name) };
    assert_eq!(at.write(&noted, version).await, Err(ErrorKind::Conflict));
    assert_eq!(server.ledger().compare().await.unwrap().judgement, Judgement::Current);
    // Or it arrives first, and is the value that the others would have written.
    let noted = at.note().await;
    assert_eq!(at.note().await, noted, "another process uses the mark that was noted");
    at.write(&noted, at.version().await).await.unwrap();
    assert_eq!(server.round().await, FolderState::Agrees);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_vault_is_away_deletions_wait_and_then_go_on() {
    let mount = support::bao().fresh_mount(2).await;
    let mut server = Server::on_sqlite(&mount).await;
    let vault = server.site.app.vault_client.clone().unwrap();
    let (agent, credential, _) = credential(&server).await;
    vault.replace_token("s.dead").unwrap();
    server.revoke(agent, credential).await;
    assert_eq!(server.run(5 * MINUTE).await, FolderState::Unknown, "a server starts all the same");
    assert_eq!((server.jobs().await, server.site.get_health().await["ledger"].clone()), (1, json!("unknown")));
    vault.replace_token(mount.policy_token.as_str()).unwrap();
    assert_eq!(server.run(STEP).await, FolderState::Agrees, "it claims the folder");
    assert!(!exists(&mount, agent, credential).await);

    // An outage of an hour closes the gate after its lease, and opens it by itself.
    vault.replace_token("s.dead").unwrap();
    assert_eq!(server.run(GATE_LEASE - STEP).await, FolderState::Agrees);
    assert_eq!(server.run(60 * MINUTE).await, FolderState::Unknown);
    vault.replace_token(mount.policy_token.as_str()).unwrap();
    assert_eq!(server.run(STEP).await, FolderState::Agrees);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_closes_by_itself_when_nothing_looks() {
    let mount = support::bao().fresh_mount(2).await;
    let mut server = Server::on_sqlite(&mount).await;
    server.round().await;
    let (agent, credential, _) = credential(&server).await;
    server.site.clock.advance(GATE_LEASE - Duration::from_millis(1));
    assert!(server.may_delete());
    server.site.clock.advance(Duration::from_millis(1));
    assert!(!server.may_delete());
    server.revoke(agent, credential).await;
    assert!(exists(&mount, agent, credential).await);
    server.round().await;
    assert!(!exists(&mount, agent, credential).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_entry_is_written_with_the_rights_of_the_policy_and_by_compare_and_set() {
    let mount = support::bao().fresh_mount(2).await;
    let server = Server::on_sqlite(&mount).await;
    let vault = server.site.app.vault_client.as_ref().unwrap();
    assert_eq!(vault.ledger_entry().await.unwrap(), LedgerEntry::Absent);
    let counters = BTreeMap::from([("a".to_owned(), LedgerCounter { counter: 1, mark: "<m>".to_owned() })]);
    assert_eq!(vault.write_ledger_entry(&counters, 0).await.unwrap(), 1);
    assert_eq!(vault.ledger_entry().await.unwrap(), LedgerEntry::Live { version: 1, counters: counters.clone() });
    let other = BTreeMap::from([("a".to_owned(), LedgerCounter { counter: 2, mark: "<m>".to_owned() })]);
    assert_eq!(vault.write_ledger_entry(&other, 0).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(vault.write_ledger_entry(&counters, 0).await.unwrap(), 1, "what was carried out already");
    assert_eq!(vault.write_ledger_entry(&counters, 1).await.unwrap(), 2);
    support::bao().soft_delete(&entry_path(&mount)).await;
    assert_eq!(vault.ledger_entry().await.unwrap(), LedgerEntry::Deleted { version: 2 });
    for data in [json!({ "clientSecret": "s" }), json!({ "ledgers": { "a": 1 } }), json!({})] {
        write_entry(&mount, data).await;
        assert!(matches!(vault.ledger_entry().await.unwrap(), LedgerEntry::Unreadable { .. }));
    }
}
