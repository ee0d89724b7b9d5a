//! Pages of a table.

use sqlx::{Database, FromRow, QueryBuilder};

use super::{Db, Store};
use crate::domain::{Page, Paged};

/// A table's rows in the order of their listing. An order must end with the key, or pages could overlap.
pub(super) struct List {
    pub(super) select: &'static str,
    pub(super) count: &'static str,
    pub(super) order: &'static str,
}

impl Store {
    /// One page of the rows that match what `filter` adds.
    pub(super) async fn page_of<R, T>(
        &self,
        list: &List,
        filter: impl Fn(&mut QueryBuilder<Db>) + Send,
        page: Page,
    ) -> sqlx::Result<Paged<T>>
    where
        R: for<'row> FromRow<'row, <Db as Database>::Row> + Into<T> + Send + Unpin,
    {
        let mut count = QueryBuilder::new(list.count);
        filter(&mut count);
        let total: i64 = count.build_query_scalar().fetch_one(&self.lists).await?;

        let mut rows = QueryBuilder::new(list.select);
        filter(&mut rows);
        rows.push(list.order);
        rows.push(" LIMIT ").push_bind(i64::from(page.limit)).push(" OFFSET ").push_bind(page.offset());
        let rows: Vec<R> = rows.build_query_as().fetch_all(&self.lists).await?;

        Ok(Paged {
            data: rows.into_iter().map(Into::into).collect(),
            total: total.unsigned_abs(),
            page: page.page,
            limit: page.limit,
        })
    }
}
