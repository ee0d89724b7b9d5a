//! Bytes as other software writes them.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LAX: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_LAX: GeneralPurpose = GeneralPurpose::new(&STANDARD, LAX);
const URL_LAX: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LAX);

/// Base64 with or without padding, in the alphabet that the text is in.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    if text.contains(['-', '_']) { base64url(text) } else { standard_base64(text) }
}

pub(super) fn standard_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD_LAX.decode(text).ok()
}

pub(super) fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_LAX.decode(text).ok()
}

/// passlib's: a point for the plus sign, and no padding. Other software writes the plus sign in the same place.
pub(super) fn adapted_base64(text: &str) -> Option<Vec<u8>> {
    standard_base64(&text.replace('.', "+"))
}

pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text).ok()
}

/// A decimal number without a sign.
pub(super) fn number(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// The fields between `$` signs, where there are exactly so many.
pub(super) fn fields<const N: usize>(text: &str) -> Option<[&str; N]> {
    let fields: Vec<&str> = text.split('$').collect();
    fields.try_into().ok()
}

/// The value of `name=value` in a list with commas.
pub(super) fn setting<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    list.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}
