//! Lists come in pages.

use serde::Serialize;
use utoipa::ToSchema;

/// Which page of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two numbers, and no third will come")]
pub struct Page {
    /// Counted from 1.
    pub page: u32,
    /// Rows on a page.
    pub limit: u32,
}

impl Page {
    /// How many rows come before this page.
    #[must_use]
    pub fn offset(self) -> i64 {
        i64::from(self.page.saturating_sub(1)) * i64::from(self.limit)
    }
}

/// One page of a list, as the API writes it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[expect(clippy::exhaustive_structs, reason = "the documented page object")]
pub struct Paged<T> {
    /// The rows of this page.
    pub data: Vec<T>,
    /// Rows on all pages.
    pub total: u64,
    /// This page, counted from 1.
    pub page: u32,
    /// Rows on a page.
    pub limit: u32,
}

impl<T> Paged<T> {
    /// The same page with each row turned into another type.
    pub fn map<U>(self, turn: impl FnMut(T) -> U) -> Paged<U> {
        Paged { data: self.data.into_iter().map(turn).collect(), total: self.total, page: self.page, limit: self.limit }
    }
}
