//! The moments that the database and Vault are from, as the counters on both sides tell them.

use std::fmt;
use std::time::{Duration, SystemTime};

use agentidp_secrets::folder::{Comparison, Disagreement, Judgement};
use agentidp_secrets::vault::ledger::LedgerEntry;
use uuid::Uuid;

use crate::domain::Timestamp;

/// How the two sides stand to each other.
pub(super) struct Moments {
    judgement: Judgement,
    database: (u64, Option<Timestamp>),
    vault: Option<(u64, Option<Timestamp>)>,
}

impl Moments {
    pub(super) fn of(found: &Comparison) -> Self {
        let row = &found.row;
        let counter = match &found.entry {
            LedgerEntry::Live { counters, .. } => counters.get(&row.identity),
            _ => None,
        };
        let vault = counter.map(|known| (known.counter, made_at(&known.mark)));
        Self { judgement: found.judgement, database: (row.counter, row.mark.as_deref().and_then(made_at)), vault }
    }

    pub(super) fn agree(&self) -> bool {
        !matches!(self.judgement, Judgement::Disagrees(_))
    }

    /// Whether what was revoked may count again: not where it is only Vault that is older.
    pub(super) fn revives(&self) -> bool {
        !self.agree() && self.judgement != Judgement::Disagrees(Disagreement::EntryOlder)
    }

    /// Since when changes may be missing in the database.
    pub(super) fn database(&self) -> Option<Timestamp> {
        self.database.1
    }

    /// Until when servers have written what is missing in the database, at the least.
    pub(super) fn vault(&self) -> Option<Timestamp> {
        self.vault?.1
    }
}

/// Marks were random before they said when they were made.
fn made_at(mark: &str) -> Option<Timestamp> {
    let (seconds, nanos) = mark.parse::<Uuid>().ok()?.get_timestamp()?.to_unix();
    Some((SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)).into())
}

impl fmt::Display for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |(counter, at): (u64, Option<Timestamp>)| match at {
            Some(at) => format!("counter {counter}, of {at}"),
            None => format!("counter {counter}"),
        };
        writeln!(f, "the database: {}", side(self.database))?;
        match self.vault {
            Some(vault) => writeln!(f, "Vault: {}", side(vault))?,
            None => writeln!(f, "Vault: no counter of this database")?,
        }
        match self.judgement {
            Judgement::Disagrees(Disagreement::EntryNewer) => f.write_str(
                "The database is older than Vault. What was issued, rotated or revoked since is not in it: the lines say which.",
            ),
            Judgement::Disagrees(Disagreement::EntryOlder) => f.write_str(
                "Vault is older than the database. What was issued or rotated since is not in it: the lines say which.",
            ),
            Judgement::Disagrees(disagreement) => write!(f, "They disagree: {disagreement}."),
            _ => f.write_str("They agree."),
        }
    }
}
