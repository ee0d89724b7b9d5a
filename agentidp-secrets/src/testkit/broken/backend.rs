//! What each flaw changes in what the backend does.

use async_trait::async_trait;

use super::flaw::Flaw;
use super::keeping::Material;
use super::state::BrokenBackend;
use crate::backend::{BackendInfo, Custody, Each, Held, Pointer, Recall, SecretBackend, Verdict, keeps_no_versions};
use crate::credential::{ClientId, CredentialKey};
use crate::error::{ErrorKind, Operation, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for BrokenBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        Some(StoredSecret::new(self.info.id.clone(), self.path(key)))
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let (place, version) = stored.payload().split_once("#@")?;
        let place = StoredSecret::new(self.info.id.clone(), place);
        Some(Pointer { place, version: Some(version.parse().ok()?) })
    }

    fn recognises(&self, _text: &str) -> bool {
        false
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.reach(Operation::Store)?;
        self.check_writes()?;
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

    fn recall_for<'a>(&'a self, _client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        Box::new(Each { backend: self, candidate })
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        self.reach(Operation::Pin)?;
        Ok(match self.material(key, stored, Operation::Pin)? {
            Material::Secret { version, .. } if !self.has(Flaw::PinsNothing) => self.pinned(key, version),
            Material::Digest { .. } | Material::Secret { .. } => stored.clone(),
        })
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        self.reach(Operation::Pin)?;
        if self.info.custody == Custody::Record {
            return Err(keeps_no_versions(&self.info));
        }
        let state = self.state();
        let kept = state.versions.get(key).map_or(&[][..], Vec::as_slice);
        let latest = if self.has(Flaw::LatestIsFirst) { kept.len().min(1) } else { kept.len() };
        let number = version.map_or(latest, |version| usize::try_from(version).unwrap_or(usize::MAX));
        Ok(match number.checked_sub(1).and_then(|place| kept.get(place)) {
            Some(secret) => {
                let secret = Some(secret.clone()).filter(|secret| !secret.expose_secret().is_empty());
                Held::Version { version: number as u64, stored: self.pinned(key, number), secret }
            }
            None => Held::Nothing,
        })
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        self.reach(Operation::Rotate)?;
        if self.info.custody == Custody::Record {
            return Err(keeps_no_versions(&self.info));
        }
        secret.map_or(Ok(()), |secret| self.check_secret(secret, Operation::Rotate))?;
        let held = self.state().versions.get(key).map_or(0, Vec::len);
        if held as u64 != latest {
            return Err(self.error(ErrorKind::Conflict, Operation::Rotate));
        }
        Ok(self.write(key, secret.unwrap_or(&ClientSecret::from(""))))
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        self.reach(Operation::Reveal)?;
        let named = stored.payload().split_once('#').map(|(named, _)| named);
        if named != Some(self.path(key).as_str()) {
            return Ok(None);
        }
        let Material::Secret { secret, .. } = self.material(key, stored, Operation::Reveal)? else { return Ok(None) };
        let latest = self.state().versions.get(key).and_then(|kept| kept.last().cloned());
        Ok(if self.has(Flaw::RevealsLatest) { latest } else { Some(secret) })
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.reach(Operation::Rotate)?;
        self.check_writes()?;
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

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.reach(Operation::Revoke)?;
        let mut state = self.state();
        if self.has(Flaw::ForgetsLaterOnly) {
            state.versions.entry(key.clone()).and_modify(|versions| versions.truncate(1));
        } else {
            state.versions.remove(key);
        }
        Ok(())
    }

    async fn probe(&self) -> Result<()> {
        self.reach(Operation::Probe)?;
        if self.has(Flaw::ProbeFails) { Err(self.error(ErrorKind::Internal, Operation::Probe)) } else { Ok(()) }
    }
}
