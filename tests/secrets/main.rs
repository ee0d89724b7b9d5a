//! Tests of the library on real services.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

mod services;
