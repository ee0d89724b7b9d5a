//! Rows, as the ledger has them and as authentication tries them.

use std::sync::Arc;
use std::time::SystemTime;

use super::revision::Revision;
use crate::credential::CredentialKey;
use crate::store::CredentialSecrets;

/// An active credential, as far as its secret is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Whose it is.
    pub key: CredentialKey,
    /// Its records. None where the columns cannot be read: such a row authenticates nobody and fails the login, and a
    /// rotation mends it.
    pub secrets: Option<CredentialSecrets>,
    /// The write that these columns are of; none in a row from before the column. A write by hand that leaves it as it was is
    /// not seen: where there are such writers, a trigger gives a fresh one.
    pub revision: Option<Revision>,
    /// When it ends by itself.
    pub expires_at: Option<SystemTime>,
    /// Whether nobody has used the secret yet, and a retried request may still replace it.
    pub is_unused: bool,
}

impl Row {
    /// A row without an end, whose secret counts as used.
    #[must_use]
    pub fn new(key: CredentialKey, secrets: Option<CredentialSecrets>, revision: Option<Revision>) -> Self {
        Self { key, secrets, revision, expires_at: None, is_unused: false }
    }

    /// Sets when it ends by itself.
    #[must_use]
    pub fn expiring(mut self, at: Option<SystemTime>) -> Self {
        self.expires_at = at;
        self
    }

    /// Sets whether a retried request may still replace the secret.
    #[must_use]
    pub fn unused(mut self, is_unused: bool) -> Self {
        self.is_unused = is_unused;
        self
    }
}

/// Whether a credential counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth")]
pub enum State {
    /// There is no row.
    #[default]
    Absent,
    /// It may authenticate. Whether it has expired does not matter here.
    Active(Box<Row>),
    /// It never will again.
    Ended,
}

impl State {
    /// The row of an active credential.
    #[must_use]
    pub fn active(&self) -> Option<&Row> {
        match self {
            Self::Active(row) => Some(row),
            Self::Absent | Self::Ended => None,
        }
    }
}

/// How current the rows have to be that authentication asks for. A ledger without rows in memory reads for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a ledger must serve each of them")]
pub enum Freshness {
    /// Rows in memory will do.
    Cached,
    /// Only a read that began after these rows were read or served.
    After(AsOf),
    /// Only a read that begins now.
    Latest,
}

/// A moment in the life of a client's rows, as a ledger with rows in memory counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "ledgers make it")]
pub struct AsOf {
    /// Which changes are in the rows.
    pub changes: u64,
    /// How many reads had begun by then.
    pub reads: u64,
}

/// The rows of a client, and how current they are.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "ledgers make it")]
pub struct ClientRows {
    /// The client; none when there is no such one.
    pub known: Option<Arc<Known>>,
    /// Up to when changes are in them.
    pub as_of: AsOf,
    /// Whether they were in memory already, or are a read replica's, so that the database may have newer ones.
    pub from_memory: bool,
}

impl ClientRows {
    /// Rows that were read for this call.
    #[must_use]
    pub fn read(known: Option<Known>) -> Self {
        Self { known: known.map(Arc::new), as_of: AsOf::default(), from_memory: false }
    }

    /// Rows that the database may have newer ones of, such as those of a read replica: they are read again before they refuse anybody.
    /// Only for [`Freshness::Cached`].
    #[must_use]
    pub fn behind(known: Option<Known>) -> Self {
        Self { from_memory: true, ..Self::read(known) }
    }
}

/// A client and its active rows, ready to be tried: made once from what was read, and shared by all requests that find it in
/// memory. So nothing is in it twice.
#[derive(Debug)]
pub struct Known {
    may_authenticate: bool,
    epoch: i64,
    /// The rows that can be tried.
    candidates: Box<[(CredentialKey, CredentialSecrets)]>,
    /// What else they hold, at the same places.
    rests: Box<[Rest]>,
    /// Those that cannot be read, and when they end.
    damaged: Box<[(CredentialKey, Option<SystemTime>)]>,
}

/// What a row holds beside its records.
#[derive(Clone, Copy, Debug)]
struct Rest {
    revision: Option<Revision>,
    expires_at: Option<SystemTime>,
    is_unused: bool,
}

impl Known {
    /// A client; `may_authenticate` is false while its owner is suspended. The order of the rows is the order in which they are
    /// tried.
    #[must_use]
    pub fn new(may_authenticate: bool, rows: Vec<Row>) -> Self {
        let (mut candidates, mut rests, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
        for Row { key, secrets, revision, expires_at, is_unused } in rows {
            match secrets {
                Some(secrets) => {
                    candidates.push((key, secrets));
                    rests.push(Rest { revision, expires_at, is_unused });
                }
                None => damaged.push((key, expires_at)),
            }
        }
        Self { may_authenticate, epoch: 0, candidates: candidates.into(), rests: rests.into(), damaged: damaged.into() }
    }

    /// Sets the owner's epoch, which the caller moves on when what it has issued to the owner is to end. A proof counts only by
    /// rows of the same one. Default 0.
    #[must_use]
    pub fn in_epoch(mut self, epoch: i64) -> Self {
        self.epoch = epoch;
        self
    }

    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether the owner is active.
    #[must_use]
    pub fn may_authenticate(&self) -> bool {
        self.may_authenticate
    }

    /// How many rows there are, with those that cannot be read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.candidates.len() + self.damaged.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same without the rows that have expired by now.
    #[must_use]
    pub fn unexpired(self: Arc<Self>, now: SystemTime) -> Arc<Self> {
        let lives = |expires_at: Option<SystemTime>| expires_at.is_none_or(|end| end > now);
        let mut ends = self.rests.iter().map(|rest| rest.expires_at).chain(self.damaged.iter().map(|(_, end)| *end));
        if ends.all(lives) {
            return self;
        }
        let kept = self.candidates.iter().zip(&self.rests).filter(|(_, rest)| lives(rest.expires_at));
        let (candidates, rests): (Vec<_>, Vec<_>) = kept.map(|(candidate, rest)| (candidate.clone(), *rest)).unzip();
        Arc::new(Self {
            may_authenticate: self.may_authenticate,
            epoch: self.epoch,
            candidates: candidates.into(),
            rests: rests.into(),
            damaged: self.damaged.iter().filter(|(_, end)| lives(*end)).cloned().collect(),
        })
    }

    /// The rows; those that cannot be read come last.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let damaged = |(key, end): &(CredentialKey, _)| Row::new(key.clone(), None, None).expiring(*end);
        let readable = (0..self.candidates.len()).filter_map(|candidate| self.row(candidate));
        readable.chain(self.damaged.iter().map(damaged)).collect()
    }

    /// What to verify a secret against.
    #[must_use]
    pub fn candidates(&self) -> &[(CredentialKey, CredentialSecrets)] {
        &self.candidates
    }

    pub(super) fn key(&self, candidate: usize) -> Option<&CredentialKey> {
        self.candidates.get(candidate).map(|(key, _)| key)
    }

    pub(super) fn revision(&self, candidate: usize) -> Option<Revision> {
        self.rests.get(candidate)?.revision
    }

    pub(super) fn expires_at(&self, candidate: usize) -> Option<SystemTime> {
        self.rests.get(candidate)?.expires_at
    }

    pub(super) fn previous_ends_at(&self, candidate: usize) -> Option<SystemTime> {
        Some(self.candidates.get(candidate)?.1.previous.as_ref()?.valid_until)
    }

    pub(super) fn is_unused(&self, candidate: usize) -> bool {
        self.rests.get(candidate).is_some_and(|rest| rest.is_unused)
    }

    /// The whole row.
    pub(super) fn row(&self, candidate: usize) -> Option<Row> {
        let ((key, secrets), rest) = (self.candidates.get(candidate)?, self.rests.get(candidate)?);
        let row = Row::new(key.clone(), Some(secrets.clone()), rest.revision);
        Some(row.expiring(rest.expires_at).unused(rest.is_unused))
    }

    /// Whether a row that nobody can read is among them.
    pub(super) fn is_damaged(&self) -> bool {
        !self.damaged.is_empty()
    }

    /// Whether one of the rows has the same records here as in `proved`: then a proof of its secret there is one here. A selector may
    /// have come since, and a first use may have been noted.
    pub(super) fn vouches_for(&self, proved: &Self, candidate: usize) -> bool {
        let Some((key, secrets)) = proved.candidates.get(candidate) else { return false };
        self.candidates
            .iter()
            .any(|(other, now)| other == key && now.current == secrets.current && now.previous == secrets.previous)
    }
}
