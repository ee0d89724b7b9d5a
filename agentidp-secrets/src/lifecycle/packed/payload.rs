//! Payloads in fewer bytes. They are what a row is mostly made of, and mostly ids, hexadecimal digits, base64 and
//! what every digest begins with.

use super::bytes::{put_number, take, take_number};
use crate::credential::CredentialKey;

/// Shorter runs are left as they are, for each piece costs a byte.
const LEAST_HEX: usize = 8;
const LEAST_BASE64: usize = 12;

/// Bcrypt's base64 and all of crypt(3)'s; in the usual one only `+` is not of it.
const BASE64: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// How the usual digests begin.
const USUAL: [&str; 2] = ["$hmac-sha256$v=1$keyid=", "$argon2id$v=19$m=19456,t=2,p=1$"];

/// What a piece of the text is, in the two lowest bits of its length.
mod is {
    pub(super) const TEXT: u64 = 0;
    pub(super) const HEX: u64 = 1;
    pub(super) const BASE64: u64 = 2;
    /// One of the words, and which.
    pub(super) const WORD: u64 = 3;
}

/// What takes a byte wherever it stands. The ids do in a path of Vault's.
fn words(key: &CredentialKey) -> [&str; 4] {
    [key.client_id().as_str(), key.credential_id().as_str(), USUAL[0], USUAL[1]]
}

/// Appends the length of the text, and its pieces.
pub(super) fn put_payload(to: &mut Vec<u8>, key: &CredentialKey, text: &str) {
    let words = words(key);
    put_number(to, text.len() as u64);
    let text = text.as_bytes();
    let (mut begin, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        let digits = run(rest, is_hex) & !1;
        let word = words.iter().position(|word| word.len() >= LEAST_HEX && rest.starts_with(word.as_bytes()));
        if let Some(which) = word {
            put_base64(to, &text[begin..at]);
            put_number(to, (which as u64) << 2 | is::WORD);
            at += words[which].len();
            begin = at;
        } else if digits >= LEAST_HEX {
            put_base64(to, &text[begin..at]);
            put_number(to, (digits as u64) << 2 | is::HEX);
            to.extend(rest[..digits].chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])));
            at += digits;
            begin = at;
        } else {
            at += 1;
        }
    }
    put_base64(to, &text[begin..]);
}

/// A text of [`put_payload`], if it is one.
pub(super) fn take_payload(from: &mut &[u8], key: &CredentialKey) -> Option<String> {
    let words = words(key);
    let len = usize::try_from(take_number(from)?).ok()?;
    // What is none may claim any length.
    let mut text = Vec::with_capacity(len.min(1 << 12));
    while text.len() < len {
        let head = take_number(from)?;
        let (kind, count) = (head & 3, usize::try_from(head >> 2).ok()?);
        match kind {
            is::TEXT => text.extend(take(from, count)?),
            is::HEX => {
                for byte in take(from, count / 2)? {
                    text.extend([byte >> 4, byte & 15].map(|nibble| b"0123456789abcdef"[usize::from(nibble)]));
                }
            }
            is::BASE64 => take_base64(from, count, &mut text)?,
            _ => text.extend(words.get(count)?.as_bytes()),
        }
    }
    if text.len() > len {
        return None;
    }
    String::from_utf8(text).ok()
}

/// Appends pieces of base64, and what is between them as it is.
fn put_base64(to: &mut Vec<u8>, text: &[u8]) {
    let (mut begin, mut at) = (0, 0);
    while at < text.len() {
        let count = run(&text[at..], |byte| value(byte).is_some());
        if count >= LEAST_BASE64 {
            put_text(to, &text[begin..at]);
            put_number(to, (count as u64) << 2 | is::BASE64);
            for four in text[at..at + count].chunks(4) {
                let bits = four.iter().rev().fold(0_u32, |bits, byte| bits << 6 | u32::from(value(*byte).unwrap_or(0)));
                to.extend(&bits.to_le_bytes()[..packed_len(four.len())]);
            }
            begin = at + count;
        }
        at += count.max(1);
    }
    put_text(to, &text[begin..]);
}

fn take_base64(from: &mut &[u8], count: usize, text: &mut Vec<u8>) -> Option<()> {
    let mut left = count;
    while left > 0 {
        let digits = left.min(4);
        let mut bits = 0_u32;
        for (place, byte) in take(from, packed_len(digits))?.iter().enumerate() {
            bits |= u32::from(*byte) << (8 * place);
        }
        text.extend((0..digits).map(|digit| BASE64[(bits >> (6 * digit)) as usize & 63]));
        left -= digits;
    }
    Some(())
}

fn put_text(to: &mut Vec<u8>, text: &[u8]) {
    if !text.is_empty() {
        put_number(to, (text.len() as u64) << 2 | is::TEXT);
        to.extend(text);
    }
}

/// How many bytes so many digits of six bits take.
fn packed_len(digits: usize) -> usize {
    (digits * 6).div_ceil(8)
}

/// How many bytes in front are of this kind.
fn run(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !is(*byte)).unwrap_or(bytes.len())
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn nibble(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 }
}

/// Of a digit of [`BASE64`].
fn value(byte: u8) -> Option<u8> {
    match byte {
        b'.' | b'/' => Some(byte - b'.'),
        b'A'..=b'Z' => Some(byte - b'A' + 2),
        b'a'..=b'z' => Some(byte - b'a' + 28),
        b'0'..=b'9' => Some(byte - b'0' + 54),
        _ => None,
    }
}
