//! How the backend keeps secrets, reads records and compares.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::flaw::Flaw;
use super::state::BrokenBackend;
use crate::backend::Custody;
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation, Result};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;
use crate::segment::{path_of, unescape};
use crate::testkit::coding::{STANDARD, URL_SAFE, base64};

/// What verification compares with.
pub(super) enum Material {
    Digest { salt: u64, digest: u64 },
    Secret { version: usize, secret: ClientSecret },
}

impl BrokenBackend {
    fn record(&self, payload: String) -> StoredSecret {
        StoredSecret::new(self.written_id().clone(), payload)
    }

    /// The id in records.
    fn written_id(&self) -> &BackendId {
        if self.has(Flaw::MisnamesRecords) { &BackendId::BCRYPT } else { &self.info.id }
    }

    /// Stores the next version, or makes a digest.
    pub(super) fn write(&self, key: &CredentialKey, secret: &ClientSecret) -> StoredSecret {
        if self.info.custody == Custody::Record {
            return self.digest_record(secret);
        }
        let mut state = self.state();
        let versions = state.versions.entry(key.clone()).or_default();
        if self.has(Flaw::OldRecordDiesOnRotate) {
            versions.iter_mut().for_each(|old| *old = ClientSecret::from("gone"));
        }
        versions.push(secret.clone());
        let text = secret.expose_secret();
        let leak = match self.flaw {
            Some(Flaw::LeaksInRecord) => text.to_owned(),
            Some(Flaw::LeaksBase64InRecord) => base64(text.as_bytes(), STANDARD),
            Some(Flaw::LeaksBase64UrlInRecord) => base64(text.as_bytes(), URL_SAFE),
            Some(Flaw::LeaksHexInRecord) => hex::encode(text),
            Some(Flaw::LeaksReversedInRecord) => text.chars().rev().collect(),
            _ => String::new(),
        };
        self.record(format!("{}#{leak}@{}", self.path(key), versions.len()))
    }

    pub(super) fn digest_record(&self, secret: &ClientSecret) -> StoredSecret {
        let salt = if self.has(Flaw::SameDigestTwice) { 7 } else { getrandom::u64().unwrap_or_default() };
        let padding = if self.has(Flaw::RecordTooLong) { StoredSecret::MAX_TEXT_LEN } else { 0 };
        self.record(format!("{:0>padding$}{salt:016x}{:016x}", "", self.digest(salt, secret)))
    }

    pub(super) fn pinned(&self, key: &CredentialKey, version: usize) -> StoredSecret {
        self.record(format!("{}#@{version}", self.path(key)))
    }

    /// Where the secrets of the key are kept.
    pub(super) fn path(&self, key: &CredentialKey) -> String {
        if self.has(Flaw::JoinsIds) { key.to_string() } else { path_of(key) }
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
    pub(super) fn material(
        &self,
        key: &CredentialKey,
        stored: &StoredSecret,
        operation: Operation,
    ) -> Result<Material> {
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
        let version: Option<usize> = match version.split_once('@') {
            Some((_, version)) => Some(version.parse().map_err(|_| malformed())?),
            None => None,
        };
        let is_ours = named == self.path(key);
        let (client, credential) = named.split_once('/').ok_or_else(malformed)?;
        let ids = unescape(client).zip(unescape(credential)).ok_or_else(malformed);
        let named = match ids {
            _ if is_ours => key.clone(),
            ids => ids
                .and_then(|(client, credential)| CredentialKey::parse(&client, &credential).map_err(|_| malformed()))?,
        };
        if named != *key && !self.has(Flaw::NotBoundToKey) {
            return Err(malformed());
        }
        let state = self.state();
        let kept = state.versions.get(&named).ok_or_else(|| self.error(ErrorKind::NotFound, operation))?;
        // A record without a version means the latest.
        let version = version.unwrap_or(kept.len());
        let secret = kept.get(version.wrapping_sub(1)).cloned();
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
    pub(super) fn decide(&self, key: &CredentialKey, material: &Material, candidate: &ClientSecret) -> bool {
        let text = candidate.expose_secret();
        let cuts = self.has(Flaw::TruncatesCandidate);
        match (self.flaw, material) {
            (Some(Flaw::MatchesEverything), _) => !text.trim_matches([' ', '\0']).is_empty(),
            (Some(Flaw::MatchesNothing), _) => false,
            _ if text.len() > Self::MAX_SECRET_LEN && !cuts && !self.has(Flaw::AcceptsOversizeSecret) => false,
            (_, Material::Digest { salt, digest }) => self.digest(*salt, candidate) == *digest,
            (_, Material::Secret { secret, .. }) if secret.expose_secret().is_empty() => {
                self.has(Flaw::BlankIsEmptySecret) && text.is_empty()
            }
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
}
