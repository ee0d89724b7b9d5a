//! Pages for operators and embedders, beside the reference.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("backends.md")]
pub mod backends {}

#[doc = include_str!("coexistence.md")]
pub mod coexistence {}

#[doc = include_str!("keys.md")]
pub mod keys {}

#[doc = include_str!("ledger.md")]
pub mod ledger {}

#[cfg(feature = "legacy")]
#[cfg_attr(docsrs, doc(cfg(feature = "legacy")))]
#[doc = include_str!("legacy.md")]
pub mod legacy {}

#[doc = include_str!("lifecycle.md")]
pub mod lifecycle {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
#[doc = include_str!("transit.md")]
pub mod transit {}

#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
#[doc = include_str!("vault.md")]
pub mod vault {}
