//! The text form of keys (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The one block of a PEM. No `Debug`: it may be a private key.
pub(super) struct Block {
    pub(super) label: String,
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// A PEM as it is in a file. Line ends may be written as `\n`, because a setting is often one line.
pub(super) fn lines(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.trim().replace("\\n", "\n"))
}

/// Reads the first block that is a key: `openssl ecparam -genkey` writes the curve's name into one before it.
pub(super) fn read(lines: &str) -> Option<Block> {
    let blocks = pem::parse_many(lines).ok()?;
    let block = blocks.into_iter().find(|block| block.tag() != "EC PARAMETERS")?;
    Some(Block { label: block.tag().to_owned(), der: Zeroizing::new(block.into_contents()) })
}

/// Writes a private key in PKCS #8 form.
pub(super) fn write_pkcs8(der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    // Capacity for the lines and their ends: a growing string would leave unwiped copies behind.
    let mut pem = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / 64 + 64));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}
