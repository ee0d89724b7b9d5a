//! What a backend can say of all that it holds: an optional capability, for a
//! [comparison](crate::lifecycle::Lifecycle::compare) with the rows.

use std::sync::Arc;

use async_trait::async_trait;

use crate::backend::{Held, SecretBackend};
use crate::credential::{ClientId, CredentialId, CredentialKey};
use crate::error::{Error, ErrorKind, Result};
use crate::record::StoredSecret;

/// A backend with custody that says what it holds: of one record, and by listing.
#[async_trait]
pub trait Inventory: SecretBackend {
    /// Looks at what a record points to. The default knows what [`inspect`](SecretBackend::inspect) says, to which a deleted version
    /// is one without a secret.
    ///
    /// # Errors
    /// `Malformed` when the record is not one of the key's that this backend writes; `Unavailable`, `Denied` and `InvalidConfig`
    /// as [`verify`](SecretBackend::verify). What is missing is no error here.
    async fn record_state(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<RecordState> {
        let Some(to) = self.points_to(stored).filter(|to| Some(&to.place) == self.place(key).as_ref()) else {
            let message = "the record does not point to where this backend keeps the secrets of the key";
            return Err(Error::new(ErrorKind::Malformed, message).with_backend(self.info().id.clone()));
        };
        let latest = self.inspect(key, None).await?;
        let pinned = match to.version {
            Some(version) if version != latest.version() => self.inspect(key, Some(version)).await?,
            _ => latest.clone(),
        };
        Ok(match (&pinned, latest.version()) {
            (Held::Version { version, secret: Some(_), .. }, latest) if latest > *version => {
                RecordState::Behind { latest }
            }
            (Held::Version { secret: Some(_), .. }, _) => RecordState::Sound,
            (Held::Version { secret: None, .. }, _) => RecordState::Unreadable,
            (Held::Nothing, 0) => RecordState::Absent,
            (Held::Nothing, latest) => RecordState::VersionGone { latest },
        })
    }

    /// Up to `limit` clients of which anything is held, after the name `after`.
    ///
    /// # Errors
    /// `Denied` without the right to list; `Unavailable` when the backend cannot be asked.
    async fn clients(&self, after: Option<&str>, limit: usize) -> Result<NamePage>;

    /// The same of one client's credentials.
    ///
    /// # Errors
    /// As [`clients`](Self::clients); `Malformed` when `client` is no name of a client.
    async fn credentials_of(&self, client: &str, after: Option<&str>, limit: usize) -> Result<NamePage>;

    /// The client that a name of [`clients`](Self::clients) stands for; `None` for a name that this backend never writes.
    ///
    /// The default takes the name for the id. A backend that escapes ids implements it: a foreign name must not be taken for the
    /// client that is kept under another one.
    fn client_named(&self, name: &str) -> Option<ClientId> {
        ClientId::parse(name).ok()
    }

    /// The same of a name of [`credentials_of`](Self::credentials_of).
    fn credential_named(&self, name: &str) -> Option<CredentialId> {
        CredentialId::parse(name).ok()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: Inventory + ?Sized> Inventory for Arc<B> {
    async fn record_state(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<RecordState> {
        (**self).record_state(key, stored).await
    }

    async fn clients(&self, after: Option<&str>, limit: usize) -> Result<NamePage> {
        (**self).clients(after, limit).await
    }

    async fn credentials_of(&self, client: &str, after: Option<&str>, limit: usize) -> Result<NamePage> {
        (**self).credentials_of(client, after, limit).await
    }

    fn client_named(&self, name: &str) -> Option<ClientId> {
        (**self).client_named(name)
    }

    fn credential_named(&self, name: &str) -> Option<CredentialId> {
        (**self).credential_named(name)
    }
}

/// What a backend holds for a record. Nothing of the secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordState {
    /// The record can be verified, and what it pins is the latest version.
    Sound,
    /// The record can be verified; there is a later version that it does not vouch for, as a rotation leaves it whose commit
    /// never came.
    Behind {
        /// The latest version.
        latest: u64,
    },
    /// The version was deleted and can be undeleted.
    SoftDeleted,
    /// The version was destroyed; its number is still taken.
    Destroyed,
    /// There is no such version, though there are others.
    VersionGone {
        /// The latest version.
        latest: u64,
    },
    /// The version was written by another write than the one that the record is of, as after a restore of the backend.
    OtherWrite {
        /// The latest version.
        latest: u64,
    },
    /// There is nothing at the place.
    Absent,
    /// The version holds something that is no client secret.
    Unreadable,
}

/// A part of a listing, in the backend's order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "backends make it")]
pub struct NamePage {
    /// Names of clients, or of one client's credentials, as the backend has them; whatever else lies there by its own name.
    pub names: Vec<String>,
    /// Where the next part begins; none at the end.
    pub next: Option<String>,
}
