//! HashiCorp Vault or OpenBao, KV version 2: the secret lives in Vault, the record says where.
//!
//! # What is in this module
//! | | |
//! |---|---|
//! | [`VaultKv2`] | the backend |
//! | [`transit`] | the other backend, which keeps nothing in Vault but a key |
//! | [`VaultKv2Builder`], [`VaultKv2Config`] | its settings: as methods, and as data |
//! | [`VaultPath`] | what a record of this backend says |
//! | [`Setting`], [`UnreadableFile`] | what error texts call a setting, and the file that it names |
//! | [`auth`] | where the token comes from, and how it stays alive |
//! | [`check`] | what an operator asks before trusting a set-up: mount, rights, retention |
//! | [`inventory`] | what Vault holds, for a comparison with the rows |
//! | [`ledger`] | the entry that says which databases may delete in the folder |
//!
//! [The guide](crate::guide::vault) says how to set Vault up.
//!
//! # What it stores, and where
//! One KV entry a credential, at `{mount}/data/{prefix}/agents/{client}/credentials/{credential}`, with the secret in its
//! member `clientSecret`. A rotation writes a new version of the entry. The old version stays in Vault's history until the
//! credential [ends](crate::SecretStore::revoke) or until ten newer ones have pushed it out.
//!
//! [Layout](VaultKv2Builder::layout), [member](VaultKv2Builder::member) and whether other members
//! [are kept](VaultKv2Builder::keep_other_members) are settings, for entries that other software has written.
//!
//! Beside them `{mount}/data/{prefix}/ledger` can hold whose the folder is: see [`VaultKv2::ledger_entry`]. This backend itself
//! neither reads nor writes it.
//!
//! # What the record looks like
//! The path with the version that was written: see [`VaultPath`]. Verification reads exactly that version, so neither a
//! standby that lags behind nor a rotation that was never committed in the database can change what a record means. A
//! bare path, as older systems kept it, reads the latest version until its next rotation.
//!
//! # What it costs
//! A verification is one read, an issue or a rotation one write (one read more for a bare path, and to keep other members). With several addresses a
//! request that one node turns away goes to the next one, within the time of the call; a pinned version that is missing is
//! asked for again where the storage is replicated. Nothing else is tried twice: wrap it in a retry layer for the rest.
//!
//! # What can fail
//! | Vault | kind |
//! |---|---|
//! | down, hung, sealed, electing, a proxy's answer | `Unavailable` |
//! | quota used up | `Throttled` |
//! | token dead, policy without the right | `Denied` |
//! | version deleted, pruned, never there | `NotFound` |
//! | version without a secret in its member | `Malformed` |
//! | compare-and-set lost | `Conflict` |
//! | no such mount or namespace, KV version 1 | `InvalidConfig` |
//!
//! A write whose answer is lost is read back, so it is an error only if its outcome cannot be found out.
//!
//! # The way in and out
//! Make it the primary backend and rotate: the store then writes here whatever the old record was, over whatever a lost
//! commit has left here. Make another one primary, keep this one accepted, and rotate: the way back. What stays here is
//! forgotten when the credential ends.

pub mod auth;
mod auth_kind;
mod backend;
mod builder;
mod cause;
pub mod check;
mod config;
mod failure;
mod hidden;
pub mod inventory;
mod kv;
mod kv2;
mod layout;
pub mod ledger;
mod mount;
mod namespace;
mod path;
mod rights;
mod setting;
#[cfg(test)]
mod tests;
mod token;
pub mod transit;
mod wire;
mod write;

pub use self::builder::VaultKv2Builder;
pub use self::config::VaultKv2Config;
pub use self::kv2::VaultKv2;
pub use self::path::VaultPath;
pub use self::setting::{Setting, UnreadableFile};
