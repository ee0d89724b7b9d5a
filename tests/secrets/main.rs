//! Tests of the library on real services.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod redaction;
mod services;
