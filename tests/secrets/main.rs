//! Tests of the library on real services.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
#[path = "../support/certificates.rs"]
mod certificates;
#[cfg(test)]
mod conformance;
mod interop;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod model;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod redaction;
mod services;
#[cfg(test)]
mod setting_names;
#[cfg(test)]
mod vault_addresses;
#[cfg(test)]
mod vault_auth;
#[cfg(test)]
mod vault_errors;
#[cfg(test)]
mod vault_failover;
#[cfg(test)]
mod vault_folder;
#[cfg(test)]
mod vault_guide;
#[cfg(test)]
mod vault_ids;
#[cfg(test)]
mod vault_import;
#[cfg(test)]
mod vault_instances;
#[cfg(test)]
mod vault_inventory;
#[cfg(test)]
mod vault_layout;
#[cfg(test)]
mod vault_ledger;
#[cfg(test)]
mod vault_logins;
#[cfg(test)]
mod vault_moves;
#[cfg(test)]
mod vault_nodes;
#[cfg(test)]
mod vault_refusals;
#[cfg(test)]
mod vault_retention;
#[cfg(test)]
mod vault_tls;
#[cfg(test)]
mod vault_token;
#[cfg(test)]
mod vault_transit;
#[cfg(test)]
mod vault_verbs;
#[cfg(test)]
mod vault_wire;
