//! Logins, and whether they were decided rightly.

use super::fault::Fault;
use super::replica::Replica;
use super::site::Site;
use super::world::World;
use crate::credential::{ClientId, CredentialKey};
use crate::lifecycle::{Decision, State};
use crate::secret::ClientSecret;

/// A rule of each decision.
const LINEARIZABLE: &str = "authentications are linearizable with acknowledged changes";

/// A client logs in with a secret that it has, or had, or never had.
pub(super) fn begin(replica: &Replica, key: &CredentialKey) {
    let secret = replica.site.world.lock().a_secret();
    if let Some(secret) = secret {
        begin_with(replica, key, secret);
    }
}

pub(super) fn begin_with(replica: &Replica, key: &CredentialKey, secret: ClientSecret) {
    let Replica { life, site, .. } = replica.clone();
    {
        let mut world = site.world.lock();
        world.oracle.presented(&secret);
        world.counts.logins += 1;
    }
    let key = key.clone();
    site.clone().spawn(Box::pin(async move {
        let (from, began) = (site.decides_from_now_on(&secret), site.world.lock().now());
        let fault = {
            let mut world = site.world.lock();
            world.tell(|world| format!("replica {}: {key} logs in with {}", site.replica, world.alias(Some(&secret))));
            world.fault
        };
        let Ok(decision) = life.authenticate(key.client_id(), &secret).await else { return };
        let Decision::Proved(proof) = decision else {
            site.world.lock().decided(key.client_id(), &secret, &decision, from);
            return;
        };
        site.world.lock().was_used(site.owner, proof.key(), &secret, began);
        // The token is signed, and the audit event committed.
        site.point("the rest of a login").await;
        if fault == Some(Fault::NoSecondLook) {
            let now = site.world.lock().moment();
            site.world.lock().decided(key.client_id(), &secret, &Decision::Proved(proof), now);
            return;
        }
        let look = site.decides_from_now_on(&secret);
        if let Ok(decision) = life.still_counts(proof, &secret).await {
            site.world.lock().decided(key.client_id(), &secret, &decision, look);
        }
    }));
}

impl Site {
    /// The moment, from which on what this task decides has to have been right.
    fn decides_from_now_on(&self, secret: &ClientSecret) -> usize {
        let moment = self.world.lock().moment();
        self.notes_itself(|small, task| small.decide(task, moment, secret));
        moment
    }
}

impl World {
    /// Whether the secret has counted since then, and whether it has not.
    pub(super) fn counted_since(&self, from: usize, secret: &ClientSecret) -> [bool; 2] {
        let mut counted = [false; 2];
        for epoch in self.oracle.epochs.get(from..).unwrap_or_default() {
            let counts = epoch.secrets.iter().any(|(_, text)| text == secret.expose_secret());
            counted[usize::from(counts)] = true;
        }
        counted
    }

    /// One that clients know of.
    fn a_secret(&mut self) -> Option<ClientSecret> {
        let known = self.oracle.known();
        let latest = known.len().checked_sub(1)?;
        let is_latest = self.chance.happens(500);
        let index =
            if is_latest { latest.saturating_sub(self.chance.below(3)) } else { self.chance.below(known.len()) };
        known.get(index).map(|text| ClientSecret::from(text.as_str()))
    }

    /// There has to be a moment since `from` at which this was the right decision.
    pub(super) fn decided(&mut self, client: &ClientId, secret: &ClientSecret, decision: &Decision, from: usize) {
        self.watch();
        let counts = |epoch: &super::seen::Epoch, of: Option<&CredentialKey>| {
            epoch.secrets.iter().any(|(key, text)| {
                key.client_id() == client && text == secret.expose_secret() && of.is_none_or(|of| of == key)
            })
        };
        let mut since = self.oracle.epochs.get(from..).unwrap_or_default().iter();
        let is_right = match decision {
            Decision::Proved(proof) => {
                let lingers = self.oracle.lingering.contains(secret.expose_secret());
                lingers || since.any(|epoch| counts(epoch, Some(proof.key())) && !epoch.suspended.contains(client))
            }
            // By rows that were read before the clock was put back a secret counts that does not count any more.
            Decision::NotActive => {
                since.any(|epoch| (counts(epoch, None) || self.counts.jumps > 0) && epoch.suspended.contains(client))
            }
            Decision::Mismatch { .. } => {
                let may_be_gone = self.oracle.was_over(client, secret) || self.oracle.has_another_secret_of(client);
                may_be_gone || since.any(|epoch| !counts(epoch, None))
            }
        };
        self.tell(|world| {
            let decision = match decision {
                Decision::Proved(_) => "is let in",
                Decision::NotActive => "is not active",
                Decision::Mismatch { .. } => "is refused",
            };
            format!("{client} with {} {decision}", world.alias(Some(secret)))
        });
        if !is_right {
            self.violate(LINEARIZABLE, |world| format!("{client} with {}", world.alias(Some(secret))));
        }
    }

    /// A standby has shown what is deleted already. Where the database was put back to before the end of that credential, nobody there
    /// can know better.
    pub(super) fn lingers(&mut self, secret: Option<ClientSecret>) {
        if let Some(secret) = secret.filter(|_| self.counts.restores > 0) {
            self.oracle.lingering.insert(secret.expose_secret().to_owned());
        }
    }

    pub(super) fn oracle_state(&self, key: &CredentialKey) -> &State {
        self.oracle.state(key)
    }

    /// Suspends a client, or lets it authenticate again.
    pub(super) fn suspend(&mut self, client: &ClientId) {
        let mut epoch = self.oracle.epochs.last().cloned().unwrap_or_default();
        let is_suspended = epoch.suspended.remove(client);
        if !is_suspended {
            epoch.suspended.insert(client.clone());
        }
        self.ledger.suspend(client, !is_suspended);
        self.tell(|_| format!("{client} is suspended: {}", !is_suspended));
        self.enter(epoch);
    }
}
