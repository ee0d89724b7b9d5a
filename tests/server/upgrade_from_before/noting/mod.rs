//! eeb7202 notes each write to Vault before it is made, and what Vault has to forget.

mod back;
mod beside;
mod debts;
mod identity;
mod left;
mod statements;

use agentidp_secrets::ClientSecret;
use sha2::{Digest as _, Sha256};

use self::statements::Write;
use super::*;

impl Before {
    /// A row whose secret is the first version at its place, with the secret. Not inserted yet.
    async fn first_version(&self) -> (Row, String) {
        let row = Row::of(self.agent().await);
        let [secret] = self.write(&self.vault(), &row, 1).await.try_into().unwrap();
        let columns = self.columns(&row, Some(1)).written_by(Uuid::new_v4());
        (row.with(columns), secret)
    }

    /// A row with a digest, and its secret. Not inserted yet.
    async fn with_digest(&self) -> (Row, String) {
        let row = Row::of(self.agent().await);
        let (secret, columns) = issue(&digests(bcrypt()), &row).await;
        (row.with(columns.written_by(Uuid::new_v4())), secret)
    }

    /// Writes a fresh secret over the latest version of the row's place.
    async fn write_next(&self, row: &Row, latest: u64) -> String {
        let secret = ClientSecret::generate().unwrap();
        self.write_over(row, latest, secret.expose_secret()).await;
        secret.expose_secret().to_owned()
    }

    async fn write_over(&self, row: &Row, latest: u64, secret: &str) {
        self.vault().overwrite(&key(row), latest, secret.into()).await.unwrap();
    }

    /// The kinds of the writes that are open.
    async fn open_writes(&self) -> Vec<String> {
        self.texts("SELECT kind FROM open_writes").await
    }
}

/// `SecretDigest::of`.
fn noted(secret: &str) -> String {
    let salt = Uuid::new_v4();
    let digest = Sha256::new().chain_update(salt.into_bytes()).chain_update(secret).finalize();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}:{digest}", salt.simple())
}

/// Whether the digest was noted of this secret.
fn is_of(digest: &str, secret: &str) -> bool {
    let (salt, _) = digest.split_once(':').unwrap();
    let salt = Uuid::parse_str(salt).unwrap();
    let again = Sha256::new().chain_update(salt.into_bytes()).chain_update(secret).finalize();
    let again: String = again.iter().map(|byte| format!("{byte:02x}")).collect();
    digest.ends_with(&again)
}
