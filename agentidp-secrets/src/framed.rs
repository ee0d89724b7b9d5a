//! Several texts as one, so that no two lists of texts are the same bytes.

use zeroize::Zeroizing;

/// Each part after its length in four bytes. The buffer never moves, so no copy of a secret is left behind.
pub(crate) fn framed(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut whole = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| 4 + part.len()).sum()));
    for part in parts {
        // Ids and secrets, far below 4 GiB.
        whole.extend_from_slice(&(part.len() as u32).to_be_bytes());
        whole.extend_from_slice(part);
    }
    whole
}
