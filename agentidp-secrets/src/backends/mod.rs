//! (in work)

#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
mod vault;

#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
pub use self::vault::{
    Right, RightCheck, TokenStatus, VaultKv2, VaultKv2Builder, VaultKv2Config, VaultPath, VaultToken,
};
