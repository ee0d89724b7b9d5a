//! Writing a secret to its place, so that no version that counts is evicted and no presented secret is shown.
//!
//! The caller holds the [`Lease`] and commits what was written. Compare-and-set on the version keeps out every writer that
//! holds none, such as an operator's hand.

use super::digest::SecretDigest;
use super::flaw::Flaw;
use super::lease::Lease;
use super::ledger::Ledger;
use super::note::OpenWriteKind;
use super::rows::Row;
use super::window::{Next, Window};
use super::{ATTEMPTS, Event, Failure, Lifecycle};
use crate::backend::{Held, SharedBackend};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result as BackendResult};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;
use crate::selector::Selector;

/// A secret that is written and not committed.
#[derive(Debug)]
pub(super) struct NewSecret {
    pub(super) secret: ClientSecret,
    pub(super) stored: StoredSecret,
    pub(super) selector: Option<Selector>,
}

/// What was written at a place.
pub(super) enum Written {
    /// A version that is new to the row, ready to be committed.
    New(NewSecret),
    /// A later version of the same secret, which the row has to pin first.
    Repaired(StoredSecret),
}

impl<L: Ledger> Lifecycle<L> {
    /// Writes a generated secret as the next version of a place that the row pins as `record`. `oldest` is the oldest version
    /// there that counts.
    pub(super) async fn write_in_place(
        &self,
        lease: &mut Lease,
        record: &StoredSecret,
        oldest: u64,
        secret: ClientSecret,
    ) -> Result<Written, Failure<L::Error>> {
        let (backend, key) = (self.0.store.primary_backend(), lease.key.clone());
        let window = self.window(lease, oldest);
        // Without an earlier attempt the version that the row pins ought to be the latest.
        if lease.left.is_none() && window.next() == Next::Write && window.may_push_out {
            match backend.rotate(&key, record, &secret).await {
                Ok(stored) => return Ok(Written::New(self.new_secret(&key, stored, secret))),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(self.failed(lease, rotating(error, backend)).await),
            }
        }
        for _ in 0..ATTEMPTS {
            let (window, latest) = match self.look(lease, oldest).await {
                Ok(looked) => looked,
                Err(error) => return Err(self.failed(lease, rotating(error, backend)).await),
            };
            if !self.renew(lease).await? {
                return Err(Failure::Busy);
            }
            let next = if self.has(Flaw::WritesOnTop) { Next::Write } else { window.next() };
            let written = match next {
                Next::Adopt => {
                    self.tell(&Event::Adopted(key.clone()));
                    match latest {
                        Held::Version { stored, secret: Some(secret), .. } => Ok((stored, secret)),
                        _ => continue,
                    }
                }
                Next::Write => {
                    let stored = backend.overwrite(&key, window.latest, Some(&secret)).await;
                    stored.map(|stored| (stored, secret.clone()))
                }
                Next::Repair => return self.repair(lease, &window).await.map(Written::Repaired),
                Next::Wait => {
                    self.close(lease).await;
                    return Err(rotating(in_doubt(), backend).into());
                }
                Next::Refuse => {
                    // Nothing was written.
                    self.close(lease).await;
                    return Err(rotating(too_few_versions(), backend).into());
                }
            };
            match written {
                Ok((stored, secret)) => return Ok(Written::New(self.new_secret(&key, stored, secret))),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(self.failed(lease, rotating(error, backend)).await),
            }
        }
        self.end_lease(&key, lease.attempt).await;
        Err(Failure::Busy)
    }

    /// Writes `secret` at a place that no row points to, over whatever lies there. Nothing there is ever adopted: it may be a
    /// secret that a client has presented.
    pub(super) async fn write_moving_in(
        &self,
        lease: &Lease,
        secret: ClientSecret,
    ) -> Result<NewSecret, Failure<L::Error>> {
        let (backend, key) = (self.0.store.primary_backend(), &lease.key);
        if lease.left.is_none() {
            match backend.store(key, &secret).await {
                Ok(stored) => return Ok(self.new_secret(key, stored, secret)),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(self.failed(lease, rotating(error, backend)).await),
            }
        }
        for _ in 0..ATTEMPTS {
            let latest = match backend.inspect(key, None).await {
                Ok(Held::Version { stored, secret: Some(there), .. }) if self.has(Flaw::AdoptsWhatIsThere) => {
                    return Ok(self.new_secret(key, stored, there));
                }
                Ok(latest) => latest.version(),
                Err(error) => return Err(self.failed(lease, rotating(error, backend)).await),
            };
            if !self.renew(lease).await? {
                return Err(Failure::Busy);
            }
            if self.evicts_previous(lease, latest) && !self.has(Flaw::WritesOnTop) {
                self.close(lease).await;
                return Err(rotating(too_few_versions(), backend).into());
            }
            // The row of another database may point here, and mean the latest version.
            if latest > 0 && !self.may_push_out(&backend.info().id) {
                self.close(lease).await;
                return Err(rotating(in_doubt(), backend).into());
            }
            match backend.overwrite(key, latest, Some(&secret)).await {
                Ok(stored) => return Ok(self.new_secret(key, stored, secret)),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(self.failed(lease, rotating(error, backend)).await),
            }
        }
        self.end_lease(key, lease.attempt).await;
        Err(Failure::Busy)
    }

    /// What a repair left whose commit never came: the current secret once more. None where the latest version is anything else.
    pub(super) async fn repaired(&self, lease: &Lease) -> BackendResult<Option<StoredSecret>> {
        match self.backend_at(&lease.key, &lease.place)?.inspect(&lease.key, None).await? {
            Held::Version { stored, secret: Some(secret), .. } if lease.has_repaired(&secret) => Ok(Some(stored)),
            _ => Ok(None),
        }
    }

    pub(super) fn new_secret(&self, key: &CredentialKey, stored: StoredSecret, secret: ClientSecret) -> NewSecret {
        let selector = self.0.store.selector_for(key, &stored, &secret);
        NewSecret { secret, stored, selector }
    }

    /// Whether no other database vouches for what lies at the backend.
    pub(super) fn may_push_out(&self, at: &BackendId) -> bool {
        self.has(Flaw::PushesOutInDoubt) || self.0.gate.as_ref().is_none_or(|gate| gate.may_push_out(at))
    }

    /// Whether a write over `latest` evicts a previous secret, which counts at the place that the credential moves back to.
    fn evicts_previous(&self, lease: &Lease, latest: u64) -> bool {
        let secrets = lease.row.as_ref().and_then(|row| row.secrets.as_ref());
        let oldest = secrets.and_then(|secrets| self.oldest(secrets, &lease.place, lease.now));
        oldest.is_some_and(|oldest| Window { latest, ..self.window(lease, oldest) }.evicts(oldest))
    }

    fn window(&self, lease: &Lease, oldest: u64) -> Window {
        Window {
            base: lease.base,
            oldest: oldest.min(lease.base),
            latest: lease.base,
            is_noted: false,
            may_adopt: self.may_adopt(lease.place.backend()),
            may_push_out: self.may_push_out(lease.place.backend()),
            has_base: true,
            has_older: None,
            kept: self
                .backend_at(&lease.key, &lease.place)
                .map_or(None, |at| at.info().versions_kept)
                .unwrap_or(u64::MAX),
        }
    }

    /// Looks at the place on the active node.
    async fn look(&self, lease: &Lease, oldest: u64) -> BackendResult<(Window, Held)> {
        let (backend, key, base) = (self.backend_at(&lease.key, &lease.place)?, &lease.key, lease.base);
        let latest = backend.inspect(key, None).await?;
        let is_noted = latest.secret().is_some_and(|secret| lease.has_noted(secret));
        let mut window = Window { latest: latest.version(), is_noted, ..self.window(lease, oldest) };
        // In doubt a place that shows fewer versions than are said to be kept is believed before anything lies on top, too.
        let looks_closer = if window.may_push_out { window.latest > base } else { window.latest >= base };
        if looks_closer && window.next() != Next::Adopt {
            window.has_base = backend.inspect(key, Some(base)).await?.secret().is_some();
            if base > 1 {
                window.has_older = Some(matches!(backend.inspect(key, Some(base - 1)).await?, Held::Version { .. }));
            }
        }
        Ok((window, latest))
    }

    /// Carries a repair out anew that is not there. It may still arrive, and would evict the version that the row pins: so what arrives
    /// has to find another version. Nothing where there is no such danger.
    pub(super) async fn repair_again(&self, lease: &mut Lease) -> Result<Option<StoredSecret>, Failure<L::Error>> {
        let backend = self.backend_at(&lease.key, &lease.place)?;
        match self.look(lease, lease.base).await {
            Ok((window, _)) if window.has_base && window.evicts_base() => self.repair(lease, &window).await.map(Some),
            Ok(_) => Ok(None),
            Err(error) => Err(self.failed(lease, rotating(error, backend)).await),
        }
    }

    /// Writes the row's secret over the latest version, if that is still `latest` and none is evicted by it that counts.
    pub(super) async fn repair_over(
        &self,
        lease: &mut Lease,
        before: &Row,
        latest: u64,
    ) -> Result<Option<StoredSecret>, Failure<L::Error>> {
        if lease.base == 0 {
            self.close(lease).await;
            return Ok(None);
        }
        let oldest = before.secrets.as_ref().and_then(|secrets| self.oldest(secrets, &lease.place, lease.now));
        let window = match self.look(lease, oldest.unwrap_or(lease.base)).await {
            Ok((window, _)) => window,
            Err(error) => return Err(self.failed(lease, error.with_operation(Operation::Rotate)).await),
        };
        let evicts_previous = window.oldest < window.base && window.evicts(window.oldest);
        if window.latest != latest || !window.has_base || evicts_previous {
            self.close(lease).await;
            return Ok(None);
        }
        self.repair(lease, &window).await.map(Some)
    }

    /// Writes the current secret over the latest version. A digest of it is noted first: should the commit never come, the next
    /// writer recognises the secret and has the row pin it.
    async fn repair(&self, lease: &mut Lease, window: &Window) -> Result<StoredSecret, Failure<L::Error>> {
        let (backend, key) = (self.backend_at(&lease.key, &lease.place)?, lease.key.clone());
        let current = match backend.inspect(&key, Some(window.base)).await {
            Ok(Held::Version { secret: Some(current), .. }) => current,
            Ok(_) => {
                self.end_lease(&key, lease.attempt).await;
                return Err(Failure::Busy);
            }
            Err(error) => return Err(self.failed(lease, rotating(error, backend)).await),
        };
        let digest = SecretDigest::of_current(&current, self.0.store.formats())?;
        if window.evicts_base() && digest.is_none() {
            // No digest of a chosen secret is kept, so a repair that is not committed could not be recognised.
            let why = "newer versions that no row points to leave no room for another; delete them in the backend, or raise \
                       max_versions";
            return Err(self.failed(lease, rotating(Error::new(ErrorKind::Conflict, why), backend)).await);
        }
        self.tell(&Event::Repaired(key.clone()));
        self.reopen(lease, OpenWriteKind::Repair, window.base, digest.as_ref()).await?;
        match backend.overwrite(&key, window.latest, Some(&current)).await {
            Ok(stored) => Ok(stored),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.end_lease(&key, lease.attempt).await;
                Err(Failure::Busy)
            }
            Err(error) => Err(self.failed(lease, rotating(error, backend)).await),
        }
    }
}

fn too_few_versions() -> Error {
    let message = "the backend keeps too few versions for another one beside those that count: raise max_versions, or wait for the \
                   end of the overlap";
    Error::new(ErrorKind::Conflict, message)
}

pub(super) fn means_the_latest() -> Error {
    let message = "the record means the latest version, and another one may change what it means to another database: the gate (with_gate) \
                   says that this database or the backend was copied or restored. Decide which database is the right one and admit \
                   it, or issue another credential";
    Error::new(ErrorKind::Conflict, message)
}

fn in_doubt() -> Error {
    let message = "there is no room for another version beside those that may count for another database: the gate (with_gate) says that \
                   this database or the backend may have been copied or restored. Have the comparison settled, decide which \
                   database is the right one and admit it, or issue another credential";
    Error::new(ErrorKind::Conflict, message)
}

pub(super) fn rotating(error: Error, backend: &SharedBackend) -> Error {
    error.with_operation(Operation::Rotate).with_backend(backend.info().id.clone())
}
