//! Pages for operators and embedders, beside the reference.

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
#[doc = include_str!("vault.md")]
pub mod vault {}
