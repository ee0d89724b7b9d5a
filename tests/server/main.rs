//! Tests of the server on real services.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bearer;
#[cfg(test)]
mod http;
#[cfg(test)]
mod repo;
#[cfg(test)]
mod requests;
#[cfg(test)]
#[expect(dead_code, reason = "in work")]
mod site;
#[cfg(test)]
#[expect(dead_code, reason = "each test binary uses its part of the support code")]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod token;
