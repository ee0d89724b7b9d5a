//! Tests of the ledgers on a real PostgreSQL and a SQLite file.

#[cfg(test)]
mod bare_keys;
#[cfg(test)]
mod commit;
#[cfg(test)]
mod conformance;
#[cfg(test)]
#[path = "../../../../tests/support/database_clock.rs"]
mod database_clock;
#[cfg(test)]
#[path = "../../../../tests/server/deaf.rs"]
mod deaf;
#[cfg(test)]
mod folders;
#[cfg(test)]
mod ids;
#[cfg(test)]
mod instances;
#[cfg(test)]
mod life;
#[cfg(test)]
mod many_rows;
#[cfg(test)]
#[path = "../../../tests/legacy/recipe_rows.rs"]
mod recipe_rows;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod site;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod usage;
