//! What must hold after each change of the database or of a mount.

use std::time::SystemTime;

use super::fault::Fault;
use super::seen::{Epoch, Kind, Meaning, Seen};
use super::world::{World, mount_of};
use crate::credential::CredentialKey;
use crate::lifecycle::{Flaw, Row, State};
use crate::secret::ClientSecret;

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
            self.oracle.seen.insert(key, Seen { state, meaning, is_over: false, is_lost: false, is_other: false });
        }
        self.oracle.lines = self.ledger.log().len();
        self.check();
    }

    pub(super) fn meaning_of(&self, row: &Row) -> Meaning {
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
        let makes_a_secret = matches!(kind, Some(Kind::Issue | Kind::Rotate(_) | Kind::Retry));
        let was_repaired = |row| self.is_repaired(key, row, seen.meaning.current.as_ref());
        let is_in_a_gap = meaning.current.is_none() && !makes_a_secret && state.active().is_some_and(was_repaired);
        let meaning = if is_in_a_gap { meaning.or(seen.meaning.clone()) } else { meaning };
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
            (State::Active(_), State::Active(_), None) if self.is_being_settled => true,
            (State::Active(_), State::Active(_), Some(Kind::Rotate(_) | Kind::Retry)) if seen.is_lost => is_new,
            (State::Active(_), State::Active(_), Some(Kind::EndPrevious | Kind::EndIdle(_)) | None) if seen.is_lost => {
                true
            }
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
            (State::Active(before), State::Active(_), Some(Kind::Retry)) => {
                let goes_on = seen.is_over || alike(old_previous.as_ref(), new_previous.as_ref());
                let was_used =
                    !before.is_unused || was.current.as_ref().is_some_and(|secret| self.has_proved(key, secret));
                is_new && !keeps_current && goes_on && !was_used
            }
            (State::Active(_), State::Active(_), Some(Kind::EndIdle(idle))) => {
                let ended = was.previous.as_ref().map(|(secret, _)| secret);
                let is_idle = operation.is_some_and(|number| self.is_idle(number, ended, idle));
                keeps_current && new_previous.is_none() && is_idle
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
        // A rotation and an issue make a row that can be read.
        let is_lost =
            seen.is_lost && !matches!(kind, Some(Kind::Issue)) && (meaning.current.is_none() || previous.is_some());
        match kind {
            Some(Kind::Rotate(_)) => self.was_rotated(key, began),
            Some(Kind::Retry) => self.counts.replaced += 1,
            _ => {}
        }
        let is_unreadable = state.active().is_some() && meaning.current.is_none() && (makes_a_secret || !is_lost);
        if self.is_being_settled {
            meaning.current.iter().for_each(|taken| self.oracle.presented(taken));
        }
        let is_over = seen.is_over && operation.is_none() || previous.is_some_and(|it| it.valid_until <= self.now());
        let is_other = seen.is_other && (!makes_a_secret || previous.is_some());
        let meaning = if is_lost { meaning.or(seen.meaning) } else { meaning };
        self.oracle.seen.insert(key.clone(), Seen { state, meaning, is_over, is_lost, is_other });
        if is_unreadable {
            self.violate("what a live row vouches for can be read", |world| format!("{key}: {}", world.describe(key)));
        }
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
            if seen.is_lost {
                // Where a version is missing, another one may be written under its number.
                if let Some(seen) = self.oracle.seen.get_mut(&key) {
                    seen.is_other |= now.is_another(&seen.meaning);
                    seen.meaning = now.or(std::mem::take(&mut seen.meaning));
                }
                continue;
            }
            let is_current = alike(seen.meaning.current.as_ref(), now.current.as_ref()) && now.current.is_some();
            let counting =
                |of: &Meaning| of.previous.clone().filter(|(_, end)| *end > self.now()).map(|(secret, _)| secret);
            let is_previous = seen.is_over || alike(counting(&seen.meaning).as_ref(), counting(&now).as_ref());
            if !is_current && is_previous && self.is_repaired(&key, row, seen.meaning.current.as_ref()) {
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

    pub(super) fn end_overlaps(&mut self) {
        let now = self.now();
        for seen in self.oracle.seen.values_mut() {
            seen.is_over |= seen.meaning.previous.as_ref().is_some_and(|(_, end)| *end <= now);
        }
    }

    /// Whether the current secret was written anew, and the version that the row pins is gone. That is so for a moment where a
    /// rotation failed, a move to the other mount has taken the place of its open write, and a late request has used up the room:
    /// one at a mount that keeps two versions, more elsewhere. And wherever versions of another life, or of a clone, stand between,
    /// until the operator has settled which of them counts.
    fn is_repaired(&self, key: &CredentialKey, row: &Row, current: Option<&ClientSecret>) -> bool {
        let Some(mount) = row.secrets.as_ref().and_then(|secrets| mount_of(&secrets.current)) else { return false };
        let latest = self.mounts[mount].read(key, self.mounts[mount].latest(key)).and_then(Option::as_ref);
        let debts = self.ledger.entry(key).note.map(|note| note.debts).unwrap_or_default();
        let has_moved = debts.iter().any(|debt| mount_of(&debt.place) != Some(mount))
            || self.mounts.iter().all(|mount| mount.places.contains_key(key));
        let has_another = !self.is_itself || self.written_by_a_clone.contains(key);
        (has_moved || has_another) && latest.is_some() && alike(current, latest)
    }

    /// A DELETE may arrive at any time, but never for what counts.
    pub(super) fn refuse_to_forget_what_counts(&mut self, key: &CredentialKey) {
        // Of these two the harm is to be seen, and not the deletion.
        let is_shown_later =
            matches!(self.fault, Some(Fault::Library(Flaw::WaitsForDeletions | Flaw::DeletesLeftPlaces)));
        if !is_shown_later && self.ledger.entry(key).state.active().is_some() {
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
