//! What goes wrong with keys.

/// Why a text is no key, or why there is none. `Display` finishes a sentence that begins "the key is …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text cannot be read as a private key.
    #[error(
        "not a PEM with an unencrypted private key of RSA, P-256 or Ed25519; make one with `openssl genpkey -algorithm \
         RSA -pkeyopt rsa_keygen_bits:2048`, `-algorithm EC -pkeyopt ec_paramgen_curve:P-256` or `-algorithm ed25519`"
    )]
    Unreadable,
    /// The text cannot be read as a key of either half.
    #[error(
        "not a PEM with a private or public key of RSA, P-256 or Ed25519; `openssl pkey -in KEY -pubout` writes one"
    )]
    UnreadablePublic,
    /// The modulus is shorter than 2048 bits (NIST SP 800-131A allows no shorter one), or longer than 8192.
    #[error(
        "an RSA key that has not 2048 to 8192 bits; make one with `openssl genpkey -algorithm RSA -pkeyopt \
         rsa_keygen_bits:2048`"
    )]
    RsaSize,
    /// An elliptic curve that no token is signed on.
    #[error(
        "a key on another curve than P-256 (ES256) and Ed25519 (EdDSA); make one with `openssl genpkey -algorithm EC \
         -pkeyopt ec_paramgen_curve:P-256` or `-algorithm ed25519`"
    )]
    Curve,
    /// No key could be generated.
    #[error("not there, and none could be generated")]
    Generate,
}

/// Why a token was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Too many wait for a signature already; trying again later may help.
    #[error("too many tokens wait to be signed")]
    Busy,
    /// The claims are no JSON, the cryptographic library failed, or there is no thread for it.
    #[error("the token could not be signed")]
    Failed,
}
