//! What tells two states of the [small world](super::small) apart.
//!
//! A process is a function of what it was answered, so its answers stand for it. Secrets, revisions and digests are random, and go by
//! the names of those who made them.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::SystemTime;

use super::executor::Owner;
use super::site::Site;
use super::small::Small;
use super::world::{World, mount_of};
use crate::backend::Held;
use crate::lifecycle::{Entry, Note, Row, State};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// Writes values under their names.
pub(super) struct Pen<'a> {
    world: &'a World,
    small: &'a Small,
    text: String,
}

impl Pen<'_> {
    pub(super) fn put(&mut self, value: impl std::fmt::Debug) {
        let _ = write!(self.text, "{value:?};");
    }

    fn time(&mut self, at: SystemTime) {
        self.put(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    }

    fn secret(&mut self, secret: Option<&ClientSecret>) {
        let name = secret.map(|secret| self.small.name(secret.expose_secret()));
        self.put(name);
    }

    fn record(&mut self, record: &StoredSecret) {
        match mount_of(record) {
            Some(_) => self.put(record.to_text()),
            None => self.secret(self.world.resolve(record)),
        }
    }

    pub(super) fn row(&mut self, row: &Row) {
        self.put(row.revision.map(|revision| self.small.name(&revision.to_string())));
        let Some(secrets) = &row.secrets else { return };
        self.record(&secrets.current);
        self.put(secrets.selector.is_some());
        if let Some(previous) = &secrets.previous {
            self.record(&previous.stored);
            self.time(previous.valid_until);
        }
    }

    fn note(&mut self, note: &Note) {
        if let Some(open) = &note.open {
            self.put((open.kind, open.place.to_text(), open.base, self.small.name(&open.attempt.to_string())));
            self.put(open.digests.iter().map(|digest| self.small.name(digest.as_str())).collect::<Vec<_>>());
            self.time(open.lease_until);
        }
        for debt in &note.debts {
            self.put((debt.kind, debt.place.to_text(), debt.attempts, debt.deletions));
            self.time(debt.due);
            self.put(debt.claimed_until.map(|until| until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()));
        }
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        match &entry.state {
            State::Active(row) => self.row(row),
            state => self.put(state),
        }
        if let Some(note) = &entry.note {
            self.note(note);
        }
    }

    pub(super) fn held(&mut self, held: &Held) {
        match held {
            Held::Nothing => self.put("nothing"),
            Held::Version { version, secret, .. } => {
                self.put(version);
                self.secret(secret.as_ref());
            }
        }
    }
}

impl World {
    /// What was there from the beginning is called so.
    pub(super) fn name_the_known(&mut self) {
        if let Some(small) = &mut self.small {
            self.oracle.known().iter().for_each(|text| small.meet(Owner::WORLD, text));
        }
    }

    /// The state of everything: at work, or at rest, when processes have no memory that matters.
    pub(super) fn portrait(&self, small: &Small, is_at_rest: bool) -> u64 {
        let mut pen = Pen { world: self, small, text: String::new() };
        pen.put((self.clock.elapsed(), self.under_way, is_at_rest));
        if !is_at_rest {
            pen.put((&self.dead, small.crashes_left, small.late_left, &small.waiting, &small.answered));
        }
        for key in &self.oracle.keys {
            pen.entry(&self.ledger.entry(key));
            pen.put(self.oracle.seen.get(key).map(|seen| seen.is_over));
            for mount in &self.mounts {
                let Some(place) = mount.places.get(key) else { continue };
                pen.put(place.latest());
                for secret in place.versions() {
                    pen.secret(secret.as_ref());
                }
            }
        }
        for operation in &self.operations {
            pen.put((operation.committed, operation.has_failed));
            pen.secret(operation.secret.as_ref());
        }
        let mut known: Vec<_> = self.oracle.known().iter().map(|text| small.name(text)).collect();
        known.sort_unstable();
        pen.put(known);
        let passed = if is_at_rest { self.oracle.epochs.len().saturating_sub(1) } else { 0 };
        for epoch in self.oracle.epochs.iter().skip(passed) {
            let mut secrets: Vec<_> = epoch.secrets.iter().map(|(key, text)| (key, small.name(text))).collect();
            secrets.sort_unstable();
            pen.put(secrets);
        }
        let mut hasher = DefaultHasher::new();
        pen.text.hash(&mut hasher);
        hasher.finish()
    }
}

impl Site {
    /// The process gets an answer, which `write` puts down; of note in the small world only.
    pub(super) fn hears(&self, what: &'static str, write: impl FnOnce(&mut Pen<'_>)) {
        let mut world = self.world.lock();
        let Some(mut small) = world.small.take() else { return };
        let mut pen = Pen { world: &world, small: &small, text: what.to_owned() };
        write(&mut pen);
        let (text, at) = (pen.text, world.clock.elapsed());
        if let Some(task) = self.executor.current() {
            small.answer(task, at, &text);
        }
        world.small = Some(small);
    }

    /// The process has made these.
    pub(super) fn makes<T: AsRef<str>>(&self, made: impl IntoIterator<Item = T>) {
        if let Some(small) = &mut self.world.lock().small {
            made.into_iter().for_each(|text| small.meet(self.owner, text.as_ref()));
        }
    }
}
