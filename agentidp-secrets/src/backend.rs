//! The contract: what a place that keeps secrets must do.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// A backend that is shared; what layers take and give.
pub type SharedBackend = Arc<dyn SecretBackend>;

/// Shares a backend. One that is shared already stays as it is: another `Arc` around it would cost every call a boxed
/// future.
pub(crate) fn shared(backend: impl SecretBackend) -> SharedBackend {
    match (&backend as &dyn Any).downcast_ref::<SharedBackend>() {
        Some(shared) => Arc::clone(shared),
        None => Arc::new(backend),
    }
}

/// A place that keeps client secrets, or what is needed to recognise them.
///
/// Record in, record out: [`store`](Self::store) and [`rotate`](Self::rotate) return a [`StoredSecret`] that the caller
/// keeps in its own database and hands back with every later call. The backend remembers nothing by id, so the caller's
/// transaction stays the single truth: a write to the backend that was never committed in the database changes nothing.
///
/// Every method takes the key, although a digest could do without: a backend with custody refuses a record that is not
/// the key's, and layers label and cache by it.
///
/// # Implementing it
/// A one-way function is less work as a `Digester`. A wrapper implements all fourteen methods and puts
/// `#[deny(clippy::missing_trait_methods)]` on its `impl`: a wrapper that does not forward [`recall`](Self::recall) disables
/// the cache behind it, and one that does not forward [`pin`](Self::pin),
/// [`inspect`](Self::inspect), [`overwrite`](Self::overwrite), [`forget`](Self::forget) or
/// [`recognises`](Self::recognises) takes them from the store. Run the conformance suite
/// of feature `testkit` over the result: it is this page as code.
///
/// # Wrong is not broken
/// A wrong candidate is `Ok(Verdict::Mismatch)`. Whatever keeps the backend from deciding is `Err`. Nothing may turn
/// one into the other.
#[async_trait]
pub trait SecretBackend: fmt::Debug + Send + Sync + 'static {
    /// Says which backend this is, who holds the material, and how long a secret may be. Constant over the backend's
    /// life.
    fn info(&self) -> &BackendInfo;

    /// Names the place where the backend keeps the key's secret: a record without a version, which no row has to hold.
    ///
    /// [`Lifecycle`](crate::lifecycle::Lifecycle) notes by it what has to be forgotten. With [`Custody::Record`] there is no
    /// place, and that is the default. A backend with custody implements it, or the lifecycle refuses it.
    ///
    /// # Contract
    /// Computed, without a request. The same for a key over the backend's life; another one for another key. One line of text.
    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        let _ = key;
        None
    }

    /// Says at which place a record of this backend points, and at which version there.
    ///
    /// # Contract
    /// Computed, without a request. For what `store`, `rotate` and `overwrite` return for a key the place is that of
    /// [`place`](Self::place), with a version. Another place means that the record points to where this backend does not write any more.
    /// `None` for a record that is damaged, and with [`Custody::Record`].
    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let _ = stored;
        None
    }

    /// Whether `text`, as it stands in a row of other software, is a record of this backend.
    ///
    /// [`SecretStore`](crate::SecretStore) asks in its order, the primary first, where a text names no backend that it was
    /// given: a bare digest, `{SSHA256}…`, `{argon2@SpringSecurity_v5_8}…`. The first that says yes gets the record, with its
    /// own id and the whole text as the payload. The default recognises nothing.
    ///
    /// # Contract
    /// Computed, without a request, in microseconds. Looks at the form only; whether the rest is sound is for
    /// [`verify`](Self::verify) to say. Constant over the backend's life.
    fn recognises(&self, text: &str) -> bool {
        let _ = text;
        false
    }

    /// Stores the first secret of a credential and returns its record.
    ///
    /// # Contract
    /// The returned record alone is enough to verify later. With [`Custody::Backend`] an existing secret of the key is
    /// never overwritten. With [`Custody::Record`] the same secret stored twice gives different payloads.
    ///
    /// # Errors
    /// `Conflict` when the backend already holds a secret for the key; `InvalidSecret` when it is empty, has a NUL byte,
    /// is longer than [`BackendInfo::max_secret_len`], or is not a generated one where
    /// [`BackendInfo::generated_only`] asks for that; `Denied`, `Throttled`, `Unavailable` as their kinds say.
    ///
    /// # Cancel safety
    /// A dropped call may or may not have stored the secret. No record came back, so nothing points to it.
    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret>;

    /// Decides whether `candidate` is the secret that `stored` stands for.
    ///
    /// # Contract
    /// Changes nothing. The time of the comparison does not depend on where the candidate differs. A wrong candidate of
    /// any form, empty or oversized too, is `Ok(Mismatch)` and never an error.
    ///
    /// # Errors
    /// `Malformed` when the record is damaged, belongs to another backend, or is not the key's; `NotFound` when the
    /// backend no longer holds what the record points to; `Denied`, `Throttled`, `Unavailable` as their kinds say.
    ///
    /// # Cancel safety
    /// Safe to drop at any point.
    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict>;

    /// Says what `verify` would, where that is remembered: at once and without asking anybody. `None`: it has to be asked.
    ///
    /// [`SecretStore`](crate::SecretStore) looks here first, so that what is known of one credential of a client waits for
    /// no other one that has to be asked about.
    ///
    /// # Contract
    /// Computes microseconds at most, waits for nothing, changes nothing. What it says is what [`verify`](Self::verify) would
    /// say at this moment, and of a mismatch no less sure than of a match.
    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        let _ = (key, stored, candidate);
        None
    }

    /// Returns the record of the one secret that `stored` means now.
    ///
    /// A record that names one version already comes back as it is, without a request. One that means "the latest" comes
    /// back with the version that is the latest. The default returns the record: it fits a backend whose records are all
    /// [pinned](BackendInfo::is_pinned).
    ///
    /// # Contract
    /// Changes nothing. The returned record verifies the same secret as `stored` at this moment, and keeps doing so when
    /// a later secret is stored. A server with replicas reads from the one that is never behind.
    ///
    /// # Errors
    /// `NotFound` when the backend holds no secret for the record; `Malformed` when the record is damaged, belongs to
    /// another backend or is not the key's, or when what is held is no client secret; `Denied`, `Throttled`,
    /// `Unavailable` as their kinds say.
    ///
    /// # Cancel safety
    /// Safe to drop at any point.
    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        let _ = key;
        Ok(stored.clone())
    }

    /// Says what the backend holds at the key's place: a version, or the latest one.
    ///
    /// For a server that takes over a write that was not finished, and before a move over what a lost commit has left. Optional: only a backend with custody that keeps
    /// numbered versions can say it, and the default refuses.
    ///
    /// # Contract
    /// Changes nothing. A server with replicas reads from the one that is never behind.
    ///
    /// # Errors
    /// `InvalidConfig` when the backend cannot say; `Denied`, `Throttled`, `Unavailable` as their kinds say. That nothing is
    /// held is [`Held::Nothing`] and no error.
    ///
    /// # Cancel safety
    /// Safe to drop at any point.
    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let _ = (key, version);
        Err(keeps_no_versions(self.info()))
    }

    /// Writes the next version at the key's place, whatever lies there, if `latest` is still the latest version (0: nothing
    /// is there). Without a secret it writes a blank version, which verifies nothing. Returns its record.
    ///
    /// Optional, as [`inspect`](Self::inspect).
    ///
    /// # Contract
    /// Compare-and-set on `latest`. Records of earlier versions verify until the backend evicts them.
    ///
    /// # Errors
    /// `Conflict` when another version is the latest; `InvalidConfig` when the backend keeps no versions; `InvalidSecret`,
    /// `Denied`, `Throttled`, `Unavailable` as their kinds say.
    ///
    /// # Cancel safety
    /// A dropped call may or may not have written the version.
    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        let _ = (key, latest, secret);
        Err(keeps_no_versions(self.info()))
    }

    /// Stores a new secret for a credential whose present record is `current`, and returns the new record.
    ///
    /// # Contract
    /// The old record keeps verifying the old secret until the caller drops it or revokes; the new record never
    /// verifies the old secret.
    ///
    /// # Errors
    /// `Conflict` when, with [`Custody::Backend`], `current` is no longer the latest; `Malformed` when `current` is
    /// damaged, belongs to another backend (store there instead: that is a migration) or is not the key's; and those of
    /// [`store`](Self::store).
    ///
    /// # Cancel safety
    /// A dropped call may or may not have stored the new secret; the old record still verifies.
    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret>;

    /// Makes the backend forget every secret of the credential, old versions included.
    ///
    /// This ends the credential, and not the record: the secret of every other record of the key goes too. Call it only
    /// when the caller's row has ended, never to clear up after a write that was not committed.
    ///
    /// # Contract
    /// Idempotent. With [`Custody::Backend`] a later `verify` is `NotFound`. With [`Custody::Record`] there is nothing
    /// to forget and the call does nothing: dropping the row is the revocation.
    ///
    /// # Errors
    /// `Malformed` when `stored` belongs to another backend or is not the key's; `Denied`, `Throttled`, `Unavailable`
    /// as their kinds say: then it has to be tried again.
    ///
    /// # Cancel safety
    /// A dropped call may or may not have taken effect. Call again.
    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()>;

    /// Makes the backend forget everything that it keeps under the key, without a record.
    ///
    /// For a credential that has ended or was never committed. Its id is never used again: a request that arrives late
    /// would remove the secret of a later use. The default does nothing with [`Custody::Record`], where there is nothing to
    /// forget. A backend with custody implements it.
    ///
    /// # Contract
    /// Idempotent, also for a key that was never stored. With [`Custody::Backend`] a later `verify` of any record of the key
    /// is `NotFound`. Other keys keep their secrets.
    ///
    /// # Errors
    /// `Internal` when a backend with custody does not implement it; `Denied`, `Throttled`, `Unavailable` as their kinds
    /// say: then it has to be tried again.
    ///
    /// # Cancel safety
    /// A dropped call may or may not have taken effect. Call again.
    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        let _ = key;
        match self.info().custody {
            Custody::Record => Ok(()),
            Custody::Backend => {
                let message = "the backend keeps secrets and cannot forget them by key; implement `forget`";
                Err(Error::new(ErrorKind::Internal, message)
                    .with_operation(Operation::Revoke)
                    .with_backend(self.info().id.clone()))
            }
        }
    }

    /// Tries whether the backend can be asked at all. Cheap; touches no secret.
    ///
    /// # Contract
    /// `Ok` means reachable and permitted just now, and nothing beyond.
    ///
    /// # Errors
    /// `Denied`, `InvalidConfig`, `Throttled`, `Unavailable` as their kinds say.
    ///
    /// # Cancel safety
    /// Safe to drop at any point.
    async fn probe(&self) -> Result<()>;
}

/// Where a record points.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "backends make it")]
pub struct Pointer {
    /// The place, as [`SecretBackend::place`] names it.
    pub place: StoredSecret,
    /// The version that is meant there, 1 or more; none for whichever is the latest.
    pub version: Option<u64>,
}

/// What a backend holds at the place of a key.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle both")]
pub enum Held {
    /// Nothing, or not that version.
    Nothing,
    /// A version.
    Version {
        /// Its number, 1 or more.
        version: u64,
        /// The record that names it.
        stored: StoredSecret,
        /// The secret; none where it was deleted, or something else was written.
        secret: Option<ClientSecret>,
    },
}

impl Held {
    /// The number of the version; 0 for nothing.
    #[must_use]
    pub fn version(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Version { version, .. } => *version,
        }
    }

    /// The secret, where there is one.
    #[must_use]
    pub fn secret(&self) -> Option<&ClientSecret> {
        match self {
            Self::Nothing => None,
            Self::Version { secret, .. } => secret.as_ref(),
        }
    }
}

pub(crate) fn keeps_no_versions(info: &BackendInfo) -> Error {
    Error::new(ErrorKind::InvalidConfig, "the backend keeps no numbered versions of a secret")
        .with_backend(info.id.clone())
}

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
    /// Whether only secrets of the [generated form](ClientSecret::has_generated_form) can be stored. Any other candidate
    /// is a mismatch.
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
    /// A record's payload that nobody's secret matches, where no secret can be stored to make one.
    decoy: Option<Box<str>>,
    pinned: Pinned,
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
            decoy: None,
            pinned,
        }
    }

    /// Sets the longest secret in bytes that can be stored.
    #[must_use]
    pub fn with_max_secret_len(mut self, bytes: usize) -> Self {
        self.max_secret_len = Some(bytes);
        self
    }

    /// Says that only secrets of the generated form can be stored: for a function that is too fast for chosen ones.
    #[must_use]
    pub fn with_generated_only(mut self) -> Self {
        self.generated_only = true;
        self.with_max_secret_len(ClientSecret::GENERATED_LEN)
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
        if self.generated_only && !secret.has_generated_form() {
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
                Cow::Borrowed("only a generated secret can be stored here: sk_live_ and 64 hexadecimal digits a-f 0-9")
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
    /// The record does: it is a digest, verification is local work, dropping the row is the revocation.
    Record,
}

/// A decision on a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use = "ignoring a verdict accepts every secret"]
pub enum Verdict {
    /// The candidate is the secret.
    Match,
    /// The candidate is the secret, and the record was made with other parameters than today's: worth an upgrade.
    MatchOutdated,
    /// The candidate is the secret as far as is known: it was proved before, and the backend, which would know whether
    /// the secret is still there, cannot be asked. Only a layer that was told to says this.
    MatchStale,
    /// The candidate is not the secret.
    Mismatch,
}

impl Verdict {
    /// Whether the candidate is the secret.
    #[must_use]
    pub fn is_match(self) -> bool {
        matches!(self, Self::Match | Self::MatchOutdated | Self::MatchStale)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: SecretBackend + ?Sized> SecretBackend for Arc<B> {
    fn info(&self) -> &BackendInfo {
        (**self).info()
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        (**self).place(key)
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        (**self).points_to(stored)
    }

    fn recognises(&self, text: &str) -> bool {
        (**self).recognises(text)
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        (**self).store(key, secret).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        (**self).verify(key, stored, candidate).await
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        (**self).recall(key, stored, candidate)
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        (**self).pin(key, stored).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        (**self).inspect(key, version).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        (**self).overwrite(key, latest, secret).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        (**self).rotate(key, current, secret).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        (**self).revoke(key, stored).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        (**self).forget(key).await
    }

    async fn probe(&self) -> Result<()> {
        (**self).probe().await
    }
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
