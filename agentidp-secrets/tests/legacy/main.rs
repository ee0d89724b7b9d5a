//! Digests of other software, from the outside: published ones, whole tables, and the contract of a backend that only reads.
#![cfg(all(feature = "argon2", feature = "bcrypt", feature = "legacy", feature = "sealed", feature = "testkit"))]

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod recipe_rows;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod vectors;
