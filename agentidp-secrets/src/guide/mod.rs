//! Pages for operators and embedders, beside the reference.

#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
pub mod vault {
    #![doc = include_str!("vault.md")]
}
