//! Keyed hashes that stand for a client and for a record, so that neither is kept.

use std::hash::{Hash, Hasher};

use siphasher::sip128::{Hasher128, SipHasher24};
use zeroize::Zeroizing;

use crate::credential::{ClientId, CredentialId};
use crate::error::{Error, ErrorKind, Result};
use crate::record::StoredSecret;

/// SipHash-2-4 of a client's id, 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ClientName(pub(super) [u8; 16]);

/// NH of a client's name, a credential's id, a backend and a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordName(pub(super) [u64; 2]);

/// For the place in the table only, where two of one hash are still told apart.
impl Hash for RecordName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0] ^ self.0[1]);
    }
}

/// The keys of both.
pub(super) struct Names {
    client: SipHasher24,
    /// Hashes payloads that are too long for the keys below.
    long: SipHasher24,
    record: Box<[[u64; 2]; BLOCKS]>,
}

/// Two words of a message under two of the key.
const BLOCK: usize = 16;

/// The longest payload that is hashed as it is. Sealed ones may be longer.
const LONGEST: usize = 1024;

/// One for the client, one for each list of lengths, and those for an id of 255 bytes, a backend's of 65, and the payload.
const BLOCKS: usize = 1 + 2 + 16 + 5 + LONGEST / BLOCK;

impl Names {
    pub(super) fn new() -> Result<Self> {
        let mut key = Zeroizing::new([0; BLOCK]);
        let mut fresh = || {
            getrandom::fill(key.as_mut_slice()).map(|()| *key).map_err(|_| {
                Error::new(
                    ErrorKind::Internal,
                    "the operating system gave no randomness for the keys of warm verification",
                )
            })
        };
        let mut record = Box::new([[0; 2]; BLOCKS]);
        for words in record.iter_mut() {
            *words = two(&fresh()?);
        }
        Ok(Self { client: SipHasher24::new_with_key(&fresh()?), long: SipHasher24::new_with_key(&fresh()?), record })
    }

    pub(super) fn client(&self, client: &ClientId) -> ClientName {
        let mut hash = self.client;
        hash.write(client.as_str().as_bytes());
        ClientName(hash.finish128().as_bytes())
    }

    /// Begins a record's name with whose it is.
    pub(super) fn credential(&self, client: ClientName, credential: &CredentialId) -> Naming<'_> {
        let mut naming = Naming { names: self, keys: self.record.iter(), sum: 0 };
        naming.add(two(&client.0));
        let id = credential.as_str().as_bytes();
        naming.add([id.len() as u64, 0]);
        naming.add_bytes(id);
        naming
    }
}

/// NH, the hash in UMAC (RFC 4418), over words of 64 bits: the sum of products of message and key, two words at a time.
///
/// Two different messages have one sum with a probability of at most 2⁻⁶³ over the key, for a sender who learns neither the key nor a
/// sum. No name leaves the layer.
#[derive(Clone)]
pub(super) struct Naming<'a> {
    names: &'a Names,
    keys: std::slice::Iter<'a, [u64; 2]>,
    sum: u128,
}

impl Naming<'_> {
    /// Picks one of many counters for the credential.
    pub(super) fn counter(&self) -> u64 {
        // The lowest bits of a product are not even, and the highest hardly differ for ids that differ in one place.
        (self.sum >> 64) as u64 ^ (self.sum >> 32) as u64
    }

    /// The name of a record of the credential. Lengths come first, so no two lists of parts are the same words.
    pub(super) fn record(mut self, realm: u64, stored: &StoredSecret) -> RecordName {
        let (backend, payload) = (stored.backend().as_str().as_bytes(), stored.payload().as_bytes());
        self.add([realm, (backend.len() as u64) << 32 | payload.len() as u64]);
        self.add_bytes(backend);
        if payload.len() <= LONGEST {
            self.add_bytes(payload);
        } else {
            let mut hash = self.names.long;
            hash.write(payload);
            self.add(two(&hash.finish128().as_bytes()));
        }
        RecordName([self.sum as u64, (self.sum >> 64) as u64])
    }

    #[inline]
    fn add(&mut self, words: [u64; 2]) {
        let Some(key) = self.keys.next() else { unreachable!("there is a key for each block of the longest record") };
        let [one, other] = [words[0].wrapping_add(key[0]), words[1].wrapping_add(key[1])];
        self.sum = self.sum.wrapping_add(u128::from(one) * u128::from(other));
    }

    /// The last block reaches back into the one before it, or is filled with zeros where there is none.
    #[inline]
    fn add_bytes(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last_chunk::<BLOCK>() else {
            let word = bytes.iter().rev().fold(0_u128, |word, byte| word << 8 | u128::from(*byte));
            return self.add([word as u64, (word >> 64) as u64]);
        };
        let mut rest = bytes;
        while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
            self.add(two(block));
            rest = after;
        }
        if !rest.is_empty() {
            self.add(two(last));
        }
    }
}

/// As two words.
pub(super) fn two(bytes: &[u8; BLOCK]) -> [u64; 2] {
    let word = u128::from_le_bytes(*bytes);
    [word as u64, (word >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::record::BackendId;

    fn name(names: &Names, credential: &str, realm: u64, payload: &str) -> RecordName {
        let stored = StoredSecret::new(BackendId::MEMORY, payload);
        let client = names.client(&ClientId::parse("client").unwrap());
        names.credential(client, &CredentialId::parse(credential).unwrap()).record(realm, &stored)
    }

    /// By the definition: words of 8 bytes, filled with zeros, each pair under a pair of the key.
    #[test]
    fn a_name_is_the_sum_of_products() {
        let names = Names::new().unwrap();
        let word = |text: &[u8]| text.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        let client = two(&names.client(&ClientId::parse("client").unwrap()).0);
        let messages = [client, [1, 0], [word(b"c"), 0], [7, 6 << 32 | 17], [word(b"memory"), 0]];
        let payload = [[word(b"01234567"), word(b"89abcdef")], [word(b"12345678"), word(b"9abcdefg")]];
        let sum = messages.iter().chain(&payload).zip(names.record.iter()).fold(0_u128, |sum, (words, key)| {
            let [one, other] = [words[0].wrapping_add(key[0]), words[1].wrapping_add(key[1])];
            sum.wrapping_add(u128::from(one) * u128::from(other))
        });
        assert!(name(&names, "c", 7, "0123456789abcdefg") == RecordName([sum as u64, (sum >> 64) as u64]));
    }

    #[test]
    fn records_of_every_length_have_names_of_their_own() {
        let names = Names::new().unwrap();
        let mut seen = HashSet::new();
        for len in 0..=LONGEST + 40 {
            let payload = "0".repeat(len);
            assert!(seen.insert(name(&names, "c", 0, &payload)), "{len}");
            assert!(
                len == 0 || seen.insert(name(&names, "c", 0, &format!("{}1", &payload[1..]))),
                "{len}: the last byte"
            );
            assert!(
                len < 2 || seen.insert(name(&names, "c", 0, &format!("1{}", &payload[1..]))),
                "{len}: the first byte"
            );
            assert!(seen.insert(name(&names, "c", 1, &payload)), "{len}: another backend of this id");
        }
        let longest =
            (CredentialId::parse(&"c".repeat(255)).unwrap(), format!("{}:{}", "b".repeat(32), "i".repeat(32)));
        let stored = StoredSecret::new(BackendId::parse(&longest.1).unwrap(), "p".repeat(LONGEST));
        assert!(
            seen.insert(names.credential(ClientName([0; 16]), &longest.0).record(0, &stored)),
            "there are keys for the longest"
        );
    }
}
