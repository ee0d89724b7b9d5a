//! What Vault holds, for whoever compares it with the rows: one record at a time, and by listing.

use async_trait::async_trait;
use serde::Deserialize;

use super::cause::Cause;
use super::failure::Failure;
use super::kv::{KvEntry, KvValue};
use super::kv2::VaultKv2;
use super::ledger;
use super::rights;
use super::wire::{Request, answer};
use crate::credential::{ClientId, CredentialId, CredentialKey};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::inventory::Inventory;
use crate::record::StoredSecret;

pub use crate::inventory::{NamePage, RecordState};

/// So many names fit into an answer, also where each is the longest that an id has: 765 bytes and a slash, between quotes.
const ALWAYS_FIT: usize = 5000;

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[async_trait]
impl Inventory for VaultKv2 {
    async fn record_state(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<RecordState> {
        Self::record_state(self, key, stored).await
    }

    async fn clients(&self, after: Option<&str>, limit: usize) -> Result<NamePage> {
        Self::clients(self, after, limit).await
    }

    async fn credentials_of(&self, client: &str, after: Option<&str>, limit: usize) -> Result<NamePage> {
        Self::credentials_of(self, client, after, limit).await
    }

    fn client_named(&self, name: &str) -> Option<ClientId> {
        ClientId::parse(&self.site.folder.layout().client_in(name)?).ok()
    }

    fn credential_named(&self, name: &str) -> Option<CredentialId> {
        CredentialId::parse(&self.site.folder.layout().credential_in(name)?).ok()
    }
}

impl VaultKv2 {
    /// Looks at what a record points to: two reads, with the rights of the [policy](Self::policy).
    ///
    /// # Errors
    /// `Malformed` when the record is not one of the key's in this folder; `Unavailable`, `Denied` and `InvalidConfig`
    /// as `verify`. What is missing in Vault is no error here.
    pub async fn record_state(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<RecordState> {
        let path = self.locate(key, stored).map_err(self.during(Operation::Probe))?;
        // The pinned one first: it is asked for again where a standby may not have it yet.
        let pinned = match path.version() {
            Some(version) => self.found(self.kv.read(&path, Some(version)).await)?,
            None => None,
        };
        let latest = self.found(self.kv.read(&path, None).await)?;
        if let Some(KvEntry { written, .. }) = pinned.as_ref().filter(|entry| path.is_of_another(&entry.written)) {
            let latest = latest.as_ref().map_or(written.version, |latest| latest.written.version);
            return Ok(RecordState::OtherWrite { latest });
        }
        Ok(match (pinned.as_ref().map(|entry| (entry.written.version, of_entry(entry))), latest) {
            (Some((version, RecordState::Sound)), Some(latest)) if latest.written.version > version => {
                RecordState::Behind { latest: latest.written.version }
            }
            (Some((_, state)), _) => state,
            (None, Some(latest)) if path.version().is_some() => {
                RecordState::VersionGone { latest: latest.written.version }
            }
            (None, Some(latest)) => of_entry(&latest),
            (None, None) => RecordState::Absent,
        })
    }

    /// Up to `limit` names of clients that have anything in our folder, after the name `after`; ids in the form of a
    /// [`VaultPath`](super::VaultPath), which [`client_named`](Inventory::client_named) reads. Needs the
    /// [listing policy](Self::listing_policy).
    ///
    /// OpenBao lists in parts. HashiCorp Vault answers with all names at once, and more than 4 MiB of them (100,000
    /// clients) are refused. Both go through all names for each answer, which takes seconds where there are many: ask for 20,000 at a
    /// time. An answer has 60 seconds.
    ///
    /// # Errors
    /// `Denied` without the right; `Unavailable` when Vault cannot be asked or its answer is too long.
    pub async fn clients(&self, after: Option<&str>, limit: usize) -> Result<NamePage> {
        self.names(&self.site.folder.layout().of_clients(), after, limit).await
    }

    /// The same of one client's credentials.
    ///
    /// # Errors
    /// As [`clients`](Self::clients); `Malformed` when `client` is no name of a client's folder, as that method lists it.
    pub async fn credentials_of(&self, client: &str, after: Option<&str>, limit: usize) -> Result<NamePage> {
        if self.client_named(client).is_none() {
            let error = Error::new(ErrorKind::Malformed, "the name is not one that a client's folder in Vault has");
            return Err(self.during(Operation::Probe)(error));
        }
        self.names(&self.site.folder.layout().of_credentials(client), after, limit).await
    }

    /// A second policy, which only listing needs: see [`clients`](Self::clients).
    #[must_use]
    pub fn listing_policy(&self) -> String {
        rights::listing_policy(&self.site.folder)
    }

    async fn names(&self, below: &str, after: Option<&str>, limit: usize) -> Result<NamePage> {
        match self.listed(below, after, limit).await {
            Err(Failure::Lost(Cause::Oversized)) if limit > ALWAYS_FIT => self.listed(below, after, ALWAYS_FIT).await,
            listed => listed,
        }
        .map_err(|failure| self.probe_error(failure))
    }

    async fn listed(&self, below: &str, after: Option<&str>, limit: usize) -> Result<NamePage, Failure> {
        let folder = &self.site.folder;
        let path = format!("{}/metadata/{}", folder.mount(), folder.below(below)).trim_end_matches('/').to_owned();
        let request = Request {
            query: Some(listing(after, limit)),
            // A standby that is behind would not name what was written last.
            of_active: true,
            is_listing: true,
            ..Request::get(path)
        };
        let listed = match self.vault.session.send(request).await {
            Ok(answer) => answer::listed::<Keys>(answer.status, &answer.body),
            Err(failure) => Err(failure),
        };
        let mut keys = match listed {
            Ok(Keys { keys }) => keys,
            Err(Failure::Missing) => Vec::new(),
            Err(failure) => return Err(failure),
        };
        // A server that lists everything at once does so again: what was had before is dropped.
        keys.retain(|key| after.is_none_or(|after| key.as_str() > after));
        let next = if keys.len() == limit { keys.last().cloned() } else { None };
        // Right below the prefix lies whose the folder is.
        keys.retain(|key| !below.is_empty() || key != ledger::NAME);
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
