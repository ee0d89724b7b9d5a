//! Tests of the library on real services.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

mod services;
#[cfg(test)]
mod vault_refusals;
#[cfg(test)]
mod vault_verbs;
#[cfg(test)]
mod vault_wire;
