//! The names of backends. Records and errors carry them.

use std::borrow::Cow;
use std::fmt;

/// Names the backend that wrote a record.
///
/// A kind, and an instance where a store has several backends of that kind: `vault-kv2`, `vault-kv2:eu`. Each is kebab-case, 1 to
/// 32 bytes of `a-z 0-9 -`; a kind begins with a letter. An id ends up in databases: once released, it is never changed and
/// never given to another backend.
///
/// ```
/// use agentidp_secrets::BackendId;
///
/// let eu = BackendId::VAULT_KV2.with_instance("eu")?;
/// assert_eq!((eu.as_str(), eu.kind(), eu.instance()), ("vault-kv2:eu", "vault-kv2", Some("eu")));
/// assert_eq!(BackendId::parse("vault-kv2:eu")?, eu);
/// # Ok::<(), agentidp_secrets::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(Cow<'static, str>);

impl BackendId {
    /// argon2id digests.
    pub const ARGON2: Self = Self(Cow::Borrowed("argon2"));
    /// bcrypt digests.
    pub const BCRYPT: Self = Self(Cow::Borrowed("bcrypt"));
    /// Keyed digests of generated secrets.
    pub const KEYED_DIGEST: Self = Self(Cow::Borrowed("keyed-digest"));
    /// PBKDF2, scrypt and bcrypt over SHA-256 of other software.
    pub const LEGACY_KDF: Self = Self(Cow::Borrowed("legacy-kdf"));
    /// SHA-1, SHA-256 and SHA-512 of other software.
    pub const LEGACY_SHA: Self = Self(Cow::Borrowed("legacy-sha"));
    /// The in-memory backend for tests and demos.
    pub const MEMORY: Self = Self(Cow::Borrowed("memory"));
    /// Secrets sealed in the record.
    pub const SEALED: Self = Self(Cow::Borrowed("sealed"));
    /// HashiCorp Vault or OpenBao, KV version 2.
    pub const VAULT_KV2: Self = Self(Cow::Borrowed("vault-kv2"));
    /// HMACs of HashiCorp Vault's or OpenBao's transit engine.
    pub const VAULT_TRANSIT: Self = Self(Cow::Borrowed("vault-transit"));

    /// No backend: a text of other software, until a backend of the store [recognises](crate::SecretBackend::recognises) it.
    /// No backend can have this id, and no record text holds it.
    pub const UNCLAIMED: Self = Self(Cow::Borrowed("(unclaimed)"));

    /// Those of this library. Rows in memory name them by their place, which no other process sees.
    pub(crate) const KNOWN: [Self; 10] = [
        Self::ARGON2,
        Self::BCRYPT,
        Self::KEYED_DIGEST,
        Self::LEGACY_KDF,
        Self::LEGACY_SHA,
        Self::MEMORY,
        Self::SEALED,
        Self::VAULT_KV2,
        Self::VAULT_TRANSIT,
        Self::UNCLAIMED,
    ];

    /// Longest kind, and longest instance, in bytes.
    const MAX_LEN: usize = 32;

    /// The id with this text, if it may be one.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let (kind, instance) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let begins_well = kind.starts_with(|first: char| first.is_ascii_lowercase());
        let fits = begins_well && is_kebab(kind) && instance.is_none_or(is_kebab);
        fits.then(|| Self(Cow::Owned(text.to_owned())))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of backend: the part before a colon.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(kind, _)| kind)
    }

    /// Which of several backends of its kind: the part behind a colon. None for the one without a name.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.0.split_once(':').map(|(_, instance)| instance)
    }
}

fn is_kebab(text: &str) -> bool {
    let literal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=BackendId::MAX_LEN).contains(&text.len()) && text.bytes().all(literal)
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendId({})", self.0)
    }
}
