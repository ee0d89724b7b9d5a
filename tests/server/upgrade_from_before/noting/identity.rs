//! Whose a folder in Vault is, as eeb7202 wrote it down.

use agentidp_secrets::folder::{Disagreement, FolderState};
use reqwest::Method;
use serde_json::json;

use super::*;

on_both!(NOTES; a_folder_that_it_claimed_is_this_databases, a_mark_that_it_noted_counts, another_mark_stops_deletions);

impl Before {
    /// A database that has claimed its folder, with counter 5, and what Vault holds of that.
    async fn claimed(&self, next_mark: Option<Uuid>, held: (u64, Uuid), mark: Uuid) {
        let (identity, folder) = (Uuid::new_v4(), format!("{}/agentidp", self.mount.name));
        self.sql(format!(
            "INSERT INTO ledger (folder, identity, counter, mark, next_mark) \
             VALUES ('{folder}', '{identity}', 5, '{mark}', {})",
            literal(next_mark)
        ))
        .await;
        let counters = json!({ "ledgers": { identity.to_string(): { "counter": held.0, "mark": held.1 } } });
        let entry = format!("{}/data/agentidp/ledger", self.mount.name);
        support::bao().root(Method::POST, &entry, json!({ "data": counters })).await;
    }

    /// What becomes of a debt that is due.
    async fn judged(&self) -> (FolderState, bool) {
        let (row, _) = self.first_version().await;
        let row = Row { revoked_at: Some(began()), ..row };
        self.insert(&row).await;
        self.connect().await.owe(&row, &self.path(&row), "delete", began()).await;
        let mut server = self.start(&[]).await;
        let state = server.round().await;
        assert!(self.in_vault(&row).await, "a new leader watches first");
        let after = server.run(seconds(300)).await;
        assert_eq!(after == FolderState::Agrees, !self.in_vault(&row).await);
        (state, after == FolderState::Agrees)
    }
}

async fn a_folder_that_it_claimed_is_this_databases(before: Before) {
    let mark = Uuid::new_v4();
    before.claimed(None, (5, mark), mark).await;
    assert_eq!(before.judged().await, (FolderState::Watching, true));
}

/// The server died after it had advanced the entry.
async fn a_mark_that_it_noted_counts(before: Before) {
    let (mark, next) = (Uuid::new_v4(), Uuid::new_v4());
    before.claimed(Some(next), (6, next), mark).await;
    assert_eq!(before.judged().await, (FolderState::Watching, true));
}

async fn another_mark_stops_deletions(before: Before) {
    before.claimed(None, (5, Uuid::new_v4()), Uuid::new_v4()).await;
    assert_eq!(before.judged().await, (FolderState::Disagrees(Disagreement::OtherMark), false));
}
