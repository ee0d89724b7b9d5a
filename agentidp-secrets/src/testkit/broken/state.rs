//! A small sound backend, or one with a flaw.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::flaw::Flaw;
use crate::backend::{BackendInfo, Custody};
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
    pub(super) reachable: bool,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Custody `Backend`: the versions of every key, the first being version 1.
    pub(super) versions: HashMap<CredentialKey, Vec<ClientSecret>>,
    pub(super) under_way: Option<ClientSecret>,
    pub(super) wrong_guesses: usize,
    pub(super) revoked: Vec<StoredSecret>,
    pub(super) proved: Vec<(StoredSecret, ClientSecret)>,
}

impl BrokenBackend {
    /// As much as bcrypt reads, so that the traps of that limit can be shown.
    pub(super) const MAX_SECRET_LEN: usize = 72;

    /// A backend with this flaw.
    #[must_use]
    pub fn new(flaw: Flaw) -> Self {
        let sound = Self::sound(flaw.custody());
        let mut sound = if flaw == Flaw::AcceptsChosenSecret { sound.generated_only() } else { sound };
        match flaw {
            Flaw::ClaimsBoundRecords => sound.info = sound.info.with_bound_records(),
            Flaw::ClaimsReadsOnly => sound = sound.reads_only(),
            _ => {}
        }
        Self { flaw: Some(flaw), ..sound }
    }

    /// The same, for generated secrets only.
    #[must_use]
    pub fn generated_only(mut self) -> Self {
        self.info = self.info.with_generated_only();
        self
    }

    /// The same, for reading only.
    #[must_use]
    pub fn reads_only(mut self) -> Self {
        self.info = self.info.with_reads_only("0".repeat(32));
        self
    }

    /// A record of the secret, for a backend that only reads.
    #[must_use]
    pub fn record_of(secret: &ClientSecret) -> StoredSecret {
        Self::sound(Custody::Record).digest_record(secret)
    }

    /// A backend without a flaw: the control. It borrows the id of the in-memory backend.
    #[must_use]
    pub fn sound(custody: Custody) -> Self {
        let info = BackendInfo::new(BackendId::MEMORY, custody).with_max_secret_len(Self::MAX_SECRET_LEN);
        let info = match custody {
            Custody::Backend => info.with_pin_mark("@").with_reveal(),
            Custody::Record => info,
        };
        Self { info, flaw: None, reachable: true, state: Mutex::default() }
    }

    /// The record that means whichever secret of the same key is the latest.
    #[must_use]
    pub fn unpinned(stored: &StoredSecret) -> StoredSecret {
        let (named, _version) = stored.payload().split_once('@').unwrap_or((stored.payload(), ""));
        StoredSecret::new(stored.backend().clone(), named)
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

    pub(super) fn reach(&self, operation: Operation) -> Result<()> {
        if self.reachable { Ok(()) } else { Err(self.error(ErrorKind::Unavailable, operation)) }
    }

    pub(super) fn check_writes(&self) -> Result<()> {
        let refused = self.info.reads_only && !self.has(Flaw::ClaimsReadsOnly);
        if refused { Err(self.info.only_reads()) } else { Ok(()) }
    }

    pub(super) fn check_secret(&self, secret: &ClientSecret, operation: Operation) -> Result<()> {
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
    pub(super) fn was_proved(&self, stored: &StoredSecret, candidate: &ClientSecret, flaws: [Flaw; 2]) -> bool {
        let [admits_all, outlives] = flaws.map(|flaw| self.has(flaw));
        let same =
            |proof: &(StoredSecret, ClientSecret)| proof.0 == *stored && (admits_all || proof.1.ct_eq(candidate));
        (admits_all || outlives) && self.state().proved.iter().any(same)
    }

    /// What the flaws of losing a secret have in common: it is away while the call is suspended.
    pub(super) async fn away(&self, flaw: Flaw, key: &CredentialKey) {
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
