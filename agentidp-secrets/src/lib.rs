#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod backend_id;
pub mod backends;
mod clock;
mod credential;
mod error;
#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
pub mod folder;
mod format;
#[cfg(any(feature = "sealed", feature = "vault"))]
mod framed;
pub mod guide;
pub mod inventory;
mod keys;
mod layer;
pub mod layers;
pub mod lifecycle;
mod record;
mod secret;
mod segment;
mod selector;
mod store;
#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
pub mod vault;

#[cfg(any(test, feature = "testkit"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testkit")))]
pub mod testkit;

pub use crate::backend::{BackendInfo, Custody, Held, Pointer, Recall, SecretBackend, SharedBackend, Verdict};
pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::credential::{ClientId, CredentialId, CredentialKey};
pub use crate::error::{Error, ErrorKind, Operation, Result, VerifyError};
pub use crate::format::{Alphabet, SecretFormat, SecretFormatBuilder, SecretFormats};
pub use crate::keys::{KeyId, MacKeys};
pub use crate::layer::{Layer, stack};
pub use crate::record::{BackendId, StoredSecret};
pub use crate::secret::ClientSecret;
pub use crate::selector::Selector;
pub use crate::store::{
    CredentialSecrets, Generation, Imported, ImportedSecret, Issued, Previous, Rotated, SecretStore,
    SecretStoreBuilder, Upgraded, Verified, VerifiedAny,
};
