//! How many secrets there are of each kind.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::Reported;
use crate::record::BackendId;
use crate::store::Generation;

const DAY: Duration = Duration::from_secs(86_400);

/// How many secrets there are of each kind, from a [report](super::super::Lifecycle::report). It holds a count for each kind, however
/// many credentials there are.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::SystemTime;
///
/// use agentidp_secrets::backends::Bcrypt;
/// use agentidp_secrets::lifecycle::{Lifecycle, MemoryLedger, Summary};
/// use agentidp_secrets::{CredentialKey, SecretStore};
///
/// let store = SecretStore::builder(Bcrypt::builder().build()?).build()?;
/// let life = Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task))).with_usage();
/// life.issue(&CredentialKey::parse("agent-7", "credential-1")?, ()).await?;
/// let mut summary = Summary::at(SystemTime::UNIX_EPOCH);
/// life.report(&mut |reported| summary.add(reported)).await?;
/// let (kind, counts) = summary.kinds().next().expect("one kind");
/// assert_eq!(kind.parameters.as_deref(), Some("cost=10"));
/// assert_eq!((counts.secrets, counts.never_used), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Summary {
    now: SystemTime,
    kinds: BTreeMap<SecretKind, Counts>,
}

/// What the secrets of one count have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct SecretKind {
    /// What keeps them; none where the row cannot be read.
    pub backend: Option<BackendId>,
    /// How their records were made, such as `cost=10`.
    pub parameters: Option<String>,
    /// Whether they are previous secrets, within their overlap.
    pub is_previous: bool,
}

/// Secrets of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All of them.
    pub secrets: u64,
    /// Proved within the last 24 hours.
    pub used_in_a_day: u64,
    /// Proved within the last 30 days, those of the last day too.
    pub used_in_30_days: u64,
    /// Never proved, as far as is known.
    pub never_used: u64,
    /// Made by a rotation within the last 90 days; a previous one: its successor was.
    pub rotated_in_90_days: u64,
    /// Of credentials that were never rotated, as far as is known.
    pub never_rotated: u64,
    /// Made more than 90 days ago, by a rotation or with the credential, as far as is known; a previous one: its successor was.
    pub older_than_90_days: u64,
    /// They end by themselves within 7 days: by the credential's expiry, or by the end of the overlap.
    pub ending_in_7_days: u64,
    /// Of credentials that have expired.
    pub expired: u64,
}

impl Summary {
    /// An empty one, by this time.
    #[must_use]
    pub fn at(now: SystemTime) -> Self {
        Self { now, kinds: BTreeMap::new() }
    }

    /// Counts the secrets of a credential: its current one, and the previous one while that counts.
    pub fn add(&mut self, reported: &Reported) {
        let (row, usage) = (&reported.row, &reported.usage);
        let kind = |generation| SecretKind {
            backend: reported.backend_of(generation).cloned(),
            parameters: reported.parameters_of(generation).map(str::to_owned),
            is_previous: generation == Generation::Previous,
        };
        self.count(reported, kind(Generation::Current), usage.last_used_at, row.expires_at);
        if let Some(until) = reported.previous_until().filter(|until| *until > self.now) {
            let ends = row.expires_at.map_or(until, |end| end.min(until));
            self.count(reported, kind(Generation::Previous), usage.previous_last_used_at, Some(ends));
        }
    }

    /// Each kind with its counts: by backend, parameters and generation.
    pub fn kinds(&self) -> impl Iterator<Item = (&SecretKind, &Counts)> {
        self.kinds.iter()
    }

    fn count(&mut self, reported: &Reported, kind: SecretKind, used: Option<SystemTime>, ends: Option<SystemTime>) {
        let (now, rotated, made) = (self.now, reported.usage.since, reported.secret_made_at());
        let within = |at: Option<SystemTime>, days: u32| at.is_some_and(|at| at + days * DAY > now);
        let has_expired = reported.row.expires_at.is_some_and(|end| end <= now);
        let counts = self.kinds.entry(kind).or_default();
        for (count, is_one) in [
            (&mut counts.secrets, true),
            (&mut counts.used_in_a_day, within(used, 1)),
            (&mut counts.used_in_30_days, within(used, 30)),
            (&mut counts.never_used, used.is_none()),
            (&mut counts.rotated_in_90_days, within(rotated, 90)),
            (&mut counts.never_rotated, rotated.is_none()),
            (&mut counts.older_than_90_days, made.is_some_and(|at| at + 90 * DAY <= now)),
            (&mut counts.ending_in_7_days, !has_expired && ends.is_some_and(|end| end <= now + 7 * DAY)),
            (&mut counts.expired, has_expired),
        ] {
            *count += u64::from(is_one);
        }
    }
}
