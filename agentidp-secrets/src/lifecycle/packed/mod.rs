//! Rows in few bytes, for a ledger that keeps those of very many clients in memory.

mod bytes;
mod payload;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::bytes::{put_number, take, take_array, take_byte, take_number};
use self::payload::{put_payload, take_payload};
use super::revision::Revision;
use super::rows::{Known, Row};
use crate::credential::{ClientId, CredentialId, CredentialKey};
use crate::record::{BackendId, StoredSecret};
use crate::selector::Selector;
use crate::store::{CredentialSecrets, Previous};

/// A client and its active rows in one piece of memory.
///
/// A client with one credential, ids that are UUIDs and a bcrypt digest, takes about 110 bytes; a [`Known`] takes five times
/// as many, in ten pieces. It is a form for memory and for nothing else: another version of this library may pack otherwise.
///
/// `Debug` shows the length only, because a digest is sensitive.
#[derive(Clone)]
pub struct PackedRows(Arc<[u8]>);

impl PackedRows {
    /// Packs a client.
    #[must_use]
    pub fn of(known: &Known) -> Self {
        let rows = known.rows();
        let mut to = Vec::with_capacity(160);
        put_number(&mut to, rows.len() as u64);
        to.push(u8::from(known.may_authenticate()));
        put_number(&mut to, known.epoch() as u64);
        let mut client = None;
        for row in &rows {
            put_row(&mut to, row, &mut client);
        }
        Self(to.into())
    }

    /// The client. `None` if this is nothing that [`of`](Self::of) has packed.
    #[must_use]
    pub fn unpack(&self) -> Option<Known> {
        let from = &mut &*self.0;
        let count = take_number(from)?;
        let may_authenticate = take_byte(from)? == 1;
        let epoch = take_number(from)? as i64;
        let mut rows = Vec::with_capacity(usize::try_from(count).ok()?.min(self.0.len()));
        for _ in 0..count {
            rows.push(take_row(from, rows.last())?);
        }
        from.is_empty().then(|| Known::new(may_authenticate, rows).in_epoch(epoch))
    }

    /// How many rows there are, with those that cannot be read.
    #[must_use]
    pub fn len(&self) -> usize {
        take_number(&mut &*self.0).and_then(|count| usize::try_from(count).ok()).unwrap_or_default()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for PackedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedRows({} bytes)", self.0.len())
    }
}

/// What a row has beside its credential's id.
mod has {
    pub(super) const SECRETS: u8 = 1;
    pub(super) const SELECTOR: u8 = 1 << 1;
    pub(super) const PREVIOUS: u8 = 1 << 2;
    pub(super) const PREVIOUS_SELECTOR: u8 = 1 << 3;
    pub(super) const REVISION: u8 = 1 << 4;
    pub(super) const END: u8 = 1 << 5;
    pub(super) const NO_USE: u8 = 1 << 6;
    /// The same as the row before it.
    pub(super) const CLIENT: u8 = 1 << 7;
}

fn put_row<'a>(to: &mut Vec<u8>, row: &'a Row, client: &mut Option<&'a ClientId>) {
    let is_same = client.replace(row.key.client_id()) == Some(row.key.client_id());
    let secrets = row.secrets.as_ref();
    let previous = secrets.and_then(|secrets| secrets.previous.as_ref());
    let selector = secrets.and_then(|secrets| secrets.selector.as_ref());
    let previous_selector = previous.and_then(|previous| previous.selector.as_ref());
    let parts = [
        (has::SECRETS, secrets.is_some()),
        (has::SELECTOR, selector.is_some()),
        (has::PREVIOUS, previous.is_some()),
        (has::PREVIOUS_SELECTOR, previous_selector.is_some()),
        (has::REVISION, row.revision.is_some()),
        (has::END, row.expires_at.is_some()),
        (has::NO_USE, row.is_unused),
        (has::CLIENT, !is_same),
    ];
    to.push(parts.into_iter().filter(|(_, has)| *has).fold(0, |parts, (part, _)| parts | part));
    if !is_same {
        put_id(to, row.key.client_id().as_str());
    }
    put_id(to, row.key.credential_id().as_str());
    if let Some(secrets) = secrets {
        put_record(to, &row.key, &secrets.current);
    }
    if let Some(previous) = previous {
        put_record(to, &row.key, &previous.stored);
        put_time(to, previous.valid_until);
    }
    [selector, previous_selector].into_iter().flatten().for_each(|selector| selector.pack(to));
    if let Some(revision) = row.revision {
        to.extend(revision.to_bytes());
    }
    if let Some(end) = row.expires_at {
        put_time(to, end);
    }
}

fn take_row(from: &mut &[u8], before: Option<&Row>) -> Option<Row> {
    let parts = take_byte(from)?;
    let has = |part: u8| parts & part != 0;
    let client = match has(has::CLIENT) {
        true => ClientId::parse(&take_id(from)?).ok()?,
        false => before?.key.client_id().clone(),
    };
    let key = CredentialKey::new(client, CredentialId::parse(&take_id(from)?).ok()?);
    let current = if has(has::SECRETS) { Some(take_record(from, &key)?) } else { None };
    let previous = if has(has::PREVIOUS) { Some((take_record(from, &key)?, take_time(from)?)) } else { None };
    let selector = if has(has::SELECTOR) { Some(Selector::unpack(from)?) } else { None };
    let previous_selector = if has(has::PREVIOUS_SELECTOR) { Some(Selector::unpack(from)?) } else { None };
    let revision = if has(has::REVISION) { Some(Revision::from_bytes(take_array(from)?)) } else { None };
    let end = if has(has::END) { Some(take_time(from)?) } else { None };
    let previous = previous.map(|(stored, valid_until)| Previous { stored, selector: previous_selector, valid_until });
    let secrets = current.map(|current| CredentialSecrets { current, selector, previous });
    Some(Row::new(key, secrets, revision).expiring(end).unused(has(has::NO_USE)))
}

/// A UUID in its usual form is 16 bytes. Before any other text stands its length, which is never zero.
fn put_id(to: &mut Vec<u8>, id: &str) {
    match uuid(id) {
        Some(bytes) => {
            to.push(0);
            to.extend(bytes);
        }
        None => put_text(to, id),
    }
}

fn take_id(from: &mut &[u8]) -> Option<String> {
    if from.first() != Some(&0) {
        return take_text(from).map(str::to_owned);
    }
    take_byte(from)?;
    let digits = hex::encode(take_array::<16>(from)?);
    let [a, b, c, d, e] =
        [digits.get(..8)?, digits.get(8..12)?, digits.get(12..16)?, digits.get(16..20)?, digits.get(20..)?];
    Some([a, b, c, d, e].join("-"))
}

/// The bytes of a UUID with hyphens and lower-case digits.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut digits = [0; 32];
    let mut to = digits.iter_mut();
    for (at, byte) in bytes.iter().enumerate() {
        match (at, byte) {
            (8 | 13 | 18 | 23, b'-') => {}
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9' | b'a'..=b'f') => *to.next()? = *byte,
            _ => return None,
        }
    }
    let mut uuid = [0; 16];
    hex::decode_to_slice(digits, &mut uuid).ok()?;
    Some(uuid)
}

/// A backend of this library is one byte.
fn put_record(to: &mut Vec<u8>, key: &CredentialKey, stored: &StoredSecret) {
    match BackendId::KNOWN.iter().position(|known| known == stored.backend()) {
        Some(place) => put_number(to, place as u64 + 1),
        None => {
            to.push(0);
            put_text(to, stored.backend().as_str());
        }
    }
    put_payload(to, key, stored.payload());
}

fn take_record(from: &mut &[u8], key: &CredentialKey) -> Option<StoredSecret> {
    let backend = match usize::from(take_byte(from)?) {
        0 => BackendId::of(take_text(from)?)?,
        place => BackendId::KNOWN.get(place - 1)?.clone(),
    };
    Some(StoredSecret::new(backend, take_payload(from, key)?))
}

/// Exactly, also from before 1970.
fn put_time(to: &mut Vec<u8>, at: SystemTime) {
    let (is_before, distance) = match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (0, since),
        Err(before) => (1, before.duration()),
    };
    put_number(to, distance.as_secs() << 1 | is_before);
    put_number(to, u64::from(distance.subsec_nanos()));
}

fn take_time(from: &mut &[u8]) -> Option<SystemTime> {
    let seconds = take_number(from)?;
    let distance = Duration::new(seconds >> 1, u32::try_from(take_number(from)?).ok()?);
    match seconds & 1 {
        0 => SystemTime::UNIX_EPOCH.checked_add(distance),
        _ => SystemTime::UNIX_EPOCH.checked_sub(distance),
    }
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    put_number(to, text.len() as u64);
    to.extend(text.as_bytes());
}

fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(take_number(from)?).ok()?;
    std::str::from_utf8(take(from, len)?).ok()
}

#[cfg(test)]
mod tests;
