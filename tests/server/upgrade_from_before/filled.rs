//! Credentials in every form that the releases before write.

use agentidp_secrets::backends::{Argon2id, KeyedDigest, VaultKv2};
use agentidp_secrets::{ClientSecret, SecretStore};
use agentidp_server::domain::SecretColumns;

use super::{Before, JOBS, Row, bcrypt, began, digests, issue, key, mac_keys, seconds};
use crate::support;

/// A credential and what its client presents.
pub(super) struct Client {
    /// What is special about it.
    pub(super) form: &'static str,
    pub(super) row: Row,
    pub(super) secret: String,
    /// What a login with the secret is answered.
    pub(super) status: u16,
}

impl Before {
    /// A credential of each form.
    pub(super) async fn fill(&self) -> Vec<Client> {
        let mut clients = self.fill_with_digests().await;
        clients.extend(self.fill_with_paths().await);
        for client in &clients {
            self.insert(&client.row).await;
        }
        clients
    }

    async fn fill_with_digests(&self) -> Vec<Client> {
        let selecting = SecretStore::builder(bcrypt()).selector_keys(mac_keys());
        let argon2 = Argon2id::builder().minimum_cost_for_tests().build().unwrap();
        let keyed = SecretStore::builder(KeyedDigest::new(mac_keys()));
        let stores = [
            ("bcrypt", digests(bcrypt())),
            ("bcrypt with a selector", selecting.build().unwrap()),
            ("argon2id", digests(argon2)),
            ("keyed digest", digests(KeyedDigest::new(mac_keys()))),
            ("keyed digest with a selector", keyed.selector_keys(mac_keys()).build().unwrap()),
        ];
        let mut clients = Vec::new();
        for (form, store) in stores {
            let row = Row::of(self.agent().await);
            let (secret, columns) = issue(&store, &row).await;
            clients.push(Client { form, row: row.with(columns), secret, status: 200 });
        }
        for form in ["bcrypt, unused", "bcrypt, expired", "bcrypt, revoked"] {
            let row = Row::of(self.agent().await);
            let (secret, columns) = issue(&digests(bcrypt()), &row).await;
            let awaits_use = form.ends_with("unused");
            let mut row = row.with(SecretColumns { awaits_use, ..columns });
            row.expires_at = form.ends_with("expired").then(|| began().minus(seconds(60)));
            row.revoked_at = form.ends_with("revoked").then(|| began().minus(seconds(60)));
            clients.push(Client { form, row, secret, status: if awaits_use { 200 } else { 401 } });
        }
        clients
    }

    async fn fill_with_paths(&self) -> Vec<Client> {
        let vault = self.vault();
        let forms = [
            ("version 1", 1, Some(1)),
            ("version 2 with two later ones", 4, Some(2)),
            ("a bare path", 1, None),
            ("a bare path with three versions", 3, None),
            ("a digest beside a path", 1, Some(1)),
            ("a selector beside a path", 1, Some(1)),
        ];
        let mut clients = Vec::new();
        for (form, written, pinned) in forms {
            let row = Row::of(self.agent().await);
            let secrets = self.write(&vault, &row, written).await;
            let secret = secrets[usize::try_from(pinned.unwrap_or(written)).unwrap() - 1].clone();
            let mut columns = self.columns(&row, pinned);
            if form.starts_with("a digest") {
                columns.secret_hash = issue(&digests(bcrypt()), &row).await.1.secret_hash;
            }
            if form.starts_with("a selector") {
                columns.secret_selector =
                    Some(mac_keys().selector(key(&row).client_id(), &secret.as_str().into()).unwrap().to_text());
            }
            clients.push(Client { form, row: row.with(columns), secret, status: 200 });
        }
        clients.push(self.on_another_mount().await);
        let row = Row::of(self.agent().await);
        let [secret] = self.write(&vault, &row, 1).await.try_into().unwrap();
        let row = Row { revoked_at: Some(began()), ..row.with(self.columns(&row, Some(1))) };
        match self.newest {
            JOBS => self.schedule(&row, &self.path(&row), began()).await,
            _ => self.connect().await.owe(&row, &self.path(&row), "delete", began()).await,
        }
        clients.push(Client { form: "a path, revoked", row, secret, status: 401 });
        clients
    }

    /// Writes so many versions to the credential's place; gives their secrets.
    pub(super) async fn write(&self, vault: &SecretStore, row: &Row, versions: i64) -> Vec<String> {
        let mut secrets = Vec::new();
        for latest in 0..versions {
            let secret = ClientSecret::generate().unwrap();
            vault.overwrite(&key(row), u64::try_from(latest).unwrap(), secret.clone()).await.unwrap();
            secrets.push(secret.expose_secret().to_owned());
        }
        secrets
    }

    /// The columns of a row that points to its place in Vault.
    pub(super) fn columns(&self, row: &Row, vault_version: Option<i64>) -> SecretColumns {
        SecretColumns { vault_path: Some(self.path(row)), vault_version, ..SecretColumns::default() }
    }

    async fn on_another_mount(&self) -> Client {
        let other = support::bao().fresh_mount(2).await;
        let vault = VaultKv2::builder(support::bao().address(), other.policy_token.as_str()).mount(&other.name);
        let row = Row::of(self.agent().await);
        let (secret, columns) = issue(&digests(vault.build().unwrap()), &row).await;
        Client { form: "a path on another mount", row: row.with(columns), secret, status: 500 }
    }
}
