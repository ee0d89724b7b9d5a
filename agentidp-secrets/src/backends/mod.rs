//! The backends that come with the crate.
//!
//! | backend | id | custody | longest secret | feature |
//! |---|---|---|---|---|
//! | [`Bcrypt`] | `bcrypt` | record | 72 bytes | `bcrypt` (default) |
//! | [`Argon2id`] | `argon2` | record | 4096 bytes | `argon2` |
//! | [`KeyedDigest`] | `keyed-digest` | record | generated ones only | always there |
//! | [`legacy::LegacyKdf`], [`legacy::LegacySha`] | `legacy-kdf`, `legacy-sha` | record, which they only read | 4096 bytes | `legacy` |
//! | [`Sealed`] | `sealed` | record, with the secret in it under your key | 2048 bytes | `sealed` |
//! | [`Memory`] | `memory` | backend | none | always there |
//! | [`VaultKv2`] | `vault-kv2` | backend | 4096 bytes | `vault` |
//!
//! One-way functions implement [`Digester`] and run inside a [`DigestBackend`], within [`DigestLimits`].
//! [`KeyedDigest`] and [`Sealed`] take microseconds and do not. What belongs to [`VaultKv2`] is in [`vault`].
//!
//! [`Argon2id`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/struct.Argon2id.html
//! [`Bcrypt`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/struct.Bcrypt.html
//! [`legacy::LegacyKdf`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/legacy/struct.LegacyKdf.html
//! [`legacy::LegacySha`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/legacy/struct.LegacySha.html
//! [`Sealed`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/struct.Sealed.html
//! [`vault`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/vault/
//! [`VaultKv2`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/vault/struct.VaultKv2.html

#[cfg(feature = "argon2")]
mod argon2;
#[cfg(feature = "bcrypt")]
mod bcrypt;
mod digest;
pub(crate) mod forms;
mod keyed_digest;
#[cfg(feature = "legacy")]
#[cfg_attr(docsrs, doc(cfg(feature = "legacy")))]
pub mod legacy;
mod memory;
#[cfg(feature = "sealed")]
mod sealed;

#[cfg(feature = "argon2")]
#[cfg_attr(docsrs, doc(cfg(feature = "argon2")))]
pub use self::argon2::{Argon2id, Argon2idBuilder};
#[cfg(feature = "bcrypt")]
#[cfg_attr(docsrs, doc(cfg(feature = "bcrypt")))]
pub use self::bcrypt::{Bcrypt, BcryptBuilder};
pub use self::digest::{Attempt, DigestBackend, DigestLimits, DigestLoad, Digester};
pub use self::keyed_digest::KeyedDigest;
pub use self::memory::Memory;
#[cfg(feature = "sealed")]
#[cfg_attr(docsrs, doc(cfg(feature = "sealed")))]
pub use self::sealed::Sealed;
#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
#[doc(inline)]
pub use crate::vault::VaultKv2;
