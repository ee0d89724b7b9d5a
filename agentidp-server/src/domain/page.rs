//! Lists come in pages.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Timestamp;

/// Which page of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the documented query")]
pub struct Page {
    /// Counted from 1.
    pub page: u32,
    /// Rows on a page.
    pub limit: u32,
    /// Counted from behind this row, by its time and its id. Such a page costs the same at any depth.
    pub before: Option<(Timestamp, Uuid)>,
}

impl Page {
    /// Rows that are counted, and that a page may come after: one that lies deeper would cost as much as all before it.
    pub const DEPTH: u32 = 100_000;

    /// A page of the whole list.
    #[must_use]
    pub const fn new(page: u32, limit: u32) -> Self {
        Self { page, limit, before: None }
    }

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
    /// Rows on all pages, counted up to 100000.
    pub total: u64,
    /// This page, counted from 1.
    pub page: u32,
    /// Rows on a page.
    pub limit: u32,
}

impl<T> Paged<T> {
    /// Whether the rows of this page were not looked for, because too many come before them.
    #[must_use]
    pub fn is_too_deep(&self) -> bool {
        let (page, depth) = (Page::new(self.page, self.limit), Page::DEPTH);
        self.total >= u64::from(depth) && page.offset() >= i64::from(depth)
    }

    /// The same page with each row turned into another type.
    pub fn map<U>(self, turn: impl FnMut(T) -> U) -> Paged<U> {
        Paged { data: self.data.into_iter().map(turn).collect(), total: self.total, page: self.page, limit: self.limit }
    }
}
