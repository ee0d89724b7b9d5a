//! A caller and its row, as the pages of the store say: every commit compares the row's revision.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::older::OlderSystem;
use crate::clock::{Clock, ManualClock};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Result, VerifyError};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;
use crate::store::{CredentialSecrets, Generation, Previous, Rotated, SecretStore, Upgraded, Verified};
use crate::testkit::conformance::fixture::{generate, set_up};
use crate::testkit::harness::Harness;

/// How often a rotation begins again when another change of the row was first.
const ATTEMPTS: usize = 4;

/// Declares the flaws: what each does wrong, and the checks that catch it.
macro_rules! flaws {
    ($($(#[$doc:meta])* $flaw:ident: $($check:literal),+;)*) => {
        /// A mistake that a caller of the store makes easily.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum CallerFlaw {
            $($(#[$doc])* $flaw,)*
        }

        impl CallerFlaw {
            /// Every flaw.
            pub const ALL: &'static [Self] = &[$(Self::$flaw),*];

            /// The names of the checks that catch it. Others may fail too.
            #[must_use]
            pub fn caught_by(self) -> &'static [&'static str] {
                match self {
                    $(Self::$flaw => &[$($check),+],)*
                }
            }
        }
    };
}

flaws! {
    /// Writes the row, whatever has become of it since it was read.
    ComparesNothing: "an_upgrade_beside_a_rotation_locks_no_client_out";
    /// Keeps a bare record as the previous one.
    KeepsBarePrevious: "a_bare_record_keeps_its_secret_through_an_overlap";
    /// Issues again under the id of a credential whose commit was lost.
    RetriesLostIssue: "a_lost_issue_is_forgotten_and_made_again";
    /// Revokes the new record when its commit was lost.
    RevokesLostRecord:
        "upgrades_at_once_lock_no_client_out",
        "an_upgrade_beside_a_rotation_locks_no_client_out",
        "a_rotation_between_two_logins_locks_no_client_out";
    /// Takes a conflict for the end, although the row has not changed.
    StopsAtConflict: "what_lost_commits_left_is_written_over_and_ends_with_the_credential";
}

/// Who uses the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller(Option<CallerFlaw>);

impl Caller {
    pub(super) fn sound() -> Self {
        Self(None)
    }

    pub(super) fn with(flaw: CallerFlaw) -> Self {
        Self(Some(flaw))
    }

    pub(super) fn has(self, flaw: CallerFlaw) -> bool {
        self.0 == Some(flaw)
    }
}

/// The store over the harness's backend, beside an older system.
pub(super) struct Shop {
    pub(super) store: SecretStore,
    pub(super) clock: Arc<ManualClock>,
    older: OlderSystem,
}

impl Shop {
    pub(super) async fn over(harness: &dyn Harness) -> Self {
        let primary = harness.backend().await;
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let older = OlderSystem::new();
        let accepted = OlderSystem::new();
        let builder = SecretStore::builder(primary).accepts(accepted).clock(Arc::clone(&clock) as Arc<dyn Clock>);
        Self { store: set_up("build", builder.build()), clock, older }
    }

    /// An account with a secret that the older system issued.
    pub(super) fn older_account(&self, harness: &dyn Harness) -> Account {
        let secret = generate();
        Account::new(harness.key(), self.older.row_of(&secret), secret)
    }
}

/// The columns of a row.
#[derive(Clone)]
pub(super) struct Row {
    text: String,
    previous: Option<Previous>,
    revision: u64,
}

impl Row {
    pub(super) fn secrets(&self) -> CredentialSecrets {
        let current = set_up("parse", StoredSecret::parse(&self.text));
        CredentialSecrets { current, selector: None, previous: self.previous.clone() }
    }
}

/// A credential: its row, and the secret that its owner was shown last.
pub(super) struct Account {
    pub(super) key: CredentialKey,
    row: Mutex<Row>,
    shown: Mutex<ClientSecret>,
}

impl Account {
    pub(super) fn new(key: CredentialKey, text: String, secret: ClientSecret) -> Self {
        Self { key, row: Mutex::new(Row { text, previous: None, revision: 0 }), shown: Mutex::new(secret) }
    }

    pub(super) fn read(&self) -> Row {
        lock(&self.row).clone()
    }

    pub(super) fn shown(&self) -> ClientSecret {
        lock(&self.shown).clone()
    }

    pub(super) async fn prove(&self, shop: &Shop, candidate: &ClientSecret) -> Result<Verified, VerifyError> {
        shop.store.verify(&self.key, &self.read().secrets(), candidate).await
    }

    /// Whether the secret that was shown last is the current one.
    pub(super) async fn works(&self, shop: &Shop) -> bool {
        self.prove(shop, &self.shown()).await.is_ok_and(|proof| proof.generation == Generation::Current)
    }

    /// What a login does with its proof: none where it failed, since that is no failure of the login.
    pub(super) async fn upgrade(
        &self,
        shop: &Shop,
        before: &Row,
        proof: &Verified,
        candidate: &ClientSecret,
    ) -> Option<Upgraded> {
        shop.store.upgrade(&self.key, &before.secrets().current, proof, candidate).await.ok().flatten()
    }

    pub(super) async fn commit_upgrade(&self, shop: &Shop, caller: Caller, before: &Row, upgraded: Option<Upgraded>) {
        let Some(upgraded) = upgraded else { return };
        let after = Row { text: upgraded.stored.to_text(), ..before.clone() };
        self.commit(shop, caller, before, after, None).await;
    }

    /// A rotation from the row that was read to the commit, begun again for as long as another change is first.
    pub(super) async fn rotate(&self, shop: &Shop, caller: Caller, grace: Duration) -> Option<ClientSecret> {
        for _ in 0..ATTEMPTS {
            let before = self.read();
            let Ok(rotated) = self.write(shop, caller, &before, grace).await else { continue };
            if let Some(secret) = self.commit_rotation(shop, caller, &before, rotated).await {
                return Some(secret);
            }
        }
        None
    }

    pub(super) async fn write(&self, shop: &Shop, caller: Caller, before: &Row, grace: Duration) -> Result<Rotated> {
        match shop.store.rotate(&self.key, &before.secrets(), grace).await {
            Err(error) if error.kind() == ErrorKind::Conflict && !caller.has(CallerFlaw::StopsAtConflict) => {
                if self.read().revision == before.revision {
                    shop.store.rotate_over(&self.key, &before.secrets(), grace).await
                } else {
                    Err(error)
                }
            }
            outcome => outcome,
        }
    }

    /// The secret once it may be shown.
    pub(super) async fn commit_rotation(
        &self,
        shop: &Shop,
        caller: Caller,
        before: &Row,
        rotated: Rotated,
    ) -> Option<ClientSecret> {
        let mut previous = rotated.previous;
        if let (Some(previous), true) = (&mut previous, caller.has(CallerFlaw::KeepsBarePrevious)) {
            previous.stored = before.secrets().current;
        }
        let after = Row { text: rotated.stored.to_text(), previous, revision: before.revision };
        self.commit(shop, caller, before, after, Some(&rotated.secret)).await.then_some(rotated.secret)
    }

    /// Writes the row where it is still the one that was read.
    async fn commit(
        &self,
        shop: &Shop,
        caller: Caller,
        before: &Row,
        after: Row,
        secret: Option<&ClientSecret>,
    ) -> bool {
        let lost = after.text.clone();
        {
            let mut row = lock(&self.row);
            if row.revision == before.revision || caller.has(CallerFlaw::ComparesNothing) {
                // A database has a fresh random value here.
                *row = Row { revision: row.revision + 1, ..after };
                if let Some(secret) = secret {
                    *lock(&self.shown) = secret.clone();
                }
                return true;
            }
        }
        if caller.has(CallerFlaw::RevokesLostRecord) {
            let record = set_up("parse", StoredSecret::parse(&lost));
            let _forgotten = shop.store.revoke(&self.key, &record.into()).await;
        }
        false
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
