//! A note as text, for a ledger that keeps it in one column.
//!
//! One line each: `open KIND BASE ATTEMPT LEASE_UNTIL DIGESTS PLACE` and `debt KIND DUE CLAIMED_UNTIL ATTEMPTS DELETIONS PLACE`. Times are milliseconds
//! since 1970, digests are separated by commas, `-` is nothing.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use super::digest::SecretDigest;
use super::note::{Debt, DebtKind, Note, OpenWrite, OpenWriteKind};
use super::revision::Revision;
use crate::error::{Error, ErrorKind, Result};
use crate::record::StoredSecret;

const OPEN_WRITE_KINDS: [(OpenWriteKind, &str); 6] = [
    (OpenWriteKind::Create, "create"),
    (OpenWriteKind::Move, "move"),
    (OpenWriteKind::Rotate, "rotate"),
    (OpenWriteKind::Repair, "repair"),
    (OpenWriteKind::Pin, "pin"),
    (OpenWriteKind::Blank, "blank"),
];

const DEBT_KINDS: [(DebtKind, &str); 3] =
    [(DebtKind::Delete, "delete"), (DebtKind::Blank, "blank"), (DebtKind::Rest, "rest")];

impl Note {
    /// The note as text. Times lose what is below a millisecond.
    #[must_use]
    pub fn to_text(&self) -> String {
        let open = self.open.iter().map(|open| {
            let digests: Vec<_> = open.digests.iter().map(SecretDigest::as_str).collect();
            let digests = if digests.is_empty() { "-".to_owned() } else { digests.join(",") };
            let (kind, until, place) = (open.kind.as_str(), millis(open.lease_until), open.place.to_text());
            format!("open {kind} {} {} {until} {digests} {place}\n", open.base, open.attempt)
        });
        let debts = self.debts.iter().map(|debt| {
            let claimed = debt.claimed_until.map_or_else(|| "-".to_owned(), |until| millis(until).to_string());
            let (kind, due, place) = (debt.kind.as_str(), millis(debt.due), debt.place.to_text());
            format!("debt {kind} {due} {claimed} {} {} {place}\n", debt.attempts, debt.deletions)
        });
        open.chain(debts).collect()
    }

    /// Reads the form of [`to_text`](Self::to_text).
    ///
    /// # Errors
    /// `Malformed` when the text is anything else. The message does not repeat it.
    pub fn parse(text: &str) -> Result<Self> {
        let mut note = Self::default();
        for line in text.lines() {
            let words: Vec<_> = line.splitn(7, ' ').collect();
            match words[..] {
                ["open", kind, base, attempt, until, digests, place] if note.open.is_none() => {
                    let digests = digests.split(',').filter(|digest| *digest != "-").map(SecretDigest::parse);
                    note.open = Some(OpenWrite {
                        kind: OpenWriteKind::parse(kind).ok_or_else(malformed)?,
                        place: StoredSecret::parse(place)?,
                        base: number(base)?,
                        attempt: Revision::parse(attempt)?,
                        digests: digests.collect(),
                        lease_until: time(until)?,
                    });
                }
                ["debt", kind, due, claimed, attempts, deletions, place] => note.debts.push(Debt {
                    place: StoredSecret::parse(place)?,
                    kind: DebtKind::parse(kind).ok_or_else(malformed)?,
                    due: time(due)?,
                    claimed_until: if claimed == "-" { None } else { Some(time(claimed)?) },
                    attempts: number(attempts)?,
                    deletions: number(deletions)?,
                }),
                _ => return Err(malformed()),
            }
        }
        Ok(note)
    }
}

impl OpenWriteKind {
    /// The kind as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        OPEN_WRITE_KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    /// Reads the form of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        OPEN_WRITE_KINDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

impl DebtKind {
    /// The kind as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        DEBT_KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    /// Reads the form of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        DEBT_KINDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(text: &str) -> Result<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(number(text)?)).ok_or_else(malformed)
}

fn number<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| malformed())
}

fn malformed() -> Error {
    Error::new(ErrorKind::Malformed, "the note of a credential cannot be read: find out who wrote it")
}
