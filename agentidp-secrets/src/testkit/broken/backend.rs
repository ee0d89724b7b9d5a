//! A small sound backend, and what each flaw changes in it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::flaw::Flaw;
use super::keeping::Material;
use crate::backend::{BackendInfo, Custody, Held, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// A backend for testing tests: sound, or with one [`Flaw`].
///
/// With custody `Record` its digest is the standard library's hash: nothing to keep a secret with.
pub struct BrokenBackend {
    pub(super) info: BackendInfo,
    pub(super) flaw: Option<Flaw>,
    reachable: bool,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Custody `Backend`: the versions of every key, the first being version 1.
    pub(super) versions: HashMap<CredentialKey, Vec<ClientSecret>>,
    under_way: Option<ClientSecret>,
    wrong_guesses: usize,
    revoked: Vec<StoredSecret>,
    proved: Vec<(StoredSecret, ClientSecret)>,
}

impl BrokenBackend {
    /// As much as bcrypt reads, so that the traps of that limit can be shown.
    pub(super) const MAX_SECRET_LEN: usize = 72;

    /// A backend with this flaw.
    #[must_use]
    pub fn new(flaw: Flaw) -> Self {
        let sound = Self::sound(flaw.custody());
        let sound = if flaw == Flaw::AcceptsChosenSecret { sound.generated_only() } else { sound };
        Self { flaw: Some(flaw), ..sound }
    }

    /// The same, for generated secrets only.
    #[must_use]
    pub fn generated_only(mut self) -> Self {
        self.info = self.info.with_generated_only();
        self
    }

    /// A backend without a flaw: the control. It borrows the id of the in-memory backend.
    #[must_use]
    pub fn sound(custody: Custody) -> Self {
        // Every record of this backend names its version, and every digest is one.
        let info =
            BackendInfo::new(BackendId::MEMORY, custody).with_max_secret_len(Self::MAX_SECRET_LEN).with_pin_mark("");
        Self { info, flaw: None, reachable: true, state: Mutex::default() }
    }

    /// The same, out of reach.
    #[must_use]
    pub fn unreachable(mut self) -> Self {
        self.reachable = false;
        self
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn error(&self, kind: ErrorKind, operation: Operation) -> Error {
        Error::new(kind, "refused").with_operation(operation).with_backend(self.info.id.clone())
    }

    fn reach(&self, operation: Operation) -> Result<()> {
        if self.reachable { Ok(()) } else { Err(self.error(ErrorKind::Unavailable, operation)) }
    }

    fn check_secret(&self, secret: &ClientSecret, operation: Operation) -> Result<()> {
        let text = secret.expose_secret();
        let longest = Self::MAX_SECRET_LEN - usize::from(self.has(Flaw::RefusesLongestSecret));
        let too_long = text.len() > longest && !self.has(Flaw::AcceptsOversizeSecret);
        let unfit = (text.is_empty() || text.contains('\0')) && !self.has(Flaw::AcceptsUnfitSecret);
        let chosen = self.info.generated_only && !secret.has_generated_form() && !self.has(Flaw::AcceptsChosenSecret);
        if !too_long && !unfit && !chosen {
            return Ok(());
        }
        let error = self.error(ErrorKind::InvalidSecret, operation);
        Err(if self.has(Flaw::LeaksInErrorSource) {
            error.with_source(std::io::Error::other(text.to_owned()))
        } else {
            error
        })
    }

    /// Whether a flaw takes an earlier proof for this candidate's: one admits all, the other outlives the proof's end.
    fn was_proved(&self, stored: &StoredSecret, candidate: &ClientSecret, flaws: [Flaw; 2]) -> bool {
        let [admits_all, outlives] = flaws.map(|flaw| self.has(flaw));
        let same =
            |proof: &(StoredSecret, ClientSecret)| proof.0 == *stored && (admits_all || proof.1.ct_eq(candidate));
        (admits_all || outlives) && self.state().proved.iter().any(same)
    }

    /// What the flaws of losing a secret have in common: it is away while the call is suspended.
    async fn away(&self, flaw: Flaw, key: &CredentialKey) {
        if !self.has(flaw) {
            return;
        }
        let kept = self.state().versions.remove(key);
        tokio::task::yield_now().await;
        if let Some(kept) = kept {
            self.state().versions.insert(key.clone(), kept);
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for BrokenBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.reach(Operation::Store)?;
        self.check_secret(secret, Operation::Store)?;
        self.away(Flaw::StoreDropLosesSecret, key).await;
        let exists = self.state().versions.contains_key(key);
        if exists && self.has(Flaw::OverwritesOnStore) {
            self.state().versions.remove(key);
        } else if exists && !self.has(Flaw::AppendsOnStore) {
            return Err(self.error(ErrorKind::Conflict, Operation::Store));
        }
        Ok(self.write(key, secret))
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let operation = Operation::Verify;
        if !self.reachable && self.has(Flaw::OutageAsMismatch) {
            return Ok(Verdict::Mismatch);
        }
        self.reach(operation)?;
        if self.has(Flaw::LocksAfterGuesses) && self.state().wrong_guesses > 17 {
            return Err(self.error(ErrorKind::Throttled, operation));
        }
        if self.state().revoked.contains(stored) {
            return Err(self.error(ErrorKind::NotFound, operation));
        }
        if self.was_proved(stored, candidate, [Flaw::ProofAdmitsAll, Flaw::ProofOutlivesRevocation]) {
            return Ok(Verdict::Match);
        }
        let material = match self.material(key, stored, operation) {
            Err(error) => {
                let foreign = stored.backend() != &self.info.id;
                let hidden = match error.kind() {
                    ErrorKind::Malformed if foreign => self.has(Flaw::ForeignIsMismatch),
                    ErrorKind::Malformed => self.has(Flaw::DamagedIsMismatch),
                    ErrorKind::NotFound => self.has(Flaw::RevokedIsMismatch),
                    _ => false,
                };
                return if hidden { Ok(Verdict::Mismatch) } else { Err(error) };
            }
            Ok(material) => material,
        };
        self.away(Flaw::VerifyDropLosesSecret, key).await;
        let mut compared = candidate.clone();
        if self.has(Flaw::ConfusesConcurrentCalls) {
            self.state().under_way = Some(candidate.clone());
            tokio::task::yield_now().await;
            compared = self.state().under_way.clone().unwrap_or(compared);
        }
        if self.decide(key, &material, &compared) {
            self.state().proved.push((stored.clone(), candidate.clone()));
            return Ok(Verdict::Match);
        }
        self.state().wrong_guesses += 1;
        if self.has(Flaw::MismatchAsError) {
            Err(self.error(ErrorKind::Internal, operation))
        } else {
            Ok(Verdict::Mismatch)
        }
    }

    fn recall(&self, _key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        let flaws = [Flaw::RecallAdmitsAll, Flaw::RecallOutlivesRevocation];
        self.was_proved(stored, candidate, flaws).then_some(Verdict::Match)
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        self.reach(Operation::Pin)?;
        self.material(key, stored, Operation::Pin).map(|_| stored.clone())
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let _ = (key, version);
        Err(Error::new(ErrorKind::InvalidConfig, "this backend keeps no versions"))
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        let _ = (key, latest, secret);
        Err(Error::new(ErrorKind::InvalidConfig, "this backend keeps no versions"))
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.reach(Operation::Rotate)?;
        self.check_secret(secret, Operation::Rotate)?;
        let material = self.material(key, current, Operation::Rotate)?;
        self.away(Flaw::RotateDropLosesSecret, key).await;
        if let Material::Secret { version, .. } = material {
            let latest = self.state().versions.get(key).map_or(0, Vec::len);
            if version != latest && !self.has(Flaw::IgnoresStaleRecord) {
                return Err(self.error(ErrorKind::Conflict, Operation::Rotate));
            }
        }
        Ok(self.write(key, secret))
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.reach(Operation::Revoke)?;
        match self.material(key, stored, Operation::Revoke) {
            Err(error) if error.kind() == ErrorKind::NotFound && !self.has(Flaw::RevokesOnce) => return Ok(()),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let mut state = self.state();
        match self.flaw {
            Some(Flaw::RemembersRevocation) => state.revoked.push(stored.clone()),
            Some(Flaw::RevokesWholeClient) => state.versions.retain(|kept, _| kept.client_id() != key.client_id()),
            Some(Flaw::RevokesLatestOnly) => {
                state.versions.get_mut(key).and_then(Vec::pop);
            }
            _ => {
                state.versions.remove(key);
            }
        }
        Ok(())
    }

    async fn probe(&self) -> Result<()> {
        self.reach(Operation::Probe)?;
        if self.has(Flaw::ProbeFails) { Err(self.error(ErrorKind::Internal, Operation::Probe)) } else { Ok(()) }
    }
}

impl fmt::Debug for BrokenBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("BrokenBackend");
        shown.field("info", &self.info).field("flaw", &self.flaw);
        if self.has(Flaw::LeaksInDebug) {
            let state = self.state();
            shown
                .field("kept", &state.versions.values().flatten().map(ClientSecret::expose_secret).collect::<Vec<_>>());
        }
        shown.finish_non_exhaustive()
    }
}
