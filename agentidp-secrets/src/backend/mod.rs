//! The contract: what a place that keeps secrets must do.

mod answer;
mod contract;
mod info;
mod parameters;
mod recall;
mod shared;

pub use self::answer::{Held, Pointer, Verdict};
pub use self::contract::SecretBackend;
#[cfg(any(test, feature = "testkit"))]
pub(crate) use self::contract::{Each, keeps_no_versions};
pub use self::info::{BackendInfo, Custody};
pub use self::recall::Recall;
pub use self::shared::SharedBackend;
pub(crate) use self::shared::shared;
