//! The last part of a digest: 23 bytes in bcrypt's own base 64.

use subtle::ConstantTimeEq;

/// `./` first, letters, then digits: not the order of the base 64 that everybody else uses.
const ALPHABET: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Characters of a digest before that part: `$2b$10$` and the salt.
const PREFIX: usize = 29;

/// Whether `digest` ends in these bytes. Takes the same time wherever they differ.
pub(super) fn ends_in(digest: &str, output: &[u8; 23]) -> bool {
    digest.as_bytes().get(PREFIX..).is_some_and(|recorded| recorded.ct_eq(&encode(output)).into())
}

fn encode(output: &[u8; 23]) -> [u8; 31] {
    std::array::from_fn(|character| {
        let (byte, bit) = (6 * character / 8, 6 * character % 8);
        let pair = u16::from_be_bytes([output[byte], output.get(byte + 1).copied().unwrap_or_default()]);
        ALPHABET[usize::from(pair >> (10 - bit) & 63)]
    })
}
