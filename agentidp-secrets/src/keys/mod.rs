//! The caller's keys for what outlives the process: selectors, keyed digests, sealed secrets.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};

/// Names a key of [`MacKeys`]: 1 to 16 bytes of `a-z 0-9 -`. It stands beside everything that was made under the key,
/// so it is never given to another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId {
    text: [u8; Self::MAX_LEN],
    len: u8,
}

impl KeyId {
    /// Longest id in bytes.
    const MAX_LEN: usize = 16;

    /// Parses an id.
    ///
    /// # Errors
    /// `Malformed` when the text is empty, too long, or has a byte outside the allowed ones. The text is not repeated: it
    /// may be a key that was put in the wrong place.
    pub fn parse(id: &str) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::Malformed, "a key id is 1 to 16 bytes of a-z 0-9 -");
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || !id.bytes().all(allowed) {
            return Err(malformed());
        }
        let mut text = [0; Self::MAX_LEN];
        text.get_mut(..id.len()).ok_or_else(malformed)?.copy_from_slice(id.as_bytes());
        Ok(Self { text, len: u8::try_from(id.len()).map_err(|_| malformed())? })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Parsed from ASCII.
        self.text.get(..usize::from(self.len)).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Keys that the caller keeps apart from its database, for [`Selector`](crate::Selector)s,
/// [`KeyedDigest`](crate::backends::KeyedDigest)s, and the sealed secrets of feature `sealed`.
///
/// The first key makes what is new; what was made under any of them counts. To change keys put the new one in front and
/// leave the old ones until nothing names them any more. Every process that shares a database needs the same keys.
///
/// Each key is [32 random bytes](Self::KEY_LEN): `openssl rand -hex 32` prints one. One set serves all purposes, since
/// each works under a key of its own that is derived from these. The bytes are wiped from memory when the last clone
/// goes; `Debug` shows ids only, and there is no way to read a key back.
///
/// ```
/// use agentidp_secrets::MacKeys;
///
/// let keys = MacKeys::parse(
///     "2027-01:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92
///      2026-07:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5",
/// )?;
/// assert_eq!(format!("{keys:?}"), "MacKeys[KeyId(2027-01), KeyId(2026-07)]");
/// # Ok::<(), agentidp_secrets::Error>(())
/// ```
#[derive(Clone)]
pub struct MacKeys(Arc<[MacKey]>);

/// One key, taken in for each purpose.
pub(crate) struct MacKey {
    id: KeyId,
    selector: Hmac<Sha256>,
    digest: Hmac<Sha256>,
    look_up: Hmac<Sha256>,
    #[cfg(feature = "sealed")]
    sealing: Zeroizing<[u8; Self::SEALING_LEN]>,
}

impl MacKeys {
    /// Length of a key in bytes: as much as HMAC-SHA-256 can make use of.
    pub const KEY_LEN: usize = 32;

    /// The most keys: the one in use, and old ones. Each that records still name costs a MAC a request.
    pub const MOST: usize = 8;

    /// Takes the keys in; the first is the one for what is new.
    ///
    /// # Errors
    /// `InvalidConfig` when there is no key or more than [`MOST`](Self::MOST), when an id comes twice, and when a key is
    /// not [`KEY_LEN`](Self::KEY_LEN) bytes or the same byte throughout.
    pub fn new<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = (KeyId, K)>) -> Result<Self> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidConfig, message);
        let mut taken: Vec<MacKey> = Vec::new();
        for (id, key) in keys {
            if taken.iter().any(|earlier| earlier.id == id) {
                return Err(invalid(format!("the key id `{id}` was given twice; each id may stand for one key only")));
            }
            taken.push(MacKey::new(id, key.as_ref())?);
        }
        if !(1..=Self::MOST).contains(&taken.len()) {
            return Err(invalid(format!("1 to {} keys can be used, and {} were given", Self::MOST, taken.len())));
        }
        Ok(Self(taken.into()))
    }

    /// Reads keys from text: `id:` and 64 hexadecimal digits each, with white space or commas between them.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when a part is not of this form. No error repeats any of the text but an id that is
    /// sound.
    pub fn parse(text: &str) -> Result<Self> {
        let parts = text.split(|c: char| c.is_whitespace() || c == ',').filter(|part| !part.is_empty());
        let keys = parts.enumerate().map(|(at, part)| {
            let malformed = || {
                let message = format!("key {} is not an id of a-z 0-9 -, a colon and 64 hexadecimal digits", at + 1);
                Error::new(ErrorKind::InvalidConfig, message)
            };
            let (id, digits) = part.split_once(':').ok_or_else(malformed)?;
            let id = KeyId::parse(id).map_err(|_| malformed())?;
            let mut key = Zeroizing::new([0; Self::KEY_LEN]);
            hex::decode_to_slice(digits, key.as_mut_slice()).map_err(|_| malformed())?;
            Ok((id, key))
        });
        Self::new(keys.collect::<Result<Vec<_>>>()?.iter().map(|(id, key)| (*id, key.as_slice())))
    }

    /// The ids, the one for what is new first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.0.iter().map(|key| key.id)
    }

    /// The key for what is new. There is one: `new` has seen to it.
    pub(crate) fn first(&self) -> &MacKey {
        &self.0[0]
    }

    /// Every key, the one for what is new first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &MacKey> {
        self.0.iter()
    }

    /// The key of this id with its place, where it is configured.
    pub(crate) fn find(&self, id: &KeyId) -> Option<(usize, &MacKey)> {
        self.0.iter().enumerate().find(|(_, key)| key.id == *id)
    }
}

/// Shows the ids.
impl fmt::Debug for MacKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKeys")?;
        f.debug_list().entries(self.ids()).finish()
    }
}

/// What a MAC is for. Each works under a key of its own, so that one is never taken for the other.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Digest,
    LookUp,
    Selector,
}

impl MacKey {
    #[cfg(feature = "sealed")]
    const SEALING_LEN: usize = 32;

    fn new(id: KeyId, key: &[u8]) -> Result<Self> {
        let uniform = key.windows(2).all(|pair| pair.first() == pair.last());
        if key.len() != MacKeys::KEY_LEN || uniform {
            let message = format!("the key `{id}` must be {} random bytes", MacKeys::KEY_LEN);
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        Ok(Self {
            id,
            selector: derived(key, b"agentidp-secrets selector v1"),
            digest: derived(key, b"agentidp-secrets keyed-digest v1"),
            look_up: derived(key, b"agentidp-secrets look-up v1"),
            #[cfg(feature = "sealed")]
            sealing: derived_bytes(key, b"agentidp-secrets sealed v1"),
        })
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// The key of a cipher, for that alone.
    #[cfg(feature = "sealed")]
    pub(crate) fn sealing(&self) -> &[u8; Self::SEALING_LEN] {
        &self.sealing
    }

    /// HMAC-SHA-256 of the parts, each with its length before it, so that no two lists of parts are the same bytes.
    pub(crate) fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let keyed = match purpose {
            Purpose::Digest => &self.digest,
            Purpose::LookUp => &self.look_up,
            Purpose::Selector => &self.selector,
        };
        let mut mac = keyed.clone();
        for part in parts {
            // Ids and secrets, far below 4 GiB. With eight bytes for a length a selector would take a run
            // of the compression function more.
            mac.update(&(part.len() as u32).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// A key for one purpose: the MAC of its name.
fn derived(key: &[u8], purpose: &[u8]) -> Hmac<Sha256> {
    keyed(derived_bytes(key, purpose).as_slice())
}

fn derived_bytes(key: &[u8], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut mac = keyed(key);
    mac.update(purpose);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// HMAC fills a key that is shorter than a block with zeros. Longer than a block none of ours is.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    Hmac::new((&*block).into())
}

#[cfg(test)]
mod tests;
