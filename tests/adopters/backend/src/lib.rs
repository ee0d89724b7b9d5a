//! Client secrets in a table of PostgreSQL, in a database of their own: a backend with custody and numbered versions, written from
//! the published pages of `agentidp-secrets`.

use agentidp_secrets::{BackendId, BackendInfo, ClientSecret, CredentialKey, Custody, Error, ErrorKind, Held, Pointer};
use agentidp_secrets::{Result, SecretBackend, StoredSecret, Verdict};
use async_trait::async_trait;
use sqlx::PgPool;

#[derive(Clone, Debug)]
pub struct Table {
    info: BackendInfo,
    pool: PgPool,
}

impl Table {
    /// Makes the table.
    pub async fn open(pool: PgPool) -> Result<Self> {
        // Each record names its version, so a proof of it may be remembered.
        let info = BackendInfo::new(BackendId::parse("acme-table")?, Custody::Backend).with_pin_mark("");
        let table = "CREATE TABLE IF NOT EXISTS client_secrets (client text, credential text, version bigint, \
                     secret text NOT NULL, PRIMARY KEY (client, credential, version))";
        sqlx::query(table).execute(&pool).await.map_err(failed)?;
        Ok(Self { info, pool })
    }

    /// `version:length:client:credential`. Ids are any text: the length says where the first one ends.
    fn record(&self, key: &CredentialKey, version: &str) -> StoredSecret {
        let (client, credential) = ids(key);
        StoredSecret::new(self.info.id.clone(), format!("{version}:{}:{client}:{credential}", client.len()))
    }

    /// The version that a record names, if the record is ours and the key's.
    fn version(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<u64> {
        let version = stored.payload().split(':').next().and_then(|version| version.parse().ok());
        let ours = version.filter(|version: &u64| self.record(key, &version.to_string()) == *stored);
        ours.ok_or_else(|| Error::new(ErrorKind::Malformed, "not a record of this credential"))
    }
}

fn ids(key: &CredentialKey) -> (&str, &str) {
    (key.client_id().as_str(), key.credential_id().as_str())
}

/// Foreign errors are translated once. Those of sqlx hold no values.
fn failed(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the table of secrets cannot be asked: look at its database").with_source(error)
}

#[async_trait]
impl SecretBackend for Table {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        Some(self.record(key, ""))
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let (version, place) = stored.payload().split_once(':')?;
        let place = StoredSecret::new(self.info.id.clone(), format!(":{place}"));
        Some(Pointer { place, version: Some(version.parse().ok()?) })
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.overwrite(key, 0, Some(secret)).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let held = self.inspect(key, Some(self.version(key, stored)?)).await?;
        match held.secret() {
            Some(secret) if secret.ct_eq(candidate) => Ok(Verdict::Match),
            // A blank version verifies nothing.
            None if held.version() == 0 => Err(Error::new(ErrorKind::NotFound, "it is gone: rotate the credential")),
            _ => Ok(Verdict::Mismatch),
        }
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let select = "SELECT version, secret FROM client_secrets WHERE client = $1 AND credential = $2 \
                      AND version = coalesce($3, version) ORDER BY version DESC LIMIT 1";
        let (client, credential) = ids(key);
        let select = sqlx::query_as(select).bind(client).bind(credential).bind(version.map(u64::cast_signed));
        let row: Option<(i64, String)> = select.fetch_optional(&self.pool).await.map_err(failed)?;
        Ok(row.map_or(Held::Nothing, |(version, secret)| {
            let stored = self.record(key, &version.to_string());
            let secret = Some(ClientSecret::from(secret)).filter(|secret| self.info.can_store(secret));
            Held::Version { version: version.cast_unsigned(), stored, secret }
        }))
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        secret.map_or(Ok(()), |secret| self.info.check_secret(secret))?;
        // Of two at once the primary key lets one through.
        let insert = "INSERT INTO client_secrets SELECT $1, $2, $3 + 1, $4 WHERE $3 = (SELECT coalesce(max(version), 0) \
                      FROM client_secrets WHERE client = $1 AND credential = $2) ON CONFLICT DO NOTHING";
        let (client, credential) = ids(key);
        let insert = sqlx::query(insert).bind(client).bind(credential).bind(latest.cast_signed());
        let insert = insert.bind(secret.map_or("", ClientSecret::expose_secret));
        if insert.execute(&self.pool).await.map_err(failed)?.rows_affected() == 0 {
            return Err(Error::new(ErrorKind::Conflict, "the record is not the latest: read the row again"));
        }
        Ok(self.record(key, &(latest + 1).to_string()))
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.overwrite(key, self.version(key, current)?, Some(secret)).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.version(key, stored)?;
        self.forget(key).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        let (client, credential) = ids(key);
        let delete = sqlx::query("DELETE FROM client_secrets WHERE client = $1 AND credential = $2");
        delete.bind(client).bind(credential).execute(&self.pool).await.map(drop).map_err(failed)
    }

    async fn probe(&self) -> Result<()> {
        sqlx::query("SELECT FROM client_secrets LIMIT 0").execute(&self.pool).await.map(drop).map_err(failed)
    }
}
