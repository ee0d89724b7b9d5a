//! Digests of other software, which are verified and never made.
//!
//! **Stores** nothing: `store` and `rotate` are `InvalidConfig`, and a store refuses one of these as its primary. Give it with
//! [`accepts`](crate::SecretStoreBuilder::accepts). A match is worth an [`upgrade`](crate::SecretStore::upgrade), so each client
//! that logs in gets today's form.
//!
//! | backend | id | forms |
//! |---|---|---|
//! | [`LegacyKdf`] | `legacy-kdf` | PBKDF2, scrypt, bcrypt over SHA-256: slow on purpose |
//! | [`LegacySha`] | `legacy-sha` | SHA-1, SHA-256 and SHA-512, plain and salted: quick, and safe for generated secrets only |
//!
//! **Forms** are recognised in rows as they are, without an id; [`guide::legacy`](crate::guide::legacy) lists them with the
//! software that writes them. [`LegacySha`] reads a sum that does not name its function only where you ask [`LegacyShaBuilder`] for that
//! form. No form is bound to the key: nothing but the row says whose digest it is.
//!
//! **Bounds** of what a stored digest may ask for are settings of [`LegacyKdfBuilder`]. A digest that asks for more is
//! `Malformed` before any memory is taken or work is done. scrypt takes at most 129 MiB a thread unless set.
//!
//! **Time**: an unknown client costs what a wrong secret costs for a digest of a typical form; see
//! [`LegacyKdfBuilder::typical`].

mod bcrypt_sha256;
mod code;
mod hash;
mod kdf;
mod parts;
mod pbkdf2;
mod scrypt;
mod sha;
mod sha_text;

pub use self::kdf::{LegacyKdf, LegacyKdfBuilder};
pub use self::sha::{LegacySha, LegacyShaBuilder};

#[cfg(test)]
mod tests;
