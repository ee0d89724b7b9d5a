//! Longer pages than one item's documentation.

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("threats.md")]
pub mod threats {}
