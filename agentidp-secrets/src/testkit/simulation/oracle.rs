//! What must hold after each change of the database or of a mount.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::operations::Kind;
use super::world::{MOUNTS, World, mount_of};
use crate::credential::{ClientId, CredentialKey};
use crate::lifecycle::{Row, State};
use crate::secret::ClientSecret;

/// What has been seen of credentials and secrets.
#[derive(Default)]
pub(super) struct Oracle {
    pub(super) keys: Vec<CredentialKey>,
    seen: BTreeMap<CredentialKey, Seen>,
    /// Lines of the audit that were looked at.
    lines: usize,
    secrets: BTreeMap<String, Origin>,
    /// What counted, in the order of time.
    pub(super) epochs: Vec<Epoch>,
    /// The next time at which a previous secret ends by itself.
    until: Option<SystemTime>,
}

/// A credential as it was when last looked at.
#[derive(Default)]
struct Seen {
    state: State,
    meaning: Meaning,
    /// The overlap was over at some time, so that a clock that is put back gives the previous secret no right.
    is_over: bool,
}

/// The secrets that a row vouches for.
#[derive(Clone, Default)]
pub(super) struct Meaning {
    pub(super) current: Option<ClientSecret>,
    pub(super) previous: Option<(ClientSecret, SystemTime)>,
}

/// What is known of a secret.
#[derive(Clone, Copy)]
struct Origin {
    number: usize,
    /// A caller or a client has it: it was shown, presented, or was there from the beginning.
    is_known: bool,
    /// The mounts where a row has vouched for it.
    counted_at: [bool; MOUNTS],
}

/// What counts at a moment.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) secrets: BTreeSet<(CredentialKey, String)>,
    pub(super) suspended: BTreeSet<ClientId>,
}

impl Oracle {
    /// A short name of a secret, for the history.
    pub(super) fn alias(&self, secret: &ClientSecret) -> String {
        self.secrets
            .get(secret.expose_secret())
            .map_or_else(|| "a new secret".to_owned(), |known| format!("S{}", known.number))
    }

    fn origin(&mut self, secret: &ClientSecret) -> &mut Origin {
        let number = self.secrets.len();
        let new = Origin { number, is_known: false, counted_at: [false; MOUNTS] };
        self.secrets.entry(secret.expose_secret().to_owned()).or_insert(new)
    }

    /// A client has it.
    pub(super) fn presented(&mut self, secret: &ClientSecret) {
        self.origin(secret).is_known = true;
    }

    /// The secrets that clients know of, the oldest first.
    pub(super) fn known(&self) -> Vec<String> {
        let mut known: Vec<_> = self.secrets.iter().filter(|(_, origin)| origin.is_known).collect();
        known.sort_by_key(|(_, origin)| origin.number);
        known.into_iter().map(|(text, _)| text.clone()).collect()
    }

    /// A credential as it was when last looked at.
    pub(super) fn state(&self, key: &CredentialKey) -> &State {
        self.seen.get(key).map_or(&State::Absent, |seen| &seen.state)
    }

    /// Whether a row has ever vouched for the secret at this mount, and no move there has failed that left it once more.
    pub(super) fn has_left(&self, secret: &ClientSecret, mount: usize) -> bool {
        self.secrets.get(secret.expose_secret()).is_some_and(|origin| origin.counted_at[mount])
    }

    /// A secret is written where its credential is not.
    pub(super) fn moves_in(&mut self, secret: &ClientSecret, mount: usize) {
        self.origin(secret).counted_at[mount] = false;
    }

    /// What the row of a credential means, as it was when it was committed.
    pub(super) fn meaning(&self, key: &CredentialKey) -> Option<&Meaning> {
        self.seen.get(key).map(|seen| &seen.meaning)
    }
}

impl World {
    /// A secret is handed out.
    pub(super) fn shown(&mut self, secret: &ClientSecret) {
        let origin = self.oracle.origin(secret);
        let is_known = origin.is_known;
        origin.is_known = true;
        if is_known {
            self.violate("no secret is shown twice or was presented before", |world| world.alias(Some(secret)));
        }
    }

    /// The database has changed.
    pub(super) fn committed(&mut self) {
        self.end_overlaps();
        let log = self.ledger.log();
        let lines = log.get(self.oracle.lines..).unwrap_or_default().to_vec();
        self.oracle.lines = log.len();
        let mut operation = None;
        for key in self.oracle.keys.clone() {
            let state = self.ledger.entry(&key).state;
            if self.oracle.seen.get(&key).map_or(State::Absent, |seen| seen.state.clone()) == state {
                continue;
            }
            for line in &lines {
                let Ok(number) = line.parse() else { continue };
                operation = Some(number);
                self.is_in_audit(number, &key);
            }
            self.row_changed(&key, state, operation);
        }
        if operation.is_none() && !lines.is_empty() {
            self.violate("each acknowledged change is in the audit once", |_| format!("{lines:?} without a change"));
        }
        self.tell(|world| {
            let keys: Vec<_> = world.oracle.keys.iter().map(|key| format!("{key}: {}", world.describe(key))).collect();
            format!("committed: {}", keys.join(" | "))
        });
        self.check();
    }

    /// A row is taken as it is: it was put there by hand.
    pub(super) fn accept(&mut self) {
        for key in self.oracle.keys.clone() {
            let state = self.ledger.entry(&key).state;
            let meaning = state.active().map(|row| self.meaning_of(row)).unwrap_or_default();
            for secret in meaning.current.iter().chain(meaning.previous.iter().map(|(secret, _)| secret)) {
                self.oracle.presented(secret);
            }
            self.oracle.seen.insert(key, Seen { state, meaning, is_over: false });
        }
        self.oracle.lines = self.ledger.log().len();
        self.check();
    }

    fn meaning_of(&self, row: &Row) -> Meaning {
        let Some(secrets) = &row.secrets else { return Meaning::default() };
        let previous = secrets.previous.as_ref();
        Meaning {
            current: self.resolve(&secrets.current).cloned(),
            previous: previous
                .and_then(|previous| Some((self.resolve(&previous.stored)?.clone(), previous.valid_until))),
        }
    }

    fn row_changed(&mut self, key: &CredentialKey, state: State, operation: Option<usize>) {
        let meaning = state.active().map(|row| self.meaning_of(row)).unwrap_or_default();
        let seen = self.oracle.seen.remove(key).unwrap_or_default();
        let (kind, began) = match operation.and_then(|number| self.operations.get_mut(number)) {
            Some(operation) => {
                operation.secret.clone_from(&meaning.current);
                (Some(operation.kind), operation.began)
            }
            None => (None, SystemTime::UNIX_EPOCH),
        };
        let mount = state.active().and_then(|row| row.secrets.as_ref()).and_then(|secrets| mount_of(&secrets.current));
        if let Some(current) = &meaning.current {
            let origin = self.oracle.origin(current);
            if let Some(mount) = mount {
                origin.counted_at[mount] = true;
            }
        }
        let was = &seen.meaning;
        let keeps_current = alike(was.current.as_ref(), meaning.current.as_ref());
        let counting =
            |of: &Meaning| of.previous.clone().filter(|(_, end)| *end > self.now()).map(|(secret, _)| secret);
        let (old_previous, new_previous) = (counting(was), counting(&meaning));
        let is_new = meaning.current.as_ref().is_some_and(|current| !self.oracle.origin(current).is_known);
        let has_jumped = self.counts.jumps > 0;
        let is_right = match (&seen.state, &state, kind) {
            (State::Absent, State::Active(_), Some(Kind::Issue)) => is_new && new_previous.is_none(),
            (State::Active(_), State::Active(_), Some(Kind::Rotate(overlap))) => {
                let ends = meaning.previous.as_ref().map(|(_, until)| *until);
                let lasts = ends.is_none_or(|end| end >= began + overlap && end <= self.now() + overlap);
                let expected = was.current.as_ref().filter(|_| !overlap.is_zero());
                let has_passed = new_previous.is_none() && (has_jumped || self.now() >= began + overlap);
                is_new
                    && !keeps_current
                    && (has_passed || alike(expected, new_previous.as_ref()) && (lasts || has_jumped))
            }
            (State::Active(_), State::Active(_), Some(Kind::EndPrevious)) => keeps_current && new_previous.is_none(),
            (State::Active(_), State::Active(_), None) => {
                keeps_current && (seen.is_over || alike(old_previous.as_ref(), new_previous.as_ref()))
            }
            (State::Active(_), State::Ended, Some(Kind::End)) => true,
            _ => false,
        };
        let previous =
            state.active().and_then(|row| row.secrets.as_ref()).and_then(|secrets| secrets.previous.as_ref());
        let is_over = seen.is_over && operation.is_none() || previous.is_some_and(|it| it.valid_until <= self.now());
        self.oracle.seen.insert(key.clone(), Seen { state, meaning, is_over });
        if !is_right {
            self.violate("a row changes only as it was asked to", |world| {
                format!("{key} by {kind:?}: {}", world.describe(key))
            });
        }
    }

    /// What holds at every moment: each secret that a live row vouches for can be read.
    pub(super) fn check(&mut self) {
        self.counts.checks += 1;
        self.end_overlaps();
        for key in self.oracle.keys.clone() {
            let Some(seen) = self.oracle.seen.get(&key) else { continue };
            let Some(row) = seen.state.active() else { continue };
            let now = self.meaning_of(row);
            let is_current = alike(seen.meaning.current.as_ref(), now.current.as_ref()) && now.current.is_some();
            let counting =
                |of: &Meaning| of.previous.clone().filter(|(_, end)| *end > self.now()).map(|(secret, _)| secret);
            let is_previous = seen.is_over || alike(counting(&seen.meaning).as_ref(), counting(&now).as_ref());
            if !is_current && is_previous && self.is_repaired(&key, row) {
                self.counts.gaps += 1;
                continue;
            }
            if !is_current || !is_previous {
                self.violate("what a live row vouches for can be read", |world| {
                    format!("{key}: {}", world.describe(&key))
                });
            }
        }
        self.watch();
    }

    fn end_overlaps(&mut self) {
        let now = self.now();
        for seen in self.oracle.seen.values_mut() {
            seen.is_over |= seen.meaning.previous.as_ref().is_some_and(|(_, end)| *end <= now);
        }
    }

    /// Whether the current secret was written anew, and the version that the row pins is gone. That is so for a moment at a mount
    /// that keeps two versions, where a write that failed was forgotten over one to the other mount.
    fn is_repaired(&self, key: &CredentialKey, row: &Row) -> bool {
        let Some(mount) = row.secrets.as_ref().and_then(|secrets| mount_of(&secrets.current)) else { return false };
        let latest = self.mounts[mount].read(key, self.mounts[mount].latest(key)).and_then(Option::as_ref);
        let meaning = self.oracle.meaning(key).and_then(|meaning| meaning.current.as_ref());
        let moves = self.mounts.iter().all(|mount| mount.places.contains_key(key));
        moves && self.mounts[mount].versions_kept() == 2 && alike(meaning, latest) && latest.is_some()
    }

    /// A DELETE may arrive at any time, but never for what counts.
    pub(super) fn refuse_to_forget_what_counts(&mut self, key: &CredentialKey) {
        if self.ledger.entry(key).state.active().is_some() {
            self.violate("a place is deleted only when its credential has ended", |_| key.to_string());
        }
    }

    /// Notes what counts from now on.
    pub(super) fn watch(&mut self) {
        let now = self.now();
        let mut epoch = Epoch {
            suspended: self.oracle.epochs.last().map(|last| last.suspended.clone()).unwrap_or_default(),
            ..Epoch::default()
        };
        let mut until = None;
        for (key, seen) in &self.oracle.seen {
            if seen.state.active().is_none() {
                continue;
            }
            let mut count =
                |secret: &ClientSecret| epoch.secrets.insert((key.clone(), secret.expose_secret().to_owned()));
            if let Some(current) = &seen.meaning.current {
                count(current);
            }
            if let Some((previous, end)) = seen.meaning.previous.as_ref().filter(|(_, end)| *end > now) {
                count(previous);
                until = Some(until.map_or(*end, |other: SystemTime| other.min(*end)));
            }
        }
        self.oracle.until = until;
        self.enter(epoch);
    }

    pub(super) fn enter(&mut self, epoch: Epoch) {
        if self.oracle.epochs.last() != Some(&epoch) {
            self.oracle.epochs.push(epoch);
        }
    }

    /// Time has passed.
    pub(super) fn watch_the_clock(&mut self) {
        if self.oracle.until.is_some_and(|until| until <= self.now()) {
            self.watch();
        }
    }

    /// The moment, as a place among the epochs.
    pub(super) fn moment(&mut self) -> usize {
        self.watch();
        self.oracle.epochs.len().saturating_sub(1)
    }
}

fn alike(one: Option<&ClientSecret>, other: Option<&ClientSecret>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.ct_eq(other),
        (None, None) => true,
        _ => false,
    }
}
