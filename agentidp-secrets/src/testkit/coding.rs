//! Base64, written out: the suite looks for secrets in it, and needs no more than this.

/// The alphabet of RFC 4648.
pub(super) const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The same for addresses and file names.
pub(super) const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 without padding.
pub(super) fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    sextets(bytes).map(|sextet| char::from(alphabet[usize::from(sextet)])).collect()
}

/// The digits that stand for these bytes alone, if so many bytes are before them (0 to 2) and any others after.
pub(super) fn base64_inside(bytes: &[u8], before: usize) -> String {
    let mut padded = vec![0; before];
    padded.extend_from_slice(bytes);
    let (first, end) = ((8 * before).div_ceil(6), 8 * padded.len() / 6);
    base64(&padded, STANDARD).chars().take(end).skip(first).collect()
}

fn sextets(bytes: &[u8]) -> impl Iterator<Item = u8> {
    (0..(8 * bytes.len()).div_ceil(6)).map(move |digit| {
        let (byte, bit) = (6 * digit / 8, 6 * digit % 8);
        let pair = u16::from_be_bytes([bytes[byte], bytes.get(byte + 1).copied().unwrap_or_default()]);
        u8::try_from(pair >> (10 - bit) & 63).unwrap_or_default()
    })
}
