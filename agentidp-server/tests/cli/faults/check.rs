//! After each fault: rows, trail, Vault and the driver's account of it agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::account::{Account, Entry, TOLD};
use super::driver::Driver;
use super::field::Field;
use super::{now, say};
use crate::support::process::until;

impl Driver {
    /// Stops the load and looks: rows, trail and Vault agree, every secret ever shown counts or was knowingly retired. Of the
    /// retired ones of each credential the latest `retired` are tried.
    pub(super) async fn check(&self, field: &mut Field, retired: usize) {
        let _alone = self.0.gate.write().await;
        field.reconcile().await;
        let mut database = field.database().await;
        let events: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT metadata->>'credentialId', action, count(*) FROM audit_events \
             WHERE action LIKE 'credential.%' AND outcome = 'success' GROUP BY 1, 2",
        )
        .fetch_all(&mut database)
        .await
        .unwrap();
        let mut told: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        for (id, action, count) in events {
            told.entry(id).or_default().insert(action, count);
        }
        let rows = agreed_rows(field).await;
        for account in &self.0.accounts {
            let mut account = account.write().await;
            self.adopt(&mut account, &rows);
            let nothing = BTreeMap::new();
            account.credentials.iter_mut().for_each(|entry| entry.settle(told.get(&entry.id).unwrap_or(&nothing)));
            for server in 0..2 {
                self.ask_all(&account, server, retired).await;
            }
            account.credentials.iter_mut().for_each(|entry| entry.warm = [entry.current.is_some(); 2]);
        }
    }

    /// Credentials whose creation nobody heard of have no secret that anybody could ask for.
    fn adopt(&self, account: &mut Account, rows: &[Row]) {
        let known: BTreeSet<&str> = account.credentials.iter().map(|entry| entry.id.as_str()).collect();
        let of_agent = rows.iter().filter(|(agent, ..)| *agent == account.agent);
        let ids: BTreeSet<&str> = of_agent.map(|(_, id, ..)| id.as_str()).collect();
        assert!(known.is_subset(&ids), "a credential that was shown has no row");
        let new: Vec<String> = ids.difference(&known).map(|id| (*id).to_owned()).collect();
        assert!(new.len() <= account.creations, "rows that nobody asked for: {new:?}");
        account.creations = 0;
        account.credentials.extend(new.into_iter().map(|id| Entry::new(id, None, 0)));
    }

    async fn ask_all(&self, account: &Account, server: usize, retired: usize) {
        let counts = self.counts();
        for entry in &account.credentials {
            if let Some(secret) = &entry.current
                && !self.settles(server, &account.agent, secret, 200).await
            {
                counts.note(&counts.lost, format!("{} is lost at {server}", entry.id));
            }
            for secret in entry.retired.iter().rev().take(retired) {
                if !self.settles(server, &account.agent, secret, 401).await {
                    counts.note(&counts.wrongly_accepted, format!("an old secret of {} at {server}", entry.id));
                }
            }
        }
    }

    /// Whether the answer is as it has to be. What was retired may be accepted for the time in which a server is told of another
    /// one's changes; what counts may not be refused once.
    async fn settles(&self, server: usize, agent: &str, secret: &str, expected: u16) -> bool {
        let begun = now();
        loop {
            let answer = self.token(server, agent, secret).await.map(|(status, _)| status);
            if answer == Some(expected) || answer == Some(401) || now() - begun > TOLD {
                return answer == Some(expected);
            }
        }
    }
}

/// Agent, credential, whether it is active, and its path.
type Row = (String, String, bool, Option<String>);

/// The rows, once each path in Vault is an active row's and the other way round. A purge that a server has just claimed may
/// be under way yet; what is left for good is no purge.
async fn agreed_rows(field: &Field) -> Vec<Row> {
    let found = Mutex::new(Vec::new());
    until("paths in Vault and rows to agree", async || {
        let sql = "SELECT client_id::text, credential_id::text, status = 'active', vault_path FROM credentials";
        let rows: Vec<Row> = sqlx::query_as(sql).fetch_all(&mut field.database().await).await.unwrap();
        let active = rows.iter().filter(|(_, _, active, _)| *active).filter_map(|(.., path)| path.clone());
        let (active, paths) = (active.collect::<BTreeSet<_>>(), field.paths().await);
        *found.lock().unwrap() = rows;
        let differences: Vec<_> = paths.symmetric_difference(&active).collect();
        if !differences.is_empty() {
            say(&format!("Vault has {} paths, rows {}, not in both: {differences:?}", paths.len(), active.len()));
        }
        differences.is_empty()
    })
    .await;
    found.into_inner().unwrap()
}
