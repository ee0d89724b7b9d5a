//! The trait.

use std::fmt;

use async_trait::async_trait;

use super::answer::{Held, Pointer, Verdict};
use super::info::{BackendInfo, Custody};
use super::recall::Recall;
use crate::credential::{ClientId, CredentialKey};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

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
/// A one-way function is less work as a `Digester`. A wrapper implements all sixteen methods and puts
/// `#[deny(clippy::missing_trait_methods)]` on its `impl`: a wrapper that does not forward [`recall`](Self::recall) and
/// [`recall_for`](Self::recall_for) disables the cache behind it, or makes it slower, and one that does not forward [`pin`](Self::pin),
/// [`inspect`](Self::inspect), [`overwrite`](Self::overwrite), [`reveal`](Self::reveal), [`forget`](Self::forget) or
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

    /// Opens what is remembered for one candidate of a client, to look at several records.
    ///
    /// [`SecretStore::verify_any`](crate::SecretStore::verify_any) looks at all of a client's credentials through it. A backend
    /// that computes something of the candidate overrides it, to compute that once. The default calls [`recall`](Self::recall)
    /// for each record.
    ///
    /// # Contract
    /// For each record the answer of [`recall`](Self::recall).
    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        let _ = client;
        Box::new(Each { backend: self, candidate })
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
    /// Changes nothing. A server with replicas reads from the one that is never behind. Versions count from 1; nobody asks for version 0,
    /// which some servers take for the latest.
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

    /// Returns the secret that `stored` stands for. `None`: it cannot be shown, or is gone.
    ///
    /// For [`Lifecycle::reveal`](crate::lifecycle::Lifecycle::reveal). A backend that shows secrets says
    /// [`with_reveal`](BackendInfo::with_reveal); any other shows nothing. The default [inspects](Self::inspect) the version that the record
    /// [points to](Self::points_to) at the key's [place](Self::place), so only one whose record holds the secret implements it.
    ///
    /// # Contract
    /// Changes nothing. Whatever it shows is what `verify` would match: never another version's secret, nor another key's.
    ///
    /// # Errors
    /// `Malformed` when the record is damaged, belongs to another backend, or is not the key's; `Denied`, `Throttled`,
    /// `Unavailable` as their kinds say.
    ///
    /// # Cancel safety
    /// Safe to drop at any point.
    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        let Some(Pointer { place, version: Some(version) }) = self.points_to(stored) else { return Ok(None) };
        if !self.info().reveals || *stored.backend() != self.info().id || self.place(key) != Some(place) {
            return Ok(None);
        }
        Ok(self.inspect(key, Some(version)).await?.secret().cloned())
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

pub(crate) fn keeps_no_versions(info: &BackendInfo) -> Error {
    Error::new(ErrorKind::InvalidConfig, "the backend keeps no numbered versions of a secret")
        .with_backend(info.id.clone())
}

/// Asks the backend for each record: the default.
pub(crate) struct Each<'a, B: ?Sized> {
    pub(crate) backend: &'a B,
    pub(crate) candidate: &'a ClientSecret,
}

impl<B: SecretBackend + ?Sized> Recall for Each<'_, B> {
    fn recall(&mut self, key: &CredentialKey, stored: &StoredSecret) -> Option<Verdict> {
        self.backend.recall(key, stored, self.candidate)
    }
}
