//! What a backend says about itself.

use std::borrow::Cow;

use super::parameters::Parameters;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{SecretFormat, SecretFormats};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// What a backend says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendInfo {
    /// The id that its records carry.
    pub id: BackendId,
    /// Who holds what is needed to verify.
    pub custody: Custody,
    /// The longest secret in bytes that can be stored, where there is a limit. A longer candidate is a mismatch.
    pub max_secret_len: Option<usize>,
    /// Whether only generated secrets can be stored: those of [`formats`](Self::formats). Any other candidate is a mismatch.
    pub generated_only: bool,
    /// Whether a verification computes a digest that is slow on purpose, so that its time shows.
    pub slow_digest: bool,
    /// How many verifications of one client to ask for at once, at least 1: more where several together take little
    /// longer than one.
    pub lanes: usize,
    /// How many versions of a secret are kept, the latest included; none where all are. An older one is gone for good.
    pub versions_kept: Option<u64>,
    /// Whether the backend only verifies, as one for digests of other software does: `store`, `rotate` and `overwrite` are
    /// `InvalidConfig`, and a store refuses it as its primary.
    pub reads_only: bool,
    /// Whether a record verifies under its own key only, so that a swapped row verifies nothing. With
    /// [`Custody::Backend`] that is the contract.
    pub bound_records: bool,
    /// Whether a verification asks a service, which may be away. What it has proved is remembered for a while only. With
    /// [`Custody::Backend`] it does.
    pub remote: bool,
    /// Whether [`reveal`](crate::SecretBackend::reveal) shows a secret again.
    pub reveals: bool,
    /// A record's payload that nobody's secret matches, where no secret can be stored to make one.
    decoy: Option<Box<str>>,
    pinned: Pinned,
    formats: SecretFormats,
    parameters: Parameters,
}

/// Which records mean one secret for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pinned {
    All,
    Containing(&'static str),
    None,
}

impl BackendInfo {
    /// A backend for secrets of any form and length, asked for one verification at a time. With [`Custody::Record`] its
    /// digests are taken to be slow.
    #[must_use]
    pub fn new(id: BackendId, custody: Custody) -> Self {
        let (slow_digest, pinned) = match custody {
            Custody::Backend => (false, Pinned::None),
            Custody::Record => (true, Pinned::All),
        };
        Self {
            id,
            custody,
            max_secret_len: None,
            generated_only: false,
            slow_digest,
            lanes: 1,
            versions_kept: None,
            reads_only: false,
            bound_records: custody == Custody::Backend,
            remote: custody == Custody::Backend,
            reveals: false,
            decoy: None,
            pinned,
            formats: SecretFormat::documented().into(),
            parameters: Parameters::default(),
        }
    }

    /// The same of a backend with another id.
    pub(crate) fn with_id(mut self, id: BackendId) -> Self {
        self.id = id;
        self
    }

    /// Sets the longest secret in bytes that can be stored.
    #[must_use]
    pub fn with_max_secret_len(mut self, bytes: usize) -> Self {
        self.max_secret_len = Some(bytes);
        self
    }

    /// Says that only generated secrets can be stored, of the [documented form](SecretFormat::documented): for a function that is
    /// too fast for chosen ones.
    #[must_use]
    pub fn with_generated_only(self) -> Self {
        self.with_formats(SecretFormat::documented())
    }

    /// Says that only generated secrets of these forms can be stored.
    #[must_use]
    pub fn with_formats(mut self, formats: impl Into<SecretFormats>) -> Self {
        (self.generated_only, self.formats) = (true, formats.into());
        let longest = self.formats.all().map(SecretFormat::longest).max();
        Self { max_secret_len: longest, ..self }
    }

    /// The forms of the secrets that can be stored, where [only generated ones](Self::generated_only) can.
    #[must_use]
    pub fn formats(&self) -> Option<&SecretFormats> {
        self.generated_only.then_some(&self.formats)
    }

    /// Says that a verification takes microseconds, and not the milliseconds of a password hash.
    #[must_use]
    pub fn with_quick_digest(mut self) -> Self {
        self.slow_digest = false;
        self
    }

    /// Sets how many verifications to ask for at once.
    #[must_use]
    pub fn with_lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes;
        self
    }

    /// Sets how many versions of a secret are kept.
    #[must_use]
    pub fn with_versions_kept(mut self, versions: u64) -> Self {
        self.versions_kept = Some(versions);
        self
    }

    /// Says that a record verifies under its own key only. The conformance suite then tests it.
    #[must_use]
    pub fn with_bound_records(mut self) -> Self {
        self.bound_records = true;
        self
    }

    /// Says that a verification asks a service, with [`Custody::Record`] too: for a digest under a key that only the service has.
    #[must_use]
    pub fn with_remote(mut self) -> Self {
        (self.remote, self.slow_digest) = (true, false);
        self
    }

    /// Says that a secret can be shown again. The conformance suite then tests it.
    #[must_use]
    pub fn with_reveal(mut self) -> Self {
        self.reveals = true;
        self
    }

    /// Says that the backend only verifies. `decoy` is the payload of a record that no secret matches and that costs as much
    /// as a typical one: an unknown client is compared with it where the store has no other digests.
    #[must_use]
    pub fn with_reads_only(mut self, decoy: impl Into<Box<str>>) -> Self {
        self.reads_only = true;
        self.decoy = Some(decoy.into());
        self
    }

    /// Says which records are [pinned](Self::is_pinned): those whose payload contains `mark`, such as `?version=`. An
    /// empty mark is in all of them.
    #[must_use]
    pub fn with_pin_mark(mut self, mark: &'static str) -> Self {
        self.pinned = Pinned::Containing(mark);
        self
    }

    /// Sets what tells a record's [parameters](Self::parameters). It must tell nothing of a salt, a digest, a place or a secret.
    #[must_use]
    pub fn with_parameters(self, read: fn(&StoredSecret) -> Option<String>) -> Self {
        Self { parameters: Parameters::read_by(read), ..self }
    }

    /// How a record of this backend was made, for a report: `cost=10`, or the id of its key. None where that cannot be read.
    #[must_use]
    pub fn parameters(&self, stored: &StoredSecret) -> Option<String> {
        self.parameters.of(stored)
    }

    /// Whether the secret behind a record of this backend stays the same for as long as there is one: then a proof may
    /// be remembered for a while.
    ///
    /// A digest always does. A pointer into a backend does when it names one version of the secret, and not when it
    /// names whichever is the latest. A backend with custody has to [say so](Self::with_pin_mark); none of its records
    /// counts as pinned until then.
    #[must_use]
    pub fn is_pinned(&self, stored: &StoredSecret) -> bool {
        match self.pinned {
            Pinned::All => true,
            Pinned::Containing(mark) => stored.payload().contains(mark),
            Pinned::None => false,
        }
    }

    /// The record that no secret matches, of a backend that only verifies.
    pub(crate) fn decoy(&self) -> Option<StoredSecret> {
        self.decoy.as_ref().map(|payload| StoredSecret::new(self.id.clone(), payload.clone()))
    }

    /// What a backend that only verifies says to a write.
    pub(crate) fn only_reads(&self) -> Error {
        let message =
            "the backend only verifies; give the store another one as its primary, and this one with `accepts`";
        Error::new(ErrorKind::InvalidConfig, message).with_backend(self.id.clone())
    }

    /// Whether a text has a form that can be stored at all: not empty, no NUL byte, not too long, and generated where that
    /// is asked for. What cannot be stored cannot match either.
    #[must_use]
    pub fn can_store(&self, secret: &ClientSecret) -> bool {
        if self.generated_only && !self.formats.recognises(secret) {
            return false;
        }
        let bytes = secret.expose_secret().as_bytes();
        !bytes.is_empty() && !bytes.contains(&0) && self.max_secret_len.is_none_or(|longest| bytes.len() <= longest)
    }

    /// Refuses a secret of a form that cannot be stored. For backends, at the head of `store` and `rotate`.
    ///
    /// # Errors
    /// `InvalidSecret` when [`can_store`](Self::can_store) says no.
    pub fn check_secret(&self, secret: &ClientSecret) -> Result<()> {
        if self.can_store(secret) {
            return Ok(());
        }
        let message = match self.max_secret_len {
            _ if self.generated_only => {
                Cow::Borrowed("only a generated secret can be stored here, of a form that the backend was given")
            }
            Some(longest) => format!("a secret is 1 to {longest} bytes without a NUL byte").into(),
            None => Cow::Borrowed("a secret has at least 1 byte and no NUL byte"),
        };
        Err(Error::new(ErrorKind::InvalidSecret, message).with_backend(self.id.clone()))
    }
}

/// Who holds what is needed to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Custody {
    /// The backend does: the record is a pointer, verification asks the backend, revocation has work to do.
    Backend,
    /// The record does: it is a digest, dropping the row is the revocation. Verification is local work, unless the backend
    /// [says otherwise](BackendInfo::remote).
    Record,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_backend_does_not_call_pinned_is_not() {
        let record = |payload: &str| StoredSecret::new(BackendId::MEMORY, payload);
        let held = |custody| BackendInfo::new(BackendId::MEMORY, custody);
        assert!(held(Custody::Record).is_pinned(&record("digest")));
        assert!(!held(Custody::Backend).is_pinned(&record("path?version=1")));
        let marked = held(Custody::Backend).with_pin_mark("?version=");
        assert!(marked.is_pinned(&record("path?version=1")) && !marked.is_pinned(&record("path")));
        assert!(held(Custody::Backend).with_pin_mark("").is_pinned(&record("path")));
    }

    #[test]
    fn what_can_be_stored_is_bounded_in_bytes() {
        let info = BackendInfo::new(BackendId::BCRYPT, Custody::Record).with_max_secret_len(4);
        for fine in ["a", "abcd", "\u{e4}\u{e4}"] {
            assert!(info.check_secret(&ClientSecret::from(fine)).is_ok(), "{fine:?}");
        }
        for refused in ["", "\0", "ab\0", "abcde", "\u{e4}\u{e4}a"] {
            let error = info.check_secret(&ClientSecret::from(refused)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidSecret, "{refused:?}");
        }
        let generated_only = info.with_generated_only();
        let chosen = generated_only.check_secret(&ClientSecret::from("a".repeat(72))).unwrap_err();
        assert_eq!(chosen.kind(), ErrorKind::InvalidSecret);
        assert!(generated_only.check_secret(&ClientSecret::generate().unwrap()).is_ok());
        assert!(
            BackendInfo::new(BackendId::MEMORY, Custody::Backend).can_store(&ClientSecret::from("a".repeat(1 << 20)))
        );
    }
}
