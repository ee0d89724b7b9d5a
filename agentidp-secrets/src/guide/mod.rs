//! Pages for reading, without code of their own.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("backends.md")]
pub mod backends {}

#[doc = include_str!("coexistence.md")]
pub mod coexistence {}
