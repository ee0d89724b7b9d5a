//! A second deployment on the folder of the first, with a database of its own and the right to list (F1).

use sqlx::{Connection as _, PgConnection};

use super::field::Field;
use crate::binary::Place;
use crate::support::process::until;

impl Field {
    /// With an empty database it does not start. With a row it does, compares to the end, is owed the deletion of each place
    /// of the first, and deletes none. What it would have taken the driver's check finds missing.
    pub(super) async fn meet_neighbour(&self) {
        let (place, url) = (Place::new(), self.fresh_database().await);
        let mut with_vault = self.settings(1);
        let mut without_vault = self.without_vault();
        for settings in [&mut with_vault, &mut without_vault] {
            settings.retain(|(name, _)| !["DATABASE_URL", "RECONCILE_INTERVAL"].contains(name));
            settings.extend([("DATABASE_URL", url.as_str()), ("RECONCILE_INTERVAL", "1s"), ("PORT", "0")]);
        }
        let refused = place.run(&[], &with_vault).await;
        assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("belongs to another database"));

        let operator = place.operator(&without_vault).await;
        let first = place.serve(&without_vault).await;
        first.agent_with_credential(&operator).await;
        first.stop().await;
        self.owe_all(&url).await;
        let forced = place.serve(&with_vault).await;
        let metrics = async || {
            let page = reqwest::get(format!("{}/metrics", forced.origin)).await.unwrap().text().await.unwrap();
            page.lines().find(|line| line.contains("class=\"path_without_row\"")).map(str::to_owned)
        };
        until("its comparison", async || metrics().await.is_some_and(|line| !line.ends_with(" 0"))).await;
        let compared = place.run(&["reconcile"], &with_vault).await;
        let problem = String::from_utf8_lossy(&compared.stderr).into_owned();
        assert!(compared.status.code() == Some(1) && problem.contains("nothing is deleted: "), "{problem}");
        forced.stop().await;
    }

    /// As if the second database had been restored between a write of the first and its commit.
    async fn owe_all(&self, url: &str) {
        let sql =
            "SELECT credential_id::text, client_id::text, vault_path FROM credentials WHERE vault_path IS NOT NULL";
        let places: Vec<(String, String, String)> =
            sqlx::query_as(sql).fetch_all(&mut self.database().await).await.unwrap();
        assert!(!places.is_empty(), "nothing of the first could be deleted");
        let mut second = PgConnection::connect(url).await.unwrap();
        for (credential, client, path) in places {
            let owe = "INSERT INTO purge_debts (credential_id, client_id, vault_path, kind, due_at) \
                       VALUES ($1::uuid, $2::uuid, $3, 'delete', '2000-01-01T00:00:00Z')";
            sqlx::query(owe).bind(credential).bind(client).bind(path).execute(&mut second).await.unwrap();
        }
    }
}
