//! Credentials, and the columns that hold their record.

use std::fmt;

use agentidp_secrets::{BackendId, Error, ErrorKind, StoredSecret};
use uuid::Uuid;

use super::Timestamp;
use super::named::named_enum;

named_enum! {
    /// Whether a credential may be used.
    CredentialStatus {
        /// It may, until it expires.
        Active = "active",
        /// Never again.
        Revoked = "revoked",
    }
}

/// A credential as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row; repositories build it")]
pub struct Credential {
    /// Its id.
    pub credential_id: Uuid,
    /// The agent whose it is.
    pub client_id: Uuid,
    /// Whether it may be used.
    pub status: CredentialStatus,
    /// The record, as columns.
    pub secret: SecretColumns,
    /// When it was generated.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
}

/// The documented columns of a record: a digest in `secret_hash`, or a path in `vault_path` with the pinned version in
/// `vault_version` (none in rows of the documented system: they read the latest until their next rotation).
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the documented columns")]
pub struct SecretColumns {
    /// A bcrypt or argon2id digest.
    pub secret_hash: Option<String>,
    /// Vault's API path with `data/`, without a version.
    pub vault_path: Option<String>,
    /// The KV version that the row vouches for.
    pub vault_version: Option<i64>,
}

impl SecretColumns {
    /// The columns that hold `record`.
    ///
    /// # Errors
    /// `Malformed` when the record's backend has no column, or its version is not a number from 1.
    pub fn from_record(record: &StoredSecret) -> Result<Self, Error> {
        let payload = record.payload();
        if record.backend() == &BackendId::VAULT_KV2 {
            let (path, version) = match payload.split_once("?version=") {
                Some((path, version)) => {
                    (path, Some(version.parse::<i64>().ok().filter(|n| *n >= 1).ok_or_else(bad_version)?))
                }
                None => (payload, None),
            };
            return Ok(Self { secret_hash: None, vault_path: Some(path.to_owned()), vault_version: version });
        }
        match StoredSecret::identify(payload) {
            Some(digest) if digest == *record => {
                Ok(Self { secret_hash: Some(payload.to_owned()), vault_path: None, vault_version: None })
            }
            _ => Err(Error::new(ErrorKind::Malformed, "the record's backend has no column in this schema")),
        }
    }

    /// The record in these columns: the path where there is one, else the digest.
    ///
    /// # Errors
    /// `Malformed` when both are missing, or the digest is of no known kind.
    pub fn to_record(&self) -> Result<StoredSecret, Error> {
        match (&self.vault_path, &self.secret_hash) {
            (Some(path), _) => {
                let payload = match self.vault_version {
                    Some(version) if version >= 1 => format!("{path}?version={version}"),
                    Some(_) => return Err(bad_version()),
                    None => path.clone(),
                };
                Ok(StoredSecret::new(BackendId::VAULT_KV2, payload))
            }
            (None, Some(digest)) => StoredSecret::identify(digest)
                .filter(|record| record.backend() != &BackendId::VAULT_KV2)
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::Malformed,
                        "secret_hash is no bcrypt or argon2id digest: rotate the credential",
                    )
                }),
            (None, None) => Err(Error::new(
                ErrorKind::Malformed,
                "the row has neither secret_hash nor vault_path: rotate the credential",
            )),
        }
    }
}

fn bad_version() -> Error {
    Error::new(ErrorKind::Malformed, "vault_version must be a number from 1: rotate the credential")
}

/// Shows what kind of record it is and nothing of it.
impl fmt::Debug for SecretColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretColumns")
            .field("secret_hash", &self.secret_hash.as_ref().map(|_| "[REDACTED]"))
            .field("vault_path", &self.vault_path.as_ref().map(|_| "[REDACTED]"))
            .field("vault_version", &self.vault_version)
            .finish()
    }
}

/// A Vault path that has to be forgotten: durable work, retried until Vault has done it.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row; repositories build it")]
pub struct PurgeJob {
    /// The credential whose path it is; one job a credential.
    pub credential_id: Uuid,
    /// The agent whose credential it is.
    pub client_id: Uuid,
    /// The path.
    pub vault_path: String,
    /// Not to be tried before.
    pub due_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
}

/// Without the path.
impl fmt::Debug for PurgeJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PurgeJob")
            .field("credential_id", &self.credential_id)
            .field("due_at", &self.due_at)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(hash: Option<&str>, path: Option<&str>, version: Option<i64>) -> SecretColumns {
        SecretColumns {
            secret_hash: hash.map(str::to_owned),
            vault_path: path.map(str::to_owned),
            vault_version: version,
        }
    }

    #[test]
    fn columns_and_record_are_two_forms_of_one_thing() {
        let table = [
            (columns(Some("$2b$10$digest"), None, None), "{bcrypt}$2b$10$digest"),
            (columns(Some("$argon2id$v=19$rest"), None, None), "{argon2}$argon2id$v=19$rest"),
            (columns(None, Some("secret/data/a/b"), Some(3)), "{vault-kv2}secret/data/a/b?version=3"),
            (columns(None, Some("secret/data/a/b"), None), "{vault-kv2}secret/data/a/b"),
        ];
        for (columns, text) in table {
            assert_eq!(columns.to_record().unwrap().to_text(), text);
            assert_eq!(SecretColumns::from_record(&StoredSecret::parse(text).unwrap()).unwrap(), columns);
        }
    }

    #[test]
    fn a_path_wins_over_a_left_over_digest() {
        let both = columns(Some("$2b$10$digest"), Some("secret/data/a/b"), Some(1));
        assert_eq!(both.to_record().unwrap().backend(), &BackendId::VAULT_KV2);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for broken in [
            columns(None, None, None),
            columns(Some(""), None, None),
            columns(Some("plain"), None, None),
            columns(Some("secret/data/a/b"), None, None),
            columns(None, Some("secret/data/a/b"), Some(0)),
            columns(None, Some("secret/data/a/b"), Some(-1)),
        ] {
            assert_eq!(broken.to_record().unwrap_err().kind(), ErrorKind::Malformed, "{broken:?}");
        }
        let foreign = StoredSecret::parse("{memory}a/b?version=1").unwrap();
        assert!(SecretColumns::from_record(&foreign).is_err());
    }

    #[test]
    fn debug_shows_neither_digest_nor_path() {
        let columns = columns(Some("$2b$10$canary"), Some("secret/data/canary"), Some(1));
        assert!(!format!("{columns:?} {columns:#?}").contains("canary"));
    }
}
