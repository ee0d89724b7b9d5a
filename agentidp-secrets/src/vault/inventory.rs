//! What Vault holds, for whoever compares it with the rows: one record at a time, and by listing.

use http::Method;
use serde::Deserialize;

use super::failure::Failure;
use super::kv::{KvEntry, KvValue};
use super::kv2::{VaultKv2, during};
use super::rights;
use super::wire::{Request, answer};
use crate::credential::CredentialKey;
use crate::error::{Operation, Result};
use crate::record::StoredSecret;

/// What Vault holds for a record. Nothing of the secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordState {
    /// The record can be verified, and what it pins is the latest version.
    Sound,
    /// The record can be verified; Vault has a later version that it does not vouch for, as a rotation leaves it whose
    /// commit never came.
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
    /// There is nothing at the path.
    Absent,
    /// The version holds something that is no client secret.
    Unreadable,
}

/// A part of a listing, in Vault's order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamePage {
    /// Names of clients, or of one client's credentials; whatever else lies there by its own name.
    pub names: Vec<String>,
    /// Where the next part begins; none at the end.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

impl VaultKv2 {
    /// Looks at what a record points to: two reads, with the rights of the [policy](Self::policy).
    ///
    /// # Errors
    /// `Malformed` when the record is not one of the key's in this folder; `Unavailable`, `Denied` and `InvalidConfig`
    /// as `verify`. What is missing in Vault is no error here.
    pub async fn record_state(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<RecordState> {
        let path = self.locate(key, stored).map_err(during(Operation::Probe))?;
        // The pinned one first: it is asked for again where a standby may not have it yet.
        let pinned = match path.version() {
            Some(version) => self.found(self.kv.read(&path, Some(version)).await)?,
            None => None,
        };
        let latest = self.found(self.kv.read(&path, None).await)?;
        Ok(match (pinned.as_ref().map(|entry| (entry.version, of_entry(entry))), latest) {
            (Some((version, RecordState::Sound)), Some(latest)) if latest.version > version => {
                RecordState::Behind { latest: latest.version }
            }
            (Some((_, state)), _) => state,
            (None, Some(latest)) if path.version().is_some() => RecordState::VersionGone { latest: latest.version },
            (None, Some(latest)) => of_entry(&latest),
            (None, None) => RecordState::Absent,
        })
    }

    /// Up to `limit` clients that have anything in our folder, after the name `after`. Needs the
    /// [listing policy](Self::listing_policy).
    ///
    /// OpenBao lists in parts. HashiCorp Vault answers with all names at once, and more than 64 KiB of them (1,600 clients)
    /// are refused.
    ///
    /// # Errors
    /// `Denied` without the right; `Unavailable` when Vault cannot be asked or its answer is too long.
    pub async fn clients(&self, after: Option<&str>, limit: usize) -> Result<NamePage> {
        self.names("agents", after, limit).await
    }

    /// The same of one client's credentials.
    ///
    /// # Errors
    /// As [`clients`](Self::clients); `Malformed` when `client` is no client id.
    pub async fn credentials_of(&self, client: &str, after: Option<&str>, limit: usize) -> Result<NamePage> {
        // Checked, because it becomes a part of a path.
        CredentialKey::parse(client, "any").map_err(during(Operation::Probe))?;
        self.names(&format!("agents/{client}/credentials"), after, limit).await
    }

    /// A second policy, which only listing needs: see [`clients`](Self::clients).
    #[must_use]
    pub fn listing_policy(&self) -> String {
        rights::listing_policy(&self.site.folder)
    }

    async fn names(&self, below: &str, after: Option<&str>, limit: usize) -> Result<NamePage> {
        let folder = &self.site.folder;
        let request = Request {
            method: Method::GET,
            path: format!("{}/metadata/{}/{below}", folder.mount(), folder.prefix()),
            query: Some(listing(after, limit)),
            body: None,
            // A standby that is behind would not name what was written last.
            of_active: true,
        };
        let listed = match self.vault.session.send(request).await {
            Ok(answer) => answer::listed::<Keys>(answer.status, &answer.body),
            Err(failure) => Err(failure),
        };
        let mut keys = match listed {
            Ok(Keys { keys }) => keys,
            Err(Failure::Missing) => Vec::new(),
            Err(failure) => return Err(self.probe_error(failure)),
        };
        // A server that lists everything at once does so again: what was had before is dropped.
        keys.retain(|key| after.is_none_or(|after| key.as_str() > after));
        let next = if keys.len() == limit { keys.last().cloned() } else { None };
        let names = keys.into_iter().map(|key| key.trim_end_matches('/').to_owned()).collect();
        Ok(NamePage { names, next })
    }

    fn found(&self, read: Result<KvEntry, Failure>) -> Result<Option<KvEntry>> {
        match read {
            Ok(entry) => Ok(Some(entry)),
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(self.probe_error(failure)),
        }
    }
}

fn listing(after: Option<&str>, limit: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("list", "true").append_pair("limit", &limit.to_string());
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    query.finish()
}

fn of_entry(entry: &KvEntry) -> RecordState {
    match entry.value {
        KvValue::Secret(_) => RecordState::Sound,
        KvValue::Deleted => RecordState::SoftDeleted,
        KvValue::Destroyed => RecordState::Destroyed,
        KvValue::Unreadable => RecordState::Unreadable,
    }
}
