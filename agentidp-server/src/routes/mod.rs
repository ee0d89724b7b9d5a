//! (in work)

mod agents;
mod audit;
mod credentials;
mod health;
mod validate;
