//! The row against the entry: the whole decision, without any I/O.

use std::fmt;

use super::row::FolderRow;
use crate::vault::ledger::LedgerEntry;

/// What a row and an entry that were read together say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each judgement")]
pub enum Judgement {
    /// No database has claimed the folder, and this one never had.
    Unclaimed,
    /// The entry holds what the row holds.
    Current,
    /// The entry holds the value that the row noted as the next one.
    Advanced,
    /// Anything else.
    Disagrees(Disagreement),
}

/// A row and an entry that were read together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// The database's row; with an identity of its own at 0 where there is none yet.
    pub row: FolderRow,
    /// The entry in Vault.
    pub entry: LedgerEntry,
    /// What they say together.
    pub judgement: Judgement,
}

impl Comparison {
    /// How many other databases the entry admits.
    #[must_use]
    pub fn others(&self) -> usize {
        let own = &self.row.identity;
        match &self.entry {
            LedgerEntry::Live { counters, .. } => counters.keys().filter(|identity| *identity != own).count(),
            _ => 0,
        }
    }
}

/// Why a database and its folder disagree. `Display` says what may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the states of an entry")]
pub enum Disagreement {
    /// The entry names other databases only.
    NotAdmitted,
    /// This database has claimed the folder, and there is no entry.
    EntryMissing,
    /// The entry was deleted or destroyed.
    EntryDeleted,
    /// The entry holds something that is no counter.
    EntryUnreadable,
    /// The entry's counter is behind this database's.
    EntryOlder,
    /// The entry's counter is ahead of this database's.
    EntryNewer,
    /// The counters are equal and the marks are not.
    OtherMark,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAdmitted => "the folder in Vault belongs to another database",
            Self::EntryMissing => "the folder's ledger entry is missing although this database has claimed the folder",
            Self::EntryDeleted => "the folder's ledger entry was deleted in Vault",
            Self::EntryUnreadable => "the folder's ledger entry in Vault cannot be read",
            Self::EntryOlder => "the folder's ledger entry is older than this database: Vault was restored, perhaps",
            Self::EntryNewer => {
                "the folder's ledger entry is newer than this database: the database was restored, or is a copy"
            }
            Self::OtherMark => {
                "the folder's ledger entry has a mark that is not this database's: a copy of this database advanced it"
            }
        })
    }
}

/// Compares the row of a folder with the folder's entry.
#[must_use]
pub fn judge(row: &FolderRow, entry: &LedgerEntry) -> Judgement {
    let counters = match entry {
        LedgerEntry::Live { counters, .. } => counters,
        LedgerEntry::Absent if row.counter == 0 => return Judgement::Unclaimed,
        LedgerEntry::Absent => return Judgement::Disagrees(Disagreement::EntryMissing),
        LedgerEntry::Deleted { .. } => return Judgement::Disagrees(Disagreement::EntryDeleted),
        _ => return Judgement::Disagrees(Disagreement::EntryUnreadable),
    };
    let Some(found) = counters.get(&row.identity) else {
        return Judgement::Disagrees(Disagreement::NotAdmitted);
    };
    let has = |mark: &Option<String>| mark.as_ref() == Some(&found.mark);
    if found.counter == row.counter && has(&row.mark) {
        Judgement::Current
    } else if found.counter == row.counter.saturating_add(1) && has(&row.next_mark) {
        Judgement::Advanced
    } else {
        Judgement::Disagrees(match found.counter.cmp(&row.counter) {
            std::cmp::Ordering::Less => Disagreement::EntryOlder,
            std::cmp::Ordering::Equal => Disagreement::OtherMark,
            std::cmp::Ordering::Greater => Disagreement::EntryNewer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::ledger::LedgerCounter;

    fn id(number: u128) -> String {
        number.to_string()
    }

    /// The row of database 1, at 5 with mark 50, with or without mark 60 noted for 6.
    fn row(next_mark: Option<String>) -> FolderRow {
        FolderRow { identity: id(1), counter: 5, mark: Some(id(50)), next_mark }
    }

    fn entry(counters: &[(u128, u64, u128)]) -> LedgerEntry {
        let counter =
            |&(ledger, counter, mark): &(u128, u64, u128)| (id(ledger), LedgerCounter { counter, mark: id(mark) });
        LedgerEntry::Live { version: 9, counters: counters.iter().map(counter).collect() }
    }

    #[test]
    fn only_the_held_and_the_noted_value_agree() {
        let (idle, noted) = (row(None), row(Some(id(60))));
        let others = |of_us: (u128, u64, u128)| entry(&[(2, 77, 7), of_us]);
        let disagrees = Judgement::Disagrees;
        let table = [
            (&idle, others((1, 5, 50)), Judgement::Current),
            (&noted, others((1, 5, 50)), Judgement::Current),
            (&noted, others((1, 6, 60)), Judgement::Advanced),
            (&idle, others((1, 6, 60)), disagrees(Disagreement::EntryNewer)),
            (&noted, others((1, 6, 61)), disagrees(Disagreement::EntryNewer)),
            (&noted, others((1, 7, 60)), disagrees(Disagreement::EntryNewer)),
            (&noted, others((1, 5, 51)), disagrees(Disagreement::OtherMark)),
            (&noted, others((1, 5, 60)), disagrees(Disagreement::OtherMark)),
            (&noted, others((1, 4, 50)), disagrees(Disagreement::EntryOlder)),
            (&noted, entry(&[(2, 5, 50)]), disagrees(Disagreement::NotAdmitted)),
            (&noted, entry(&[]), disagrees(Disagreement::NotAdmitted)),
            (&noted, LedgerEntry::Absent, disagrees(Disagreement::EntryMissing)),
        ];
        for (row, entry, expected) in table {
            assert_eq!(judge(row, &entry), expected, "{row:?} {entry:?}");
        }
    }

    #[test]
    fn a_database_that_never_claimed_finds_nothing_or_what_it_noted() {
        let new = FolderRow { identity: id(1), counter: 0, mark: None, next_mark: Some(id(10)) };
        assert_eq!(judge(&new, &LedgerEntry::Absent), Judgement::Unclaimed);
        assert_eq!(judge(&new, &entry(&[(1, 1, 10)])), Judgement::Advanced);
        assert_eq!(judge(&new, &entry(&[(1, 1, 11)])), Judgement::Disagrees(Disagreement::EntryNewer));
        assert_eq!(judge(&new, &entry(&[(2, 1, 10)])), Judgement::Disagrees(Disagreement::NotAdmitted));
    }
}
