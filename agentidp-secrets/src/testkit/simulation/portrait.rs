//! What tells two states of the [small world](super::small) apart.
//!
//! A task is a function of what it was answered, so its answers stand for it until it is over. Secrets, revisions and digests are
//! random, and go by the names of those who made them. Of what counted in the past only that is kept by which a login under way
//! will be judged.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::SystemTime;

use super::executor::Owner;
use super::kv::Change;
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

impl<'a> Pen<'a> {
    /// What `write` puts down.
    pub(super) fn written(world: &'a World, small: &'a Small, write: impl FnOnce(&mut Self)) -> String {
        let mut pen = Self { world, small, text: String::new() };
        write(&mut pen);
        pen.text
    }

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

    pub(super) fn change(&mut self, change: &Change) {
        match change {
            Change::Write { cas, secret } => {
                self.put(cas);
                self.secret(secret.as_ref());
            }
            Change::Delete => self.put("delete"),
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
            let counted = |from: usize, secret: &ClientSecret| self.counted_since(from, secret);
            pen.put((small.crashes_left, small.late_left, small.tasks(counted)));
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
        let mut known: Vec<_> = self.oracle.origins().map(|(text, origin)| (small.name(text), origin)).collect();
        known.sort_unstable();
        pen.put(known);
        let mut hasher = DefaultHasher::new();
        pen.text.hash(&mut hasher);
        hasher.finish()
    }
}
