//! Tests of the server on real services.
