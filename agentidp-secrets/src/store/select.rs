//! Which of a client's records are worth checking: what selectors say, before any record decides.

use std::time::SystemTime;

use super::SecretStore;
use super::lifecycle::{CredentialSecrets, Generation};
use crate::credential::{ClientId, CredentialKey};
use crate::error::Operation;
use crate::keys::MacKeys;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;
use crate::selector::{Fingerprint, Selector, fingerprint, look_up_fingerprint};

/// A record that counts, and the selector beside it.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) generation: Generation,
    pub(super) stored: &'a StoredSecret,
    pub(super) selector: Option<&'a Selector>,
}

/// Records of one credential, in the order in which they are tried. Small, since there is one for each credential of each login.
#[derive(Clone, Copy)]
pub(super) struct Trial<'a> {
    /// The credential's place in the caller's slice.
    pub(super) index: usize,
    pub(super) key: &'a CredentialKey,
    secrets: &'a CredentialSecrets,
    current: bool,
    previous: bool,
}

impl<'a> Trial<'a> {
    /// The records that count by now.
    fn of(
        index: usize,
        (key, secrets): (&'a CredentialKey, &'a CredentialSecrets),
        now: impl FnOnce() -> SystemTime,
    ) -> Self {
        let previous = secrets.previous.as_ref().is_some_and(|previous| now() < previous.valid_until);
        Self { index, key, secrets, current: true, previous }
    }

    fn without_any(self) -> Self {
        Self { current: false, previous: false, ..self }
    }

    fn push(&mut self, generation: Generation) {
        match generation {
            Generation::Current => self.current = true,
            Generation::Previous => self.previous = true,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !(self.current || self.previous)
    }

    /// The record to be tried first, if there is any.
    pub(super) fn first(&self) -> Option<Record<'a>> {
        self.records().next()
    }

    pub(super) fn without_first(self) -> Self {
        Self { current: false, previous: self.current && self.previous, ..self }
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let Self { secrets, current, previous, .. } = *self;
        let present =
            Record { generation: Generation::Current, stored: &secrets.current, selector: secrets.selector.as_ref() };
        let previous = secrets.previous.as_ref().filter(|_| previous).map(|previous| Record {
            generation: Generation::Previous,
            stored: &previous.stored,
            selector: previous.selector.as_ref(),
        });
        current.then_some(present).into_iter().chain(previous)
    }
}

/// What a record's selector says of the candidate.
enum Standing {
    /// It fits: worth checking before all others.
    Chosen,
    /// There is none, or none that can be read: the record has to be asked.
    Open,
    /// The candidate is not this record's secret.
    RuledOut,
}

/// The candidate's side of the comparison: its fingerprint under each key that a record names, computed once.
pub(super) struct Selection<'a> {
    store: &'a SecretStore,
    candidate: &'a ClientSecret,
    /// Whether it has a fingerprint at all.
    is_generated: bool,
    /// Whose fingerprints these are: they are bound to the client.
    client: Option<&'a ClientId>,
    fingerprints: [Option<Fingerprint>; MacKeys::MOST],
    /// Those that are bound to none.
    look_ups: [Option<Fingerprint>; MacKeys::MOST],
}

impl<'a> Selection<'a> {
    pub(super) fn new(store: &'a SecretStore, candidate: &'a ClientSecret) -> Self {
        let is_generated = store.0.selector_keys.is_some() && store.formats().recognises(candidate);
        Self {
            store,
            candidate,
            is_generated,
            client: None,
            fingerprints: [None; MacKeys::MOST],
            look_ups: [None; MacKeys::MOST],
        }
    }

    /// The records of a credential that are chosen, and those that are open. The rest is ruled out.
    pub(super) fn sort(
        &mut self,
        index: usize,
        key: &'a CredentialKey,
        secrets: &'a CredentialSecrets,
    ) -> (Trial<'a>, Trial<'a>) {
        let valid = Trial::of(index, (key, secrets), || self.store.now());
        let (mut chosen, mut open) = (valid.without_any(), valid.without_any());
        if self.store.0.selector_keys.is_none() {
            return (chosen, valid);
        }
        for record in valid.records() {
            match self.standing(key.client_id(), &record) {
                Standing::Chosen => chosen.push(record.generation),
                Standing::Open => open.push(record.generation),
                Standing::RuledOut => {}
            }
        }
        (chosen, open)
    }

    fn standing(&mut self, client: &'a ClientId, record: &Record<'_>) -> Standing {
        let (Some(keys), Some(selector)) = (&self.store.0.selector_keys, record.selector) else {
            return Standing::Open;
        };
        let Some((place, key)) = keys.find(selector.key_id()) else { return Standing::Open };
        if !self.store.is_pinned(record.stored) {
            return Standing::Open;
        }
        if !self.is_generated {
            return Standing::RuledOut;
        }
        if selector.is_for_look_up() {
            let ours = self.look_ups[place].get_or_insert_with(|| look_up_fingerprint(key, self.candidate));
            return if selector.is(ours) { Standing::Chosen } else { Standing::RuledOut };
        }
        if self.client != Some(client) {
            (self.client, self.fingerprints) = (Some(client), [None; MacKeys::MOST]);
        }
        let ours = self.fingerprints[place].get_or_insert_with(|| fingerprint(key, client, self.candidate));
        if selector.is(ours) { Standing::Chosen } else { Standing::RuledOut }
    }
}

impl SecretStore {
    /// The selector to keep beside a record that the secret was just proved to be of, unless the right one is there.
    pub(super) fn selector_to_keep(
        &self,
        key: &CredentialKey,
        record: &Record<'_>,
        proved: &ClientSecret,
    ) -> Option<Selector> {
        let todays = self.0.selector_keys.as_ref()?.ids().next();
        let is_todays = |selector: &&Selector| {
            Some(selector.key_id()) == todays.as_ref() && selector.is_for_look_up() == self.0.looks_up
        };
        if record.selector.as_ref().is_some_and(is_todays) {
            return None;
        }
        self.selector_for(key, record.stored, proved)
    }

    /// The selector of a secret, where there are keys and the record stands for this secret for ever.
    pub(crate) fn selector_for(
        &self,
        key: &CredentialKey,
        stored: &StoredSecret,
        secret: &ClientSecret,
    ) -> Option<Selector> {
        let keys = self.0.selector_keys.as_ref()?;
        match self.is_pinned(stored) {
            true if self.0.looks_up => keys.look_up_of(self.formats(), secret),
            true => keys.selector_of(self.formats(), key.client_id(), secret),
            false => None,
        }
    }

    /// The selectors by which the row of a bare key is found, one for each key; none where the store makes no such ones.
    pub(crate) fn lookups(&self, candidate: &ClientSecret) -> Option<Vec<Selector>> {
        let keys = self.0.selector_keys.as_ref().filter(|_| self.0.looks_up)?;
        Some(keys.look_ups(self.formats(), candidate))
    }

    /// Whether the record stands for one secret for ever. One that points at whichever is the latest may come to mean
    /// another, which a selector beside it would rule out. A backend that is not configured cannot be asked.
    fn is_pinned(&self, stored: &StoredSecret) -> bool {
        self.claim(Operation::Verify, stored).map_or(true, |(backend, stored)| backend.info().is_pinned(&stored))
    }
}
