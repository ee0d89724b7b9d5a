//! The backends as a replica reaches them: a mount behind a network, and digests in the record.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::fate::Fate;
use super::kv::Change;
use super::rates::Rates;
use super::site::Site;
use super::world::{mount_of, split};
use crate::backend::{BackendInfo, Custody, Held, Pointer, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::inventory::{Inventory, NamePage};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// How long a replica waits for an answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// A first write that arrives later than that, by the database's clock, meets no deletion any more.
const LOOKED_FOR: Duration = Duration::from_secs(90 + 3600 + 86_400);

/// A mount with versions, as a replica reaches it.
pub(super) struct MountBackend {
    info: BackendInfo,
    mount: usize,
    site: Site,
}

impl MountBackend {
    pub(super) fn new(mount: usize, site: Site) -> Result<Self> {
        let kept = site.world.lock().mounts.get(mount).map_or(1, super::kv::Kv::versions_kept);
        let id = BackendId::parse(&format!("mount-{mount}"))?;
        let info =
            BackendInfo::new(id, Custody::Backend).with_pin_mark("?version=").with_versions_kept(kept).with_reveal();
        Ok(Self { info, mount, site })
    }

    fn record(&self, key: &CredentialKey, version: u64) -> StoredSecret {
        StoredSecret::new(self.info.id.clone(), format!("{key}?version={version}"))
    }

    /// All names, in one part.
    fn names(&self, part: impl Fn(&CredentialKey) -> Option<String>) -> NamePage {
        let world = self.site.world.lock();
        let places = world.mounts.get(self.mount).into_iter().flat_map(|mount| mount.places.keys());
        let names: BTreeSet<_> = places.filter_map(part).collect();
        NamePage { names: names.into_iter().collect(), next: None }
    }

    fn is_here(&self, stored: &StoredSecret) -> bool {
        mount_of(stored) == Some(self.mount)
    }

    /// The version that a record of the key pins; none for a bare path.
    fn version(&self, operation: Operation, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<u64>> {
        let (path, version) = split(stored.payload());
        if self.is_here(stored) && path == key.to_string() {
            return Ok(version);
        }
        Err(self.error(ErrorKind::Malformed, operation, "the record is not one of this credential"))
    }

    fn error(&self, kind: ErrorKind, operation: Operation, message: &'static str) -> Error {
        Error::new(kind, message).with_operation(operation).with_backend(self.info.id.clone())
    }

    /// Carries out a change: what it came to, or nothing where the compare-and-set was lost.
    async fn change(&self, operation: Operation, key: &CredentialKey, change: Change) -> Result<Option<u64>> {
        self.site.point("request").await;
        if self.site.next.is_none() {
            self.site.world.lock().written_by_a_clone.insert(key.clone());
        }
        let fate = self.site.world.lock().fate_of_request();
        let silence = || self.error(ErrorKind::Unavailable, operation, "the backend does not answer");
        let carry_out = || self.site.world.lock().carry_out(self.mount, key, &change);
        let outcome = match fate {
            Fate::Sound => carry_out(),
            Fate::Denied => {
                self.site.tell(|| "is denied a request".to_owned());
                return Err(self.error(ErrorKind::Throttled, operation, "the backend is busy"));
            }
            Fate::Lost => {
                self.site.tell(|| "loses a request".to_owned());
                sleep(DEADLINE).await;
                return Err(silence());
            }
            Fate::Unanswered => {
                self.site.tell(|| "loses the answer to:".to_owned());
                carry_out();
                sleep(DEADLINE).await;
                return Err(silence());
            }
            Fate::Late(time) => {
                self.site.tell(|| format!("sends a request that is carried out in {time:?}"));
                self.later(time, key, &change);
                self.site.hears("request", |pen| pen.put(time));
                sleep(DEADLINE.min(time)).await;
                return Err(silence());
            }
            Fate::Twice(time, is_second) => {
                self.site.tell(|| format!("sends a request that is carried out twice, after {time:?}"));
                let first = carry_out();
                if time.is_zero() {
                    let second = carry_out();
                    if is_second { second } else { first }
                } else {
                    self.later(time, key, &change);
                    first
                }
            }
            Fate::Unheard => {
                let is_unheard = matches!(change, Change::Delete) && {
                    let mut world = self.site.world.lock();
                    let now = world.clock.elapsed();
                    world.mounts.get_mut(self.mount).is_some_and(|mount| !mount.standby(now, false).contains_key(key))
                };
                if is_unheard {
                    self.site.tell(|| "a standby has not heard of what it should delete".to_owned());
                    Some(0)
                } else {
                    carry_out()
                }
            }
        };
        self.site.hears("request", |pen| pen.put(outcome));
        self.site.point("answer").await;
        Ok(outcome)
    }

    fn later(&self, time: Duration, key: &CredentialKey, change: &Change) {
        let (site, mount, key, change) = (self.site.clone(), self.mount, key.clone(), change.clone());
        let (restores, sent_at) = {
            let mut world = site.world.lock();
            world.counts.late += 1;
            (world.counts.restores, world.now())
        };
        let sent = change.clone();
        let arrive = async move {
            site.lateness(time).await;
            let mut world = site.world.lock();
            let is_too_late = matches!(change, Change::Write { cas: 0, .. }) && world.now() > sent_at + LOOKED_FOR;
            if world.counts.restores == restores && !(is_too_late && world.is_forgotten(&key)) {
                world.carry_out(mount, &key, &change);
            }
        };
        self.site.in_the_world(arrive, |pen| {
            pen.put((mount, time));
            pen.change(&sent);
        });
    }

    async fn write(
        &self,
        operation: Operation,
        key: &CredentialKey,
        cas: u64,
        secret: Option<&ClientSecret>,
    ) -> Result<StoredSecret> {
        self.site.makes(secret.map(ClientSecret::expose_secret));
        match self.change(operation, key, Change::Write { cas, secret: secret.cloned() }).await? {
            Some(version) => Ok(self.record(key, version)),
            None => Err(self.error(ErrorKind::Conflict, operation, "another version is the latest")),
        }
    }

    /// What is read; from the standby only what it knows.
    async fn read(
        &self,
        operation: Operation,
        key: &CredentialKey,
        version: Option<u64>,
        from_active: bool,
    ) -> Result<Held> {
        self.site.point("read").await;
        let held = {
            let mut world = self.site.world.lock();
            let Rates { lost, standby, .. } = world.rates;
            if world.chance.happens(lost) {
                None
            } else {
                let is_up_to_date = from_active || !world.chance.happens(standby);
                let now = world.clock.elapsed();
                let mut lingers = None;
                let held = world.mounts.get_mut(self.mount).map_or(Held::Nothing, |mount| {
                    let number = version.unwrap_or_else(|| mount.latest(key));
                    let old = mount.standby(now, is_up_to_date).get(key).and_then(|place| place.get(number)).cloned();
                    let is = mount.read(key, number).cloned();
                    lingers = old.clone().flatten().filter(|_| is.is_none());
                    match old.or(is) {
                        Some(secret) => Held::Version { version: number, stored: self.record(key, number), secret },
                        None => Held::Nothing,
                    }
                });
                world.lingers(lingers);
                Some(held)
            }
        };
        let Some(held) = held else {
            sleep(DEADLINE).await;
            return Err(self.error(ErrorKind::Unavailable, operation, "the backend does not answer"));
        };
        self.site.hears("read", |pen| pen.held(&held));
        self.site.point("answer to a read").await;
        Ok(held)
    }
}

#[async_trait]
impl SecretBackend for MountBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        Some(StoredSecret::new(self.info.id.clone(), key.to_string()))
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let (path, version) = split(stored.payload());
        let place = StoredSecret::new(self.info.id.clone(), path);
        self.is_here(stored).then_some(Pointer { place, version })
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.write(Operation::Store, key, 0, Some(secret)).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let version = self.version(Operation::Verify, key, stored)?;
        match self.read(Operation::Verify, key, version, false).await?.secret() {
            Some(secret) if secret.ct_eq(candidate) => Ok(Verdict::Match),
            Some(_) => Ok(Verdict::Mismatch),
            None => Err(self.error(ErrorKind::NotFound, Operation::Verify, "the version is gone")),
        }
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        let version = self.version(Operation::Pin, key, stored)?;
        match self.read(Operation::Pin, key, version, true).await? {
            Held::Version { stored, secret: Some(_), .. } => Ok(stored),
            Held::Version { .. } | Held::Nothing => {
                Err(self.error(ErrorKind::NotFound, Operation::Pin, "the version is gone"))
            }
        }
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        self.read(Operation::Pin, key, version, true).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        self.write(Operation::Rotate, key, latest, secret).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        match self.version(Operation::Rotate, key, current)? {
            Some(version) => self.write(Operation::Rotate, key, version, Some(secret)).await,
            None => Err(self.error(ErrorKind::Malformed, Operation::Rotate, "the record pins no version")),
        }
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.version(Operation::Revoke, key, stored)?;
        self.forget(key).await
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        let version = self.version(Operation::Reveal, key, stored)?;
        Ok(self.read(Operation::Reveal, key, version, true).await?.secret().cloned())
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.change(Operation::Revoke, key, Change::Delete).await.map(drop)
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Inventory for MountBackend {
    async fn clients(&self, _after: Option<&str>, _limit: usize) -> Result<NamePage> {
        Ok(self.names(|key| Some(key.client_id().to_string())))
    }

    async fn credentials_of(&self, client: &str, _after: Option<&str>, _limit: usize) -> Result<NamePage> {
        let is_ones = |key: &CredentialKey| key.client_id().as_str() == client;
        Ok(self.names(|key| is_ones(key).then(|| key.credential_id().to_string())))
    }
}

impl fmt::Debug for MountBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountBackend").field("mount", &self.mount).finish_non_exhaustive()
    }
}
