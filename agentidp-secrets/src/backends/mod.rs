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
//! | [`VaultTransit`] | `vault-transit` | record, with the key in Vault | 4096 bytes | `vault` |
//!
//! Each has a page with what it stores, what it costs, how it fails, and the way in and out: [bcrypt][page-bcrypt],
//! [argon2][page-argon2], [keyed digests](keyed_digest), [sealed][page-sealed], [legacy][page-legacy], [`memory`],
//! [Vault][page-vault] and its [transit engine][page-transit]; [`digest`] has what the first two and the legacy ones share.
//!
//! # Instances
//! A store takes several backends of one kind, such as two Vaults, where each but one has a name: by [`Instance`], or by the
//! setting `instance` of [`VaultKv2`]. Records carry it: `{vault-kv2:eu}…`. See
//! [`guide::coexistence`](crate::guide::coexistence).
//!
//! # Digests
//! One-way functions implement [`Digester`] and run inside a [`DigestBackend`], within [`DigestLimits`].
//! [`KeyedDigest`] and [`Sealed`] take microseconds and do not. What belongs to [`VaultKv2`] is in [`vault`][page-vault].
//!
//! [`Argon2id`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/struct.Argon2id.html
//! [page-argon2]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/argon2/
//! [page-bcrypt]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/bcrypt/
//! [`Bcrypt`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/struct.Bcrypt.html
//! [page-legacy]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/legacy/
//! [`legacy::LegacyKdf`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/legacy/struct.LegacyKdf.html
//! [`legacy::LegacySha`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/legacy/struct.LegacySha.html
//! [`Sealed`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/struct.Sealed.html
//! [page-sealed]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/backends/sealed/
//! [page-transit]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/vault/transit/
//! [page-vault]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/vault/
//! [`VaultKv2`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/vault/struct.VaultKv2.html
//! [`VaultTransit`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/vault/transit/struct.VaultTransit.html

#[cfg(feature = "argon2")]
#[cfg_attr(docsrs, doc(cfg(feature = "argon2")))]
pub mod argon2;
#[cfg(feature = "bcrypt")]
#[cfg_attr(docsrs, doc(cfg(feature = "bcrypt")))]
pub mod bcrypt;
pub mod digest;
pub(crate) mod forms;
mod instance;
pub mod keyed_digest;
#[cfg(feature = "legacy")]
#[cfg_attr(docsrs, doc(cfg(feature = "legacy")))]
pub mod legacy;
pub mod memory;
#[cfg(feature = "sealed")]
#[cfg_attr(docsrs, doc(cfg(feature = "sealed")))]
pub mod sealed;

#[cfg(feature = "argon2")]
#[cfg_attr(docsrs, doc(cfg(feature = "argon2")))]
#[doc(inline)]
pub use self::argon2::{Argon2id, Argon2idBuilder};
#[cfg(feature = "bcrypt")]
#[cfg_attr(docsrs, doc(cfg(feature = "bcrypt")))]
#[doc(inline)]
pub use self::bcrypt::{Bcrypt, BcryptBuilder};
#[doc(inline)]
pub use self::digest::{Attempt, DigestBackend, DigestLimits, DigestLoad, Digester};
pub use self::instance::Instance;
#[doc(inline)]
pub use self::keyed_digest::KeyedDigest;
#[doc(inline)]
pub use self::memory::Memory;
#[cfg(feature = "sealed")]
#[cfg_attr(docsrs, doc(cfg(feature = "sealed")))]
#[doc(inline)]
pub use self::sealed::Sealed;
#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
#[doc(inline)]
pub use crate::vault::VaultKv2;
