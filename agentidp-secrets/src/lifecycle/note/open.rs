//! The open write of a credential: who may write to its place, and what is left of a writer that is gone.

use std::time::SystemTime;

use super::parts::{Note, OpenWrite, OpenWriteKind};
use crate::lifecycle::digest::SecretDigest;
use crate::lifecycle::revision::Revision;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// What became of an attempt to open a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It is ours, and this is what an earlier holder left, if there was one.
    Ours(Option<Vec<SecretDigest>>),
    /// Another holds it.
    Busy,
}

impl Note {
    /// Opens a write, or takes over one whose lease is over. What the attempt holds already it opens again, for another purpose.
    /// Digests that were noted for another version, or another place, are of no use any more.
    pub(crate) fn open(&mut self, mut write: OpenWrite, now: SystemTime) -> Opened {
        let Some(found) = self.open.take() else {
            self.open = Some(write);
            return Opened::Ours(None);
        };
        let is_ours = found.attempt == write.attempt;
        if !is_ours && found.is_held(now) {
            self.open = Some(found);
            return Opened::Busy;
        }
        let continues = found.place == write.place && found.base == write.base && write.base > 0;
        if found.place != write.place {
            self.keep_in_mind(found.place);
        }
        let left: Vec<_> =
            found.digests.into_iter().filter(|left| continues && !write.digests.contains(left)).collect();
        write.digests.splice(0..0, left.iter().cloned());
        self.open = Some(write);
        Opened::Ours(Some(left).filter(|left| !is_ours || !left.is_empty()))
    }

    /// Extends the lease of the attempt; says whether it still has it. If it has, nobody else has written since it was opened.
    pub(crate) fn renew(&mut self, attempt: Revision, until: SystemTime) -> bool {
        self.of(attempt).map(|open| open.lease_until = until).is_some()
    }

    /// The backend has definitely written nothing. What an earlier holder left stays, and the digest of a repair with it.
    pub(crate) fn close(&mut self, attempt: Revision, now: SystemTime) {
        let Some(open) = self.of(attempt) else { return };
        let writes_no_place = matches!(open.kind, OpenWriteKind::Rotate | OpenWriteKind::Pin | OpenWriteKind::Blank);
        if writes_no_place && open.digests.len() < 2 && !open.is_repair() && open.is_held(now) {
            self.open = None;
        } else {
            open.lease_until = now;
        }
    }

    /// The backend may have written something, or has, and there is no commit. What was noted stays for the next writer.
    pub(crate) fn end_lease(&mut self, attempt: Revision, now: SystemTime) {
        if let Some(open) = self.of(attempt) {
            open.lease_until = now;
        }
    }

    /// A repair was looked for and is not there: nobody has to look again.
    pub(crate) fn drop_repair(&mut self, attempt: Revision, now: SystemTime) {
        if let Some(open) = self.of(attempt) {
            open.digests.retain(|digest| !digest.is_current());
            open.lease_until = now;
        }
    }

    /// Takes away the open write of the attempt that is about to count; says whether it was there.
    pub(crate) fn redeem(&mut self, attempt: Revision) -> bool {
        self.of(attempt).is_some() && self.open.take().is_some()
    }

    /// Whether the id of a new credential was used before. Then a write to its place, or a deletion, may still be under way.
    pub(crate) fn is_of_another(&self, attempt: Revision) -> bool {
        !self.debts.is_empty() || self.open.as_ref().is_some_and(|open| open.attempt != attempt)
    }

    /// Gives up a dead write at the place, so that it is never committed. Not while somebody holds it.
    pub(crate) fn give_up_at(&mut self, place: &StoredSecret, now: SystemTime) -> bool {
        let open = self.open.take_if(|open| open.place == *place && !open.is_held(now));
        open.is_some() || self.open.as_ref().is_none_or(|open| open.place != *place)
    }

    /// Whether somebody is writing.
    pub(crate) fn is_being_written(&self, now: SystemTime) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_held(now))
    }

    /// Whether the secret was about to be written over `base` at the place.
    pub(crate) fn has_noted(&self, place: &StoredSecret, base: u64, secret: &ClientSecret) -> bool {
        let open = self.open.as_ref().filter(|open| open.place == *place && open.base == base);
        open.is_some_and(|open| open.digests.iter().any(|digest| digest.is_of(secret)))
    }

    /// The place of a repair that is not committed.
    pub(crate) fn repairs(&self) -> Option<StoredSecret> {
        self.open.as_ref().filter(|open| open.is_repair()).map(|open| open.place.clone())
    }

    /// The place of an unfinished repair whose writer is gone.
    pub(crate) fn awaits_repair(&self, now: SystemTime) -> Option<StoredSecret> {
        let dead = self.open.as_ref().filter(|open| open.is_repair() && !open.is_held(now));
        dead.map(|open| open.place.clone())
    }

    /// Whether the write is the attempt's.
    pub(crate) fn is_of(&self, attempt: Revision) -> bool {
        self.open.as_ref().is_some_and(|open| open.attempt == attempt)
    }

    fn of(&mut self, attempt: Revision) -> Option<&mut OpenWrite> {
        self.open.as_mut().filter(|open| open.attempt == attempt)
    }
}
