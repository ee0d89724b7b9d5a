//! (in work)

pub(crate) mod validate;
