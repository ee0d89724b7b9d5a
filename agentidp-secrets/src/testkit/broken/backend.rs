//! A small sound backend, and what each flaw changes in it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::flaw::Flaw;
use crate::backend::{BackendInfo, Custody, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// A backend for testing tests: sound, or with one [`Flaw`].
///
/// With custody `Record` its digest is the standard library's hash: nothing to keep a secret with.
pub struct BrokenBackend {
    info: BackendInfo,
    flaw: Option<Flaw>,
    reachable: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Custody `Backend`: the versions of every key, the first being version 1.
    versions: HashMap<CredentialKey, Vec<ClientSecret>>,
    under_way: Option<ClientSecret>,
    wrong_guesses: usize,
    revoked: Vec<StoredSecret>,
}

/// What verification compares with.
enum Material {
    Digest { salt: u64, digest: u64 },
    Secret { version: usize, secret: ClientSecret },
}

impl BrokenBackend {
    /// As much as bcrypt reads, so that the traps of that limit can be shown.
    const MAX_SECRET_LEN: usize = 72;

    /// A backend with this flaw.
    #[must_use]
    pub fn new(flaw: Flaw) -> Self {
        Self { flaw: Some(flaw), ..Self::sound(flaw.custody()) }
    }

    /// A backend without a flaw: the control. Its records carry the id of the in-memory backend, which they only share.
    #[must_use]
    pub fn sound(custody: Custody) -> Self {
        let info = BackendInfo::new(BackendId::MEMORY, custody).with_max_secret_len(Self::MAX_SECRET_LEN);
        Self { info, flaw: None, reachable: true, state: Mutex::default() }
    }

    /// The same, out of reach.
    #[must_use]
    pub fn unreachable(mut self) -> Self {
        self.reachable = false;
        self
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, kind: ErrorKind, operation: Operation) -> Error {
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
        if !too_long && !unfit {
            return Ok(());
        }
        let error = self.error(ErrorKind::InvalidSecret, operation);
        Err(if self.has(Flaw::LeaksInErrorSource) {
            error.with_source(std::io::Error::other(text.to_owned()))
        } else {
            error
        })
    }

    fn record(&self, payload: String) -> StoredSecret {
        StoredSecret::new(self.written_id().clone(), payload)
    }

    /// The id in records.
    fn written_id(&self) -> &BackendId {
        if self.has(Flaw::MisnamesRecords) { &BackendId::BCRYPT } else { &self.info.id }
    }

    /// Stores the next version, or makes a digest.
    fn write(&self, key: &CredentialKey, secret: &ClientSecret) -> StoredSecret {
        if self.info.custody == Custody::Record {
            let salt = if self.has(Flaw::SameDigestTwice) { 7 } else { getrandom::u64().unwrap_or_default() };
            let padding = if self.has(Flaw::RecordTooLong) { StoredSecret::MAX_TEXT_LEN } else { 0 };
            return self.record(format!("{:0>padding$}{salt:016x}{:016x}", "", self.digest(salt, secret)));
        }
        let mut state = self.state();
        let versions = state.versions.entry(key.clone()).or_default();
        if self.has(Flaw::OldRecordDiesOnRotate) {
            versions.iter_mut().for_each(|old| *old = ClientSecret::from("gone"));
        }
        versions.push(secret.clone());
        let leak = if self.has(Flaw::LeaksInRecord) { secret.expose_secret() } else { "" };
        self.record(format!("{key}#{leak}@{}", versions.len()))
    }

    fn digest(&self, salt: u64, secret: &ClientSecret) -> u64 {
        let text = secret.expose_secret().as_bytes();
        let read = if self.has(Flaw::ReadsOneByteLess) {
            &text[..text.len().min(Self::MAX_SECRET_LEN - 1)]
        } else if self.has(Flaw::TruncatesCandidate) {
            &text[..text.len().min(Self::MAX_SECRET_LEN)]
        } else {
            text
        };
        let mut hasher = DefaultHasher::new();
        (salt, read).hash(&mut hasher);
        hasher.finish()
    }

    /// Reads a record: the key that it names, and the version; or the digest.
    fn material(&self, key: &CredentialKey, stored: &StoredSecret, operation: Operation) -> Result<Material> {
        let malformed = || {
            let error = self.error(ErrorKind::Malformed, operation);
            if self.has(Flaw::LeaksDigestInError) {
                error.with_source(std::io::Error::other(stored.payload().to_owned()))
            } else {
                error
            }
        };
        let ours = stored.backend() == self.written_id();
        let rotates_foreign = self.has(Flaw::RotatesForeign) && operation == Operation::Rotate;
        let revokes_foreign = self.has(Flaw::ForeignIsRevoked) && operation == Operation::Revoke;
        if !ours && !rotates_foreign && !revokes_foreign {
            return Err(malformed());
        }
        let payload = stored.payload();
        if self.info.custody == Custody::Record {
            let padding = if self.has(Flaw::RecordTooLong) { StoredSecret::MAX_TEXT_LEN } else { 0 };
            let numbers = payload.get(padding..).filter(|hex| hex.len() == 32 && hex.is_ascii());
            let (salt, digest) = numbers.ok_or_else(malformed)?.split_at(16);
            let number = |hex| u64::from_str_radix(hex, 16).map_err(|_| malformed());
            return Ok(Material::Digest { salt: number(salt)?, digest: number(digest)? });
        }
        let (named, version) = payload.split_once('#').ok_or_else(malformed)?;
        let (_, version) = version.split_once('@').ok_or_else(malformed)?;
        let version: usize = version.parse().map_err(|_| malformed())?;
        let (client, credential) = named.split_once('/').ok_or_else(malformed)?;
        let named = CredentialKey::parse(client, credential).map_err(|_| malformed())?;
        if named != *key && !self.has(Flaw::NotBoundToKey) {
            return Err(malformed());
        }
        let secret = self.state().versions.get(&named).and_then(|kept| kept.get(version.wrapping_sub(1))).cloned();
        let secret = secret.ok_or_else(|| self.error(ErrorKind::NotFound, operation))?;
        Ok(Material::Secret { version, secret })
    }

    fn same(&self, secret: &ClientSecret, candidate: &ClientSecret) -> bool {
        let (kept, given) = (secret.expose_secret(), candidate.expose_secret());
        match self.flaw {
            Some(Flaw::AcceptsEmptyCandidate) if given.is_empty() => true,
            Some(Flaw::AcceptsPrefix) if !given.is_empty() => kept.starts_with(given),
            Some(Flaw::CutsAtNul) => given.split('\0').next() == Some(kept),
            Some(Flaw::IgnoresCase) => kept.eq_ignore_ascii_case(given),
            _ => secret.ct_eq(candidate),
        }
    }

    /// Whether the candidate is the secret.
    fn decide(&self, key: &CredentialKey, material: &Material, candidate: &ClientSecret) -> bool {
        let text = candidate.expose_secret();
        let cuts = self.has(Flaw::TruncatesCandidate);
        match (self.flaw, material) {
            (Some(Flaw::MatchesEverything), _) => !text.trim_matches([' ', '\0']).is_empty(),
            (Some(Flaw::MatchesNothing), _) => false,
            _ if text.len() > Self::MAX_SECRET_LEN && !cuts && !self.has(Flaw::AcceptsOversizeSecret) => false,
            (_, Material::Digest { salt, digest }) => self.digest(*salt, candidate) == *digest,
            (Some(Flaw::OldRecordAcceptsNewSecret), Material::Secret { version, .. }) => {
                let state = self.state();
                state
                    .versions
                    .get(key)
                    .is_some_and(|kept| kept.iter().skip(version - 1).any(|new| self.same(new, candidate)))
            }
            (Some(Flaw::NewRecordAcceptsOldSecret), Material::Secret { version, .. }) => {
                let state = self.state();
                state
                    .versions
                    .get(key)
                    .is_some_and(|kept| kept.iter().take(*version).any(|old| self.same(old, candidate)))
            }
            (_, Material::Secret { secret, .. }) => self.same(secret, candidate),
        }
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
            return Ok(Verdict::Match);
        }
        self.state().wrong_guesses += 1;
        if self.has(Flaw::MismatchAsError) {
            Err(self.error(ErrorKind::Internal, operation))
        } else {
            Ok(Verdict::Mismatch)
        }
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
