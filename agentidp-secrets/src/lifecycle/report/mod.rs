//! What there is: each active credential, with who keeps its secrets and when they were last proved.

mod summary;

use std::time::SystemTime;

pub use self::summary::{Counts, SecretKind, Summary};
use super::ledger::Ledger;
use super::rows::Row;
use super::usage::Usage;
use super::{Failure, Lifecycle};
use crate::credential::CredentialKey;
use crate::error::Operation;
use crate::record::BackendId;
use crate::store::{Generation, SecretStore};

/// Credentials of one read.
const PAGE: usize = 1000;

/// An active credential, for a report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reported {
    /// Its row.
    pub row: Row,
    /// When its secrets were last proved. Nothing without [`Lifecycle::with_usage`].
    pub usage: Usage,
    /// When it was made, where the ledger knows it. Nothing without [`Lifecycle::with_usage`].
    pub created_at: Option<SystemTime>,
    read_at: SystemTime,
    current: Option<Made>,
    previous: Option<Made>,
}

/// How a record was made.
#[derive(Clone, Debug)]
struct Made {
    by: BackendId,
    with: Option<String>,
}

impl Reported {
    fn of(
        row: Row,
        (usage, created_at): (Usage, Option<SystemTime>),
        read_at: SystemTime,
        store: &SecretStore,
    ) -> Self {
        let made = |generation| {
            let record = row.secrets.as_ref()?.record(generation)?;
            Some(match store.claim(Operation::Verify, record) {
                Ok((backend, record)) => {
                    Made { by: backend.info().id.clone(), with: backend.info().parameters(&record) }
                }
                Err(_) => Made { by: record.seems_of(), with: None },
            })
        };
        let [current, previous] = [Generation::Current, Generation::Previous].map(made);
        Self { row, usage, created_at, read_at, current, previous }
    }

    /// What keeps its secret; none where the row cannot be read.
    #[must_use]
    pub fn backend(&self) -> Option<&BackendId> {
        self.backend_of(Generation::Current)
    }

    /// What keeps one of its secrets that count; none where there is none in the row.
    #[must_use]
    pub fn backend_of(&self, generation: Generation) -> Option<&BackendId> {
        self.counting(generation).map(|made| &made.by)
    }

    /// How the record of one of its secrets was made, such as `cost=10`; none where its backend does not tell.
    #[must_use]
    pub fn parameters_of(&self, generation: Generation) -> Option<&str> {
        self.counting(generation)?.with.as_deref()
    }

    /// Whether a secret of its client is refused as soon as this backend is gone: the current one, or the previous one while that
    /// counts.
    #[must_use]
    pub fn needs(&self, backend: &BackendId) -> bool {
        [self.backend(), self.previous_backend()].contains(&Some(backend))
    }

    /// What keeps its previous secret, while that counts.
    #[must_use]
    pub fn previous_backend(&self) -> Option<&BackendId> {
        self.backend_of(Generation::Previous)
    }

    /// Until when its previous secret counts; none where it does not.
    #[must_use]
    pub fn previous_until(&self) -> Option<SystemTime> {
        let previous = self.row.secrets.as_ref()?.previous.as_ref()?;
        Some(previous.valid_until).filter(|until| *until > self.read_at)
    }

    /// When its client was last seen: when any of its secrets was last proved, also one that does not count any more.
    #[must_use]
    pub fn last_seen_at(&self) -> Option<SystemTime> {
        self.usage.last_used_at.max(self.usage.previous_last_used_at)
    }

    /// Since when its client has not been seen: since it was [last seen](Self::last_seen_at), or since its current secret was made. None
    /// where nothing is known of either.
    #[must_use]
    pub fn unseen_since(&self) -> Option<SystemTime> {
        self.last_seen_at().max(self.secret_made_at())
    }

    /// When its current secret was made: by a rotation, or with the credential. None where that is not known.
    #[must_use]
    pub fn secret_made_at(&self) -> Option<SystemTime> {
        self.usage.since.max(self.created_at)
    }

    /// What keeps one of its secrets, or kept it: the time of the previous one may be over.
    pub(super) fn owner_of(&self, generation: Generation) -> Option<&BackendId> {
        self.made(generation).map(|made| &made.by)
    }

    fn counting(&self, generation: Generation) -> Option<&Made> {
        if generation == Generation::Previous {
            self.previous_until()?;
        }
        self.made(generation)
    }

    fn made(&self, generation: Generation) -> Option<&Made> {
        match generation {
            Generation::Current => self.current.as_ref(),
            Generation::Previous => self.previous.as_ref(),
        }
    }
}

impl<L: Ledger> Lifecycle<L> {
    /// Tells `tell` of each active credential, expired ones too, in the order of the ledger's pages; how many there are. Only a page of
    /// them is in memory at a time, and each is as it was when its page was read.
    ///
    /// Which clients fail when a backend is switched off, and since when has nobody seen them?
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use agentidp_secrets::backends::Memory;
    /// use agentidp_secrets::lifecycle::{Lifecycle, MemoryLedger};
    /// use agentidp_secrets::{BackendId, CredentialKey, SecretStore};
    ///
    /// let store = SecretStore::builder(Memory::new()).build()?;
    /// let life = Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task))).with_usage();
    /// life.issue(&CredentialKey::parse("agent-7", "credential-1")?, ()).await?;
    /// let mut fail = Vec::new();
    /// let all = life
    ///     .report(&mut |reported| {
    ///         if reported.needs(&BackendId::MEMORY) {
    ///             fail.push((reported.row.key.clone(), reported.usage.last_used_at));
    ///         }
    ///     })
    ///     .await?;
    /// assert_eq!((all, fail.len(), fail[0].1), (1, 1, None));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Failure::Ledger`]; what was told until then is true.
    pub async fn report(&self, tell: &mut (dyn FnMut(&Reported) + Send)) -> Result<u64, Failure<L::Error>> {
        let (mut after, mut told) = (None, 0);
        loop {
            let page = self.reported_page(after.as_ref()).await?;
            let Some(last) = page.last() else { return Ok(told) };
            after = Some(last.row.key.clone());
            for reported in &page {
                tell(reported);
                told += 1;
            }
        }
    }

    /// The next credentials of a report; none after the last.
    pub(super) async fn reported_page(
        &self,
        after: Option<&CredentialKey>,
    ) -> Result<Vec<Reported>, Failure<L::Error>> {
        let rows = self.0.ledger.page(after, PAGE).await.map_err(Failure::Ledger)?;
        let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
        let (usages, created) = (self.usages(&keys).await?, self.created(&keys).await?);
        let (store, now) = (&self.0.store, self.0.store.now());
        let known = usages.into_iter().zip(created);
        Ok(rows.into_iter().zip(known).map(|(row, known)| Reported::of(row, known, now, store)).collect())
    }
}

#[cfg(test)]
#[cfg(feature = "bcrypt")]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::backends::{Bcrypt, Memory};
    use crate::lifecycle::{Decision, MemoryLedger};
    use crate::store::SecretStore;

    #[tokio::test]
    async fn each_credential_is_told_once_with_who_keeps_it_and_its_last_use() {
        let (ledger, memory) = (MemoryLedger::new(), Arc::new(Memory::new()));
        let spawn = |task| drop(tokio::spawn(task));
        let old = SecretStore::builder(Arc::clone(&memory)).build().unwrap();
        let old = Lifecycle::new(old, ledger.clone(), spawn).with_usage();
        let key = |number: u32| CredentialKey::parse("client", &format!("{number:05}")).unwrap();
        for number in 0..2_001 {
            old.issue(&key(number), ()).await.unwrap();
        }
        let bcrypt = Bcrypt::builder().build().unwrap();
        let store = SecretStore::builder(bcrypt).accepts(Arc::clone(&memory)).build().unwrap();
        let new = Lifecycle::new(store, ledger, spawn).with_upgrades(false).with_usage();
        let moved = new.rotate(&key(7), Duration::from_secs(60), ()).await.unwrap();
        let proved = new.authenticate(key(7).client_id(), &moved.secret).await.unwrap();
        assert!(matches!(proved, Decision::Proved(_)));
        old.end(&key(8), ()).await.unwrap();

        let mut told = Vec::new();
        let count = new.report(&mut |reported| told.push(reported.clone())).await.unwrap();
        assert_eq!((count, told.len()), (2_000, 2_000));
        assert!(told.windows(2).all(|pair| pair[0].row.key < pair[1].row.key), "each once");
        assert!(told.iter().all(|reported| reported.row.key != key(8)), "what has ended is none");
        let in_memory = told.iter().filter(|reported| reported.needs(&BackendId::MEMORY)).count();
        assert_eq!(in_memory, 2_000, "with the one whose previous secret lies there");
        let seven = told.iter().find(|reported| reported.row.key == key(7)).unwrap();
        assert_eq!(seven.backend(), Some(&BackendId::BCRYPT));
        assert_eq!(seven.previous_backend(), Some(&BackendId::MEMORY));
        assert!(seven.usage.last_used_at.is_some() && seven.usage.previous_last_used_at.is_none());
        assert!(told[0].usage.last_used_at.is_none());
        assert_eq!(seven.parameters_of(Generation::Current), Some("cost=10"));
        assert_eq!(seven.parameters_of(Generation::Previous), None, "a memory has none");

        let mut summary = Summary::at(new.store().now());
        told.iter().for_each(|reported| summary.add(reported));
        let kinds: Vec<_> = summary.kinds().collect();
        let of = |backend: &BackendId, is_previous: bool| {
            let is_it = |kind: &SecretKind| kind.backend.as_ref() == Some(backend) && kind.is_previous == is_previous;
            *kinds.iter().find(|(kind, _)| is_it(kind)).unwrap().1
        };
        assert_eq!(kinds.len(), 3, "{kinds:?}");
        let digest = of(&BackendId::BCRYPT, false);
        assert_eq!((digest.secrets, digest.used_in_a_day, digest.used_in_30_days, digest.never_used), (1, 1, 1, 0));
        assert_eq!((digest.rotated_in_90_days, digest.never_rotated, digest.ending_in_7_days), (1, 0, 0));
        let previous = of(&BackendId::MEMORY, true);
        assert_eq!((previous.secrets, previous.never_used, previous.ending_in_7_days), (1, 1, 1));
        let rest = of(&BackendId::MEMORY, false);
        assert_eq!((rest.secrets, rest.never_used, rest.never_rotated, rest.expired), (1_999, 1_999, 1_999, 0));
    }
}
