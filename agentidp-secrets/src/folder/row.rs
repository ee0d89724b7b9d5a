//! This database's side of a folder's ledger entry.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Builder;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};

/// What this database knows of its counter in a folder. Keep it as [text](Self::to_text), or as four columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_structs, reason = "a database may keep it as columns")]
pub struct FolderRow {
    /// What the entry knows this database by: the text of a UUID.
    pub identity: String,
    /// What the entry is known to hold; 0 until this database has claimed the folder.
    pub counter: u64,
    /// The mark of that value: the text of a UUID, which says when it was made (version 7, RFC 9562 §5.7).
    pub mark: Option<String>,
    /// The mark of the next value, from before it is written to the entry until it is known to be there.
    pub next_mark: Option<String>,
}

/// Where the caller's database keeps its [`FolderRow`]s: a table with a folder and a text.
///
/// ```sql
/// CREATE TABLE folders (folder text PRIMARY KEY, ledger text NOT NULL);
/// ```
///
/// Restored and copied with the tables of the [`Ledger`](crate::lifecycle::Ledger), it has to be in the same database: the point is
/// that it tells what has become of them. Run `testkit::check_folder_rows` over an implementation.
#[async_trait]
pub trait FolderRows: Send + Sync + 'static {
    /// What the database fails with.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The folder's row, if there is one, as it was last committed: from no replica that may lag behind.
    ///
    /// # Errors
    /// Those of the database.
    async fn find(&self, folder: &str) -> Result<Option<FolderRow>, Self::Error>;

    /// Puts `after` in place of `before`, and commits: one `UPDATE … WHERE folder = … AND ledger = …`, or, where `before` is `None`, one
    /// `INSERT … ON CONFLICT DO NOTHING`. Says whether it did; false where the row was another one.
    ///
    /// # Errors
    /// Those of the database. Whether the change was carried out then need not be known.
    async fn swap(&self, folder: &str, before: Option<&FolderRow>, after: &FolderRow) -> Result<bool, Self::Error>;
}

impl FolderRow {
    /// Of a database that has claimed nothing yet.
    pub(super) fn new(clock: &dyn Clock) -> Result<Self> {
        Ok(Self { identity: mark(clock)?, counter: 0, mark: None, next_mark: None })
    }

    /// With the noted value held.
    pub(super) fn settled(&self) -> Self {
        Self { counter: self.counter + 1, mark: self.next_mark.clone(), next_mark: None, ..self.clone() }
    }

    /// The row as text: JSON of under 300 bytes. Nothing in it is secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        // A map with text keys always has a text.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the text, as it was written and not just one that means the same: it is replaced by a comparison of texts.
    ///
    /// # Errors
    /// `Malformed` when it is no row's.
    pub fn parse(text: &str) -> Result<Self> {
        let row: Option<Self> = serde_json::from_str(text).ok();
        row.filter(|row| row.to_text() == text).ok_or_else(|| {
            Error::new(ErrorKind::Malformed, "the row of a folder in Vault cannot be read: find out what wrote it")
        })
    }
}

/// Random, and says when it was made: after a restore it tells what moment a side is from.
pub(super) fn mark(clock: &dyn Clock) -> Result<String> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)
        .map_err(|_| Error::new(ErrorKind::Internal, "the operating system gave no randomness for a mark"))?;
    let since = clock.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Ok(Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_row_is_one_text() {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let new = FolderRow::new(&clock).unwrap();
        let noted = FolderRow { next_mark: Some(mark(&clock).unwrap()), ..new.clone() };
        for row in [new, noted.clone(), noted.settled()] {
            assert_eq!(FolderRow::parse(&row.to_text()).unwrap(), row);
            assert!(row.to_text().len() < 300);
        }
        let spaced = noted.to_text().replace(',', ", ");
        let later = noted.to_text().replace('}', ",\"more\":1}");
        for other in ["", "{}", &spaced, &later] {
            assert_eq!(FolderRow::parse(other).unwrap_err().kind(), ErrorKind::Malformed, "{other}");
        }
    }

    #[test]
    fn a_mark_is_random_and_says_when_it_was_made() {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let (one, other) = (mark(&clock).unwrap(), mark(&clock).unwrap());
        assert_ne!(one, other);
        assert_eq!(one.parse::<uuid::Uuid>().unwrap().get_version_num(), 7);
        assert_eq!(&one[..13], "018bcfe5-6800", "{one}"); // milliseconds, in hexadecimal
    }
}
