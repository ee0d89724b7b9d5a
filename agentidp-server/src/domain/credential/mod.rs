//! Credentials, and the columns that hold their record.

use std::fmt;

use agentidp_secrets::lifecycle::{Revision, Row};
use agentidp_secrets::{
    BackendId, CredentialKey, CredentialSecrets, Error, ErrorKind, Previous, Selector, StoredSecret,
};
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

/// What stands in a record before the time of its write.
const CREATED: &str = "&created=";

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

/// The columns of the secret before the present one, as [`SecretColumns`] has those of the present one.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "columns")]
pub struct PreviousColumns {
    /// A digest.
    pub hash: Option<String>,
    /// Vault's API path, without a version.
    pub path: Option<String>,
    /// The KV version.
    pub version: Option<i64>,
    /// When that version was written.
    pub written: Option<String>,
    /// The text of a `Selector`.
    pub selector: Option<String>,
    /// The first moment at which it does not work any more.
    pub expires_at: Timestamp,
}

/// Shows nothing but its end.
impl fmt::Debug for PreviousColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreviousColumns").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// The columns of a record: a digest in `secret_hash`, or a path in `vault_path` with the pinned version in
/// `vault_version` (none in rows of the documented system: they read the latest until their next rotation). Beside it the
/// selector that picks it.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the documented columns")]
pub struct SecretColumns {
    /// A bcrypt, argon2id or keyed digest.
    pub secret_hash: Option<String>,
    /// Vault's API path with `data/`, without a version.
    pub vault_path: Option<String>,
    /// The KV version that the row vouches for.
    pub vault_version: Option<i64>,
    /// That version and when it was written, as Vault says it: `3 2026-03-28T09:00:00Z`. A server of an older release changes the
    /// version and leaves this as it is; then it counts for nothing.
    pub vault_written: Option<String>,
    /// The text of a `Selector`.
    pub secret_selector: Option<String>,
    /// Unused so far. A retry with the same `Idempotency-Key` may still replace it.
    pub awaits_use: bool,
    /// The secret before, until its time is over.
    pub previous: Option<Box<PreviousColumns>>,
    /// Names this state of the columns: each write sets a fresh one, and compare-and-set is on it. None in rows that were not
    /// written since the column came.
    pub revision: Option<Uuid>,
}

impl Credential {
    /// The row as the lifecycle has it.
    ///
    /// # Errors
    /// `Malformed` when an id cannot be one of the library's, which no UUID is.
    pub fn to_row(&self) -> Result<Row, Error> {
        let key = key(self.client_id, self.credential_id)?;
        Ok(self.secret.clone().into_row(key).expiring(self.expires_at.map(Into::into)))
    }
}

/// The library's name of a credential.
///
/// # Errors
/// Never: a UUID is an id.
pub fn key(client_id: Uuid, credential_id: Uuid) -> Result<CredentialKey, Error> {
    CredentialKey::parse(&client_id.to_string(), &credential_id.to_string())
}

/// The ids that a row of this server has. A key of another form is nobody's.
#[must_use]
pub fn ids(key: &CredentialKey) -> (Uuid, Uuid) {
    let id = |text: &str| Uuid::try_parse(text).unwrap_or_default();
    (id(key.client_id().as_str()), id(key.credential_id().as_str()))
}

impl SecretColumns {
    /// The columns that hold `record` and the selector beside it.
    ///
    /// # Errors
    /// `Malformed` when the record's backend has no column, or its version is not a number from 1.
    pub fn new(record: &StoredSecret, selector: Option<Selector>) -> Result<Self, Error> {
        Ok(Self { secret_selector: selector.map(|selector| selector.to_text()), ..Self::from_record(record)? })
    }

    /// The same, as this attempt writes them.
    #[must_use]
    pub fn written_by(self, attempt: Uuid) -> Self {
        Self { revision: Some(attempt), ..self }
    }

    /// The place in Vault with the version that the row pins there; none for a digest.
    #[must_use]
    pub fn place(&self) -> Option<(&str, Option<i64>)> {
        self.vault_path.as_deref().map(|path| (path, self.vault_version))
    }

    /// The columns of a row as the lifecycle has it.
    ///
    /// # Errors
    /// As [`new`](Self::new), and `Malformed` for a row that cannot be read.
    pub fn of(row: &Row) -> Result<Self, Error> {
        let unreadable = || Error::new(ErrorKind::Malformed, "a row without a record is not written");
        let secrets = row.secrets.as_ref().ok_or_else(unreadable)?;
        let previous = secrets.previous.as_ref().map(|previous| {
            let columns = Self::new(&previous.stored, previous.selector)?;
            Ok::<_, Error>(Box::new(PreviousColumns {
                hash: columns.secret_hash,
                path: columns.vault_path,
                version: columns.vault_version,
                written: columns.vault_written,
                selector: columns.secret_selector,
                expires_at: previous.valid_until.into(),
            }))
        });
        Ok(Self {
            awaits_use: row.is_unused,
            previous: previous.transpose()?,
            revision: row.revision.map(|revision| Uuid::from_bytes(revision.to_bytes())),
            ..Self::new(&secrets.current, secrets.selector)?
        })
    }

    /// The row as the lifecycle has it. What cannot be read is logged, and is no record.
    #[must_use]
    pub fn into_row(self, key: CredentialKey) -> Row {
        let secrets = self.to_secrets().inspect_err(|error| {
            tracing::error!(credential_id = %key.credential_id(), %error, "a credential's row is corrupt");
        });
        let revision = self.revision.map(|revision| Revision::from_bytes(revision.into_bytes()));
        Row::new(key, secrets.ok(), revision).unused(self.awaits_use)
    }

    /// The record in these columns with its selector. A selector that cannot be read is none: it only selects.
    ///
    /// # Errors
    /// As [`to_record`](Self::to_record).
    pub fn to_secrets(&self) -> Result<CredentialSecrets, Error> {
        let selector = |text: Option<&str>| text.and_then(|text| Selector::parse(text).ok());
        let previous = self.previous.as_deref().and_then(|previous| {
            let columns = Self {
                secret_hash: previous.hash.clone(),
                vault_path: previous.path.clone(),
                vault_version: previous.version,
                vault_written: previous.written.clone(),
                ..Self::default()
            };
            // One that cannot be read has ended early, which the present one must not.
            let stored = columns.to_record().ok()?;
            let selector = selector(previous.selector.as_deref());
            Some(Previous { stored, selector, valid_until: previous.expires_at.into() })
        });
        Ok(CredentialSecrets {
            current: self.to_record()?,
            selector: selector(self.secret_selector.as_deref()),
            previous,
        })
    }

    /// Whether the record is a path in Vault.
    pub(crate) fn is_path(record: &StoredSecret) -> bool {
        record.backend() == &BackendId::VAULT_KV2
    }

    /// The columns that hold `record`, without a selector.
    fn from_record(record: &StoredSecret) -> Result<Self, Error> {
        let payload = record.payload();
        if Self::is_path(record) {
            let Some((path, pin)) = payload.split_once("?version=") else {
                return Ok(Self { vault_path: Some(payload.to_owned()), ..Self::default() });
            };
            let (version, created) = pin.split_once(CREATED).map_or((pin, None), |(version, at)| (version, Some(at)));
            return Ok(Self {
                vault_path: Some(path.to_owned()),
                vault_version: Some(version.parse::<i64>().ok().filter(|n| *n >= 1).ok_or_else(bad_version)?),
                vault_written: created.map(|created| format!("{version} {created}")),
                ..Self::default()
            });
        }
        if digest_backend(payload).as_ref() == Some(record.backend()) {
            return Ok(Self { secret_hash: Some(payload.to_owned()), ..Self::default() });
        }
        Err(Error::new(ErrorKind::Malformed, "the record's backend has no column in this schema"))
    }

    /// The record in these columns: the path where there is one, else the digest.
    ///
    /// # Errors
    /// `Malformed` when both are missing, or the digest is of no known kind.
    pub fn to_record(&self) -> Result<StoredSecret, Error> {
        match (&self.vault_path, &self.secret_hash) {
            (Some(path), _) => {
                let payload = match self.vault_version {
                    Some(version) if version >= 1 => {
                        let written = self.vault_written.as_deref().and_then(|written| written.split_once(' '));
                        let of_it = written.filter(|(of, _)| *of == version.to_string());
                        let created = of_it.map(|(_, created)| format!("{CREATED}{created}")).unwrap_or_default();
                        format!("{path}?version={version}{created}")
                    }
                    Some(_) => return Err(bad_version()),
                    None => path.clone(),
                };
                Ok(StoredSecret::new(BackendId::VAULT_KV2, payload))
            }
            (None, Some(digest)) => match digest_backend(digest) {
                Some(backend) => Ok(StoredSecret::new(backend, digest.as_str())),
                None => {
                    let message = "secret_hash is no bcrypt, argon2id or keyed digest: rotate the credential";
                    Err(Error::new(ErrorKind::Malformed, message))
                }
            },
            (None, None) => Err(Error::new(
                ErrorKind::Malformed,
                "the row has neither secret_hash nor vault_path: rotate the credential",
            )),
        }
    }
}

/// Whose digest is in `secret_hash`: the column has no place for a backend's id.
fn digest_backend(digest: &str) -> Option<BackendId> {
    const HEADS: [(&[&str], BackendId); 3] = [
        (&["$2a$", "$2b$", "$2x$", "$2y$"], BackendId::BCRYPT),
        (&["$argon2id$", "$argon2i$", "$argon2d$"], BackendId::ARGON2),
        (&["$hmac-sha256$"], BackendId::KEYED_DIGEST),
    ];
    let whose = HEADS.into_iter().find(|(heads, _)| heads.iter().any(|head| digest.starts_with(head)));
    whose.map(|(_, backend)| backend)
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
            .field("vault_written", &self.vault_written)
            .field("secret_selector", &self.secret_selector.as_ref().map(|_| "[REDACTED]"))
            .field("awaits_use", &self.awaits_use)
            .field("previous", &self.previous)
            .field("revision", &self.revision)
            .finish()
    }
}

#[cfg(test)]
mod tests;
