//! The verbs that write: issue, rotate, upgrade.

use std::time::{Duration, SystemTime};

use super::SecretStore;
use super::failed::failed;
use super::lifecycle::{CredentialSecrets, Generation, Issued, Previous, Rotated, Upgraded, Verified};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

impl SecretStore {
    /// Generates a secret for a new credential and stores it on the primary backend.
    ///
    /// Commit the record, then show the secret, once.
    ///
    /// Alone, this leaves a secret behind for each commit that is lost, and no later step finds it.
    /// [`Lifecycle::issue`](crate::lifecycle::Lifecycle::issue) notes the attempt first, and deletes what was lost.
    ///
    /// # When the commit is lost
    /// The secret was not shown, and the primary may hold it. Never retry under the same credential id: the retry is a
    /// `Conflict` for as long as the first secret is held. Choose a fresh credential id for each attempt, and
    /// [forget](Self::forget) the lost one. That works after a crash too, where the ids were noted before the attempt.
    ///
    /// Be sure that the row does not exist and never will, above all when the outcome of the commit is unknown: insert an
    /// ended row under the lost id. If there is one already, the commit was carried out, and nothing is lost but the secret:
    /// rotate it.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # use agentidp_secrets::backends::Memory;
    /// # use agentidp_secrets::{CredentialKey, SecretStore};
    /// # let store = SecretStore::builder(Memory::new()).build()?;
    /// # async fn insert(_: &CredentialKey, _: &agentidp_secrets::StoredSecret) -> bool { false }
    /// let lost = CredentialKey::parse("agent-7", "credential-1")?;
    /// let issued = store.issue(&lost).await?;
    /// if !insert(&lost, &issued.stored).await {
    ///     store.forget(&lost).await?; // the row will never exist
    ///     let key = CredentialKey::parse("agent-7", "credential-2")?;
    ///     let issued = store.issue(&key).await?; // and so on
    /// #   assert!(store.verify(&key, &issued.stored.into(), &issued.secret).await.is_ok());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`SecretBackend::store`](crate::SecretBackend::store); `Internal` when there is no randomness.
    pub async fn issue(&self, key: &CredentialKey) -> Result<Issued> {
        self.issue_with(key, self.generate(key)?).await
    }

    /// Does what [`issue`](Self::issue) does, with a secret that the caller has generated.
    ///
    /// For a protocol that notes a digest of the secret before a backend is written. The secret is one that
    /// [`generate`](Self::generate) has just made, never one that a client presented.
    ///
    /// # Errors
    /// Those of [`SecretBackend::store`](crate::SecretBackend::store).
    pub async fn issue_with(&self, key: &CredentialKey, secret: ClientSecret) -> Result<Issued> {
        let primary = &self.0.primary;
        let stored = primary.store(key, &secret).await.map_err(failed(Operation::Store, &primary.info().id))?;
        let selector = self.selector_for(key, &stored, &secret);
        Ok(Issued { secret, stored, selector })
    }

    /// Generates a secret of the form of new ones. It is stored nowhere.
    ///
    /// # Errors
    /// `Internal` when the operating system gives no randomness.
    pub fn generate(&self, key: &CredentialKey) -> Result<ClientSecret> {
        self.formats().issued().generate(key.credential_id())
    }

    /// Puts a new secret in place of the credential's present one, on the primary backend.
    ///
    /// With a `grace` above zero the current record comes back as [`Rotated::previous`] and verifies until then; the one
    /// before it is at an end. The current record is [pinned](Self::pin) first, so the previous record names one version,
    /// also where the row held a bare Vault path. There is no previous record when the backend no longer holds the current
    /// secret.
    ///
    /// Commit the new record, then show the secret, once. Commit where the row is still the one that was read: compare its
    /// revision, a column with a fresh random value after every write of the secret's columns. Until the commit the
    /// old record keeps working.
    ///
    /// Alone, each commit that is lost uses up one of the versions that the backend keeps. When all are used, the secret of the
    /// row is evicted and its client is locked out. [`Lifecycle::rotate`](crate::lifecycle::Lifecycle::rotate) commits what an
    /// earlier attempt has left, and never writes the last version that fits.
    ///
    /// # What the primary already holds
    /// | the current record | the primary holds at the key's place | what happens |
    /// |---|---|---|
    /// | names the last version there | | the next version is written, if that is still the last one |
    /// | names an earlier version there | what a concurrent rotation wrote, or one whose commit was lost | `Conflict`; nothing is written |
    /// | is of another backend, or points to another mount or folder: a move | nothing | a first version is written |
    /// | the same | what a move wrote whose commit was lost, or a concurrent one | the next version is written over it |
    ///
    /// A secret that the primary already holds is never adopted: the new record stands for the new secret and no other.
    ///
    /// After a `Conflict` read the row again. If it has changed, begin again with it. If it has not, call
    /// [`rotate_over`](Self::rotate_over).
    ///
    /// # When the commit is lost, or another change of the row was first
    /// Do nothing: no record points to what was written. Later writes go over it, and it is forgotten when the credential
    /// [ends](Self::revoke). Above all **do not revoke the new record**: revoking ends the credential, and the secret of the
    /// change that was first would be forgotten too.
    ///
    /// This crate does not count attempts. A backend keeps so many versions of a secret (Vault: ten, unless set). Each
    /// attempt that is not committed uses one, and when all are used up, the version that the row names is evicted. So bound
    /// your retries, and let one rotation of a credential run at a time.
    ///
    /// After a move the old backend keeps its secret until the credential ends. No record points to it once its grace is
    /// over. What lies in a folder that the settings no longer name is left alone.
    ///
    /// # Errors
    /// `Conflict` as the table says, or when a concurrent move was first; `UnknownBackend` when the record's backend is not
    /// configured: then its secret could not be forgotten later; `InvalidConfig` when the end of `grace` is past what the
    /// clock can express; else those of [`SecretBackend::rotate`](crate::SecretBackend::rotate).
    pub async fn rotate(&self, key: &CredentialKey, secrets: &CredentialSecrets, grace: Duration) -> Result<Rotated> {
        self.rotate_with(key, secrets, grace, self.generate(key)?).await
    }

    /// Does what [`rotate`](Self::rotate) does, with a secret that the caller has generated.
    ///
    /// The secret is one that [`generate`](Self::generate) has just made, never one that a client presented.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate).
    pub async fn rotate_with(
        &self,
        key: &CredentialKey,
        secrets: &CredentialSecrets,
        grace: Duration,
        secret: ClientSecret,
    ) -> Result<Rotated> {
        let valid_until = self.end_of(grace)?;
        let held = self.held(key, &secrets.current, grace).await?;
        let stored = self.replace(key, held.as_ref().unwrap_or(&secrets.current), &secret).await?;
        Ok(self.rotated(key, secrets, held.filter(|_| !grace.is_zero()), valid_until, secret, stored))
    }

    /// Does what [`rotate`](Self::rotate) does, over whatever the primary holds at the key's place.
    ///
    /// For a `Conflict` that stays although the row has not changed: a rotation whose commit was lost has left a later
    /// version, or somebody deleted the current one. Read the row again right before. The new version is written over the
    /// last one by compare-and-set, or as a first one where there is nothing. Earlier versions stay, so the row's record
    /// keeps working, as far as the backend keeps versions.
    ///
    /// Alone, this cannot tell a lost commit from a rotation that is still under way, and each call uses up a version.
    /// [`Lifecycle::rotate`](crate::lifecycle::Lifecycle::rotate) can: one write of a credential is open at a time.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate); `Conflict` when a concurrent write was first, or when the primary cannot name what it
    /// holds ([`SecretBackend::inspect`](crate::SecretBackend::inspect)).
    pub async fn rotate_over(
        &self,
        key: &CredentialKey,
        secrets: &CredentialSecrets,
        grace: Duration,
    ) -> Result<Rotated> {
        let (valid_until, secret) = (self.end_of(grace)?, self.generate(key)?);
        let held = self.held(key, &secrets.current, grace).await?;
        let stored = match self.write_over(key, &secret).await {
            Ok(None) => self.0.primary.store(key, &secret).await,
            Ok(Some(stored)) => Ok(stored),
            Err(error) => Err(error),
        };
        let stored = stored.map_err(failed(Operation::Rotate, &self.primary().id))?;
        Ok(self.rotated(key, secrets, held.filter(|_| !grace.is_zero()), valid_until, secret, stored))
    }

    /// Stores the secret that was just proved again, in today's form: on the primary backend, at its present cost.
    ///
    /// Gives `None` when there is nothing to do: the record is up to date, the previous secret was the one proved, the proof is
    /// stale, or the primary cannot hold a secret of this form, such as a chosen one where it takes
    /// [generated ones only](crate::BackendInfo::generated_only). Pass the record and the candidate that `proof` is about.
    ///
    /// Put the new record and its selector in the row where the row is still the one that was read: compare its revision, as
    /// [`rotate`](Self::rotate) says. When that fails, do nothing: another login has upgraded the row, or it was rotated, and
    /// what was written is overwritten by the next move, or forgotten when the credential [ends](Self::revoke). **Do not
    /// revoke the new record**: two logins that upgrade one secret can both come back with the same record, and the secret
    /// that the row then names would be forgotten. A failure here is never a failure of the login.
    ///
    /// What the primary already holds at the key's place is treated as in a [`rotate`](Self::rotate): a move goes over it.
    ///
    /// Alone, two logins of one client write the same secret twice, and what the loser wrote stays until the credential ends.
    /// [`Lifecycle::authenticate`](crate::lifecycle::Lifecycle::authenticate) upgrades in the background, one login at a time.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate).
    pub async fn upgrade(
        &self,
        key: &CredentialKey,
        current: &StoredSecret,
        proof: &Verified,
        candidate: &ClientSecret,
    ) -> Result<Option<Upgraded>> {
        let worth_it = proof.outdated && !proof.stale && proof.generation == Generation::Current;
        if !worth_it || !self.primary().can_store(candidate) {
            return Ok(None);
        }
        let stored = self.replace(key, current, candidate).await?;
        let selector = self.selector_for(key, &stored, candidate);
        Ok(Some(Upgraded { stored, selector }))
    }

    /// Returns the record of the one secret that `stored` means now.
    ///
    /// A pinned record comes back as it is, without a request. A bare Vault path, which means the latest version, comes back
    /// with the number of that version.
    ///
    /// Alone, the latest version may be one of a rotation that was never committed: the row then pins a secret that its client
    /// never saw. [`Lifecycle::rotate`](crate::lifecycle::Lifecycle::rotate) pins under an open write, which keeps others out.
    ///
    /// # Errors
    /// Those of [`SecretBackend::pin`](crate::SecretBackend::pin); `UnknownBackend` when the record's backend is not
    /// configured.
    pub async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        let (backend, stored) = self.claim(Operation::Pin, stored)?;
        if backend.info().is_pinned(&stored) {
            return Ok(stored.into_owned());
        }
        backend.pin(key, &stored).await.map_err(failed(Operation::Pin, stored.backend()))
    }

    fn end_of(&self, grace: Duration) -> Result<SystemTime> {
        self.now().checked_add(grace).ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, "the grace period ends after the end of time; shorten it")
                .with_operation(Operation::Rotate)
        })
    }

    /// Pins the record that a rotation replaces. None when its backend no longer holds the secret: a rotation is how such
    /// a row is repaired.
    async fn held(&self, key: &CredentialKey, current: &StoredSecret, grace: Duration) -> Result<Option<StoredSecret>> {
        // Leaving a backend that this store was not given would strand the old secret there, silently.
        self.refuse_unknown(current)?;
        if self.backend_of(current) != self.primary().id && grace.is_zero() {
            // The place that the record points to is not written, and the record ends with the commit.
            return Ok(Some(current.clone()));
        }
        if self.is_elsewhere(key, current) {
            return Ok(None);
        }
        match self.pin(key, current).await {
            Ok(pinned) => Ok(Some(pinned)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Malformed) => Ok(None),
            Err(error) => Err(error.with_operation(Operation::Rotate)),
        }
    }

    /// Whether a record points to where its backend does not keep the key's secrets: then the backend does not verify it.
    pub(crate) fn is_elsewhere(&self, key: &CredentialKey, stored: &StoredSecret) -> bool {
        let Ok((backend, stored)) = self.claim(Operation::Pin, stored) else { return false };
        let (place, to) = (backend.place(key), backend.points_to(&stored));
        place.is_some() && to.is_some_and(|to| Some(to.place) != place)
    }

    /// Refuses a record of a backend that this store was not given. One that names no backend and that no backend recognises
    /// is damaged, and a rotation repairs it.
    pub(crate) fn refuse_unknown(&self, current: &StoredSecret) -> Result<()> {
        match self.claim(Operation::Rotate, current) {
            Err(error) if error.kind() != ErrorKind::Malformed => Err(error),
            _ => Ok(()),
        }
    }

    /// Stores `secret` in place of `current` on the primary. A record of another backend has no predecessor there, and neither has
    /// one that the primary does not take for the key's: a damaged one, or one of another mount. Then whatever is there is
    /// overwritten.
    async fn replace(
        &self,
        key: &CredentialKey,
        current: &StoredSecret,
        secret: &ClientSecret,
    ) -> Result<StoredSecret> {
        let primary = &self.0.primary;
        let in_place = match self.claim(Operation::Rotate, current) {
            Ok((backend, current)) if backend.info().id == primary.info().id => {
                match primary.rotate(key, &current, secret).await {
                    Err(error) if error.kind() == ErrorKind::Malformed => None,
                    outcome => Some(outcome),
                }
            }
            _ => {
                self.refuse_unknown(current)?;
                None
            }
        };
        let stored = match in_place {
            Some(outcome) => outcome,
            None => match primary.store(key, secret).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    self.write_over(key, secret).await.and_then(|stored| stored.ok_or(error))
                }
                outcome => outcome,
            },
        };
        stored.map_err(failed(Operation::Rotate, &primary.info().id))
    }

    /// Writes over whatever the primary holds, by compare-and-set on its last version. None where it cannot say what that
    /// is.
    async fn write_over(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<Option<StoredSecret>> {
        let primary = &self.0.primary;
        match primary.inspect(key, None).await {
            Ok(held) => primary.overwrite(key, held.version(), Some(secret)).await.map(Some),
            Err(error) if error.kind() == ErrorKind::InvalidConfig => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rotated(
        &self,
        key: &CredentialKey,
        before: &CredentialSecrets,
        previous: Option<StoredSecret>,
        valid_until: SystemTime,
        secret: ClientSecret,
        stored: StoredSecret,
    ) -> Rotated {
        let previous = previous.map(|stored| Previous { stored, selector: before.selector, valid_until });
        let selector = self.selector_for(key, &stored, &secret);
        Rotated { secret, stored, selector, previous }
    }
}
