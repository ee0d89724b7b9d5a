//! Tests of the library on real services.
