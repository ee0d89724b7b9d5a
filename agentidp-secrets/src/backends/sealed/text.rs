//! What a sealed record says.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::KeyId;
use crate::record::StoredSecret;

/// So long that random ones do not repeat.
pub(super) type Nonce = [u8; 24];

/// The payload of a record.
pub(super) struct SealedText {
    pub(super) key_id: KeyId,
    pub(super) nonce: Nonce,
    /// The secret, and 16 bytes that prove it.
    pub(super) sealed: Vec<u8>,
}

impl SealedText {
    const SCHEME: &'static str = "$xchacha20-poly1305$";
    const HEAD: &'static str = "$xchacha20-poly1305$v=1$keyid=";

    /// Whether the text begins as a record of any version.
    pub(super) fn is_headed(text: &str) -> bool {
        text.starts_with(Self::SCHEME)
    }

    /// Takes nothing but what [`Display`](fmt::Display) writes.
    pub(super) fn parse(payload: &str) -> Option<Self> {
        if payload.len() > StoredSecret::MAX_TEXT_LEN {
            return None;
        }
        let mut parts = payload.strip_prefix(Self::HEAD)?.split('$');
        let key_id = KeyId::parse(parts.next()?).ok()?;
        let nonce = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?.try_into().ok()?;
        let sealed = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        parts.next().is_none().then_some(Self { key_id, nonce, sealed })
    }
}

impl fmt::Display for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nonce, sealed) = (URL_SAFE_NO_PAD.encode(self.nonce), URL_SAFE_NO_PAD.encode(&self.sealed));
        write!(f, "{}{}${nonce}${sealed}", Self::HEAD, self.key_id)
    }
}
