//! Putting a store together.

use std::collections::HashSet;
use std::sync::Arc;

use super::decoy::Decoy;
use super::time::StoreTime;
use super::{Inner, SecretStore};
use crate::backend::{BackendInfo, SecretBackend, SharedBackend, shared};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{SecretFormat, SecretFormats};
use crate::keys::MacKeys;

/// Settings of a [`SecretStore`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct SecretStoreBuilder {
    primary: SharedBackend,
    accepted: Vec<SharedBackend>,
    time: StoreTime,
    selector_keys: Option<MacKeys>,
    formats: SecretFormats,
    looks_up: bool,
}

impl SecretStore {
    /// Starts with the backend for new secrets. It also verifies its own records.
    pub fn builder(primary: impl SecretBackend) -> SecretStoreBuilder {
        SecretStoreBuilder {
            primary: shared(primary),
            accepted: Vec::new(),
            time: StoreTime::until_known(Arc::new(SystemClock)),
            selector_keys: None,
            formats: SecretFormats::default(),
            looks_up: false,
        }
    }
}

impl SecretStoreBuilder {
    /// Adds a backend whose records still verify. Repeat it for more; of one kind, each but one has the name of an
    /// [instance](crate::backends::Instance).
    pub fn accepts(mut self, backend: impl SecretBackend) -> Self {
        self.accepted.push(shared(backend));
        self
    }

    /// Sets the clock by which grace periods end. Unless set it is the machine's, which in a
    /// [`Lifecycle`](crate::lifecycle::Lifecycle) follows the ledger's: each transaction and each round reads that.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.time = StoreTime::of(clock);
        self
    }

    /// As without a clock, on a machine with this one.
    #[cfg(test)]
    pub(crate) fn machine_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { time: StoreTime::until_known(clock), ..self }
    }

    /// Sets keys for [`Selector`](crate::Selector)s. The store then gives one with every record that it makes or proves,
    /// and asks only those records that the selectors beside them leave in question. Without keys it neither makes nor
    /// reads any.
    ///
    /// What time tells changes with it: a wrong secret for a record with a selector costs a MAC, and so does an unknown
    /// client; see [`verify_decoy`](SecretStore::verify_decoy).
    pub fn selector_keys(mut self, keys: MacKeys) -> Self {
        self.selector_keys = Some(keys);
        self
    }

    /// Sets the form of new secrets, and which candidates may be secrets at all. Default: the
    /// [documented form](crate::SecretFormat::documented), and any other text.
    ///
    /// A candidate that has none of the forms is a mismatch at once, before any digest, any request and any look at the rows. So is
    /// one for an unknown client.
    pub fn formats(mut self, formats: impl Into<SecretFormats>) -> Self {
        self.formats = formats.into();
        self
    }

    /// Has selectors not bound to the client, so that a key is looked up by its selector where no client id comes with it: see
    /// [`Lifecycle::authenticate_key`](crate::lifecycle::Lifecycle::authenticate_key). Needs
    /// [`selector_keys`](Self::selector_keys). Selectors of the other kind still select, and are replaced at the next proof.
    pub fn look_up_by_key(mut self) -> Self {
        self.looks_up = true;
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    /// `InvalidConfig` when two backends have the same id: a record could not be told to belong to one of them; when the
    /// primary [only verifies](crate::BackendInfo::reads_only), or cannot hold secrets of the form of new ones;
    /// or when keys are to be looked up without selector keys.
    pub fn build(self) -> Result<SecretStore> {
        let Self { primary, accepted, time, selector_keys, formats, looks_up } = self;
        let mut seen = HashSet::from([primary.info().id.clone()]);
        if let Some(twice) = accepted.iter().map(|backend| &backend.info().id).find(|id| !seen.insert((*id).clone())) {
            let message = format!(
                "the backend `{twice}` was given twice; each id may stand for one backend only: name one of them by \
                 `Instance::new`, or by `instance` of its builder"
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_backend(twice.clone()));
        }
        if primary.info().reads_only {
            return Err(primary.info().only_reads());
        }
        refuse_unfit(primary.info(), formats.issued())?;
        if looks_up && selector_keys.is_none() {
            let message = "`look_up_by_key` looks keys up by their selectors: give `selector_keys`";
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        let decoy = Decoy::of(&primary, &accepted, selector_keys.as_ref(), &formats)?;
        Ok(SecretStore(Arc::new(Inner { primary, accepted, time, selector_keys, formats, looks_up, decoy })))
    }
}

/// A store that could issue nothing would be noticed at the first issue only.
fn refuse_unfit(primary: &BackendInfo, issued: &SecretFormat) -> Result<()> {
    let (id, shortest) = (&primary.id, issued.shortest());
    let message = match (primary.formats(), primary.max_secret_len) {
        (Some(formats), _) if !formats.all().any(|format| format == issued) => format!(
            "the backend `{id}` takes generated secrets only, and was not given the form of new ones: give it the same as `formats`, \
             by `KeyedDigest::with_formats`"
        ),
        (_, Some(longest)) if shortest > longest => format!(
            "secrets of the form in `formats` have {shortest} bytes, and the backend `{id}` takes {longest}: set fewer \
             `digits`, or another `alphabet`"
        ),
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidConfig, message).with_backend(id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::{KeyedDigest, Memory};

    const KEYS: &str = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_primary_that_could_hold_no_new_secret_is_refused() {
        let ours = SecretFormat::builder("acme_").build().unwrap();
        let keyed = || KeyedDigest::new(MacKeys::parse(KEYS).unwrap());
        let error = SecretStore::builder(keyed()).formats(ours.clone()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("`KeyedDigest::with_formats`"), "{error}");
        assert!(SecretStore::builder(keyed().with_formats(ours.clone())).formats(ours).build().is_ok());
        assert!(SecretStore::builder(keyed()).build().is_ok());
    }

    #[cfg(feature = "bcrypt")]
    #[test]
    fn a_form_that_is_too_long_for_the_primary_is_refused() {
        let long = SecretFormat::builder("acme_").digits(68).build().unwrap();
        let bcrypt = crate::backends::Bcrypt::builder().build().unwrap();
        let error = SecretStore::builder(bcrypt).formats(long).build().unwrap_err();
        assert!(error.to_string().contains("73 bytes") && error.to_string().contains("`digits`"), "{error}");
    }

    #[test]
    fn an_id_stands_for_one_backend() {
        let error = SecretStore::builder(Memory::new()).accepts(Memory::new()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("`memory`"), "{error}");
    }

    #[test]
    fn the_store_can_be_shared() {
        fn shareable<T: Clone + Send + Sync + 'static>(_: &T) {}
        shareable(&SecretStore::builder(Memory::new()).build().unwrap());
    }
}
