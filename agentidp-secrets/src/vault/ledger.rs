//! The entry that says whose a folder is: one counter for each ledger (database) that may delete in it.
//!
//! A database that advances its own counter by compare-and-set, and finds it where it left it, is the only one that
//! does. A copy, an older state of either side or another database finds something else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure::Failure;
use super::kv::{KvEntry, KvValue, answer};
use super::kv2::VaultKv2;
use super::path::Written;
use super::rights::Right;
use crate::error::Result;

/// The name of the entry below the prefix. Credentials lie at least one folder deeper, so none can have it.
pub(super) const NAME: &str = "ledger";

/// What the folder's ledger entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LedgerEntry {
    /// There is no entry: no ledger has claimed the folder.
    Absent,
    /// The latest version, with a counter for each admitted ledger.
    Live {
        /// The version, which the next write names.
        version: u64,
        /// The counters by the ledger's identity.
        counters: BTreeMap<String, LedgerCounter>,
    },
    /// The latest version was deleted or destroyed.
    Deleted {
        /// The version, which the next write names.
        version: u64,
    },
    /// The latest version holds something else.
    Unreadable {
        /// The version, which the next write names.
        version: u64,
    },
}

impl LedgerEntry {
    /// The version that the next write has to name: 0 where there is no entry.
    #[must_use]
    pub fn version(&self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Live { version, .. } | Self::Deleted { version } | Self::Unreadable { version } => *version,
        }
    }
}

/// How far one ledger has counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "data, written as it is")]
pub struct LedgerCounter {
    /// How often the ledger has advanced it.
    pub counter: u64,
    /// A random text that belongs to this value: two ledgers that count to the same number have different ones.
    pub mark: String,
}

#[derive(Deserialize)]
struct Counters {
    ledgers: BTreeMap<String, LedgerCounter>,
}

#[derive(Deserialize)]
struct Envelope {
    data: Document,
}

#[derive(Deserialize)]
struct Document {
    data: Value,
}

impl VaultKv2 {
    /// Reads the folder's ledger entry from the active node. The [policy](Self::policy) allows it.
    ///
    /// # Errors
    /// `Unavailable` when Vault cannot be reached; `Denied` and `InvalidConfig` as `verify`.
    pub async fn ledger_entry(&self) -> Result<LedgerEntry> {
        self.read_ledger().await.map_err(|failure| self.probe_error(failure))
    }

    /// Writes the ledger entry if its latest version is `version` (0: if there is none), and returns the new version.
    ///
    /// # Errors
    /// `Conflict` when the entry has another version, and other counters than these; `Unavailable` when Vault cannot be
    /// reached, or its answer was lost: then the entry says whether it was written. `Denied` and `InvalidConfig` as `store`.
    pub async fn write_ledger_entry(&self, counters: &BTreeMap<String, LedgerCounter>, version: u64) -> Result<u64> {
        let written = match self.write_ledger(counters, version).await {
            Err(Failure::Conflict) => match self.read_ledger().await {
                // An attempt whose answer was lost was sent again: the first one was carried out.
                Ok(LedgerEntry::Live { version: found, counters: held })
                    if found == version + 1 && held == *counters =>
                {
                    Ok(found)
                }
                // A standby judges by the state that it has, which may be a moment old. By now it is not.
                Ok(entry) if entry.version() == version => self.write_ledger(counters, version).await,
                _ => Err(Failure::Conflict),
            },
            decided => decided,
        };
        written.map_err(|failure| self.probe_error(failure))
    }

    async fn write_ledger(
        &self,
        counters: &BTreeMap<String, LedgerCounter>,
        version: u64,
    ) -> std::result::Result<u64, Failure> {
        let (mount, data) = (self.site.folder.mount(), json!({ "ledgers": counters }));
        let answer = self.vault.write_document(mount, &self.ledger_path(), data, version).await?;
        let right = if version == 0 { Right::Create } else { Right::Update };
        answer::written(answer.status, &answer.body, right).map(|written| written.version)
    }

    async fn read_ledger(&self) -> std::result::Result<LedgerEntry, Failure> {
        let answer = self.vault.read_document(self.site.folder.mount(), &self.ledger_path()).await?;
        match answer::entry(answer.status, &answer.body, None, &self.site.member) {
            Ok(KvEntry { written: Written { version, .. }, value }) => Ok(match value {
                KvValue::Deleted | KvValue::Destroyed => LedgerEntry::Deleted { version },
                KvValue::Secret(_) | KvValue::Unreadable => match parse(&answer.body) {
                    Some(counters) => LedgerEntry::Live { version, counters },
                    None => LedgerEntry::Unreadable { version },
                },
            }),
            Err(Failure::Missing) => Ok(LedgerEntry::Absent),
            Err(failure) => Err(failure),
        }
    }

    fn ledger_path(&self) -> String {
        self.site.folder.below(NAME)
    }
}

fn parse(body: &[u8]) -> Option<BTreeMap<String, LedgerCounter>> {
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    serde_json::from_value::<Counters>(envelope.data.data).ok().map(|counters| counters.ledgers)
}
