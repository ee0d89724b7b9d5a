//! Pages of a table.

use sqlx::{Database, FromRow, QueryBuilder};

use super::{Db, Store};
use crate::domain::{Page, Paged};

/// A table's rows in the order of their listing. An order must end with the key, or pages could overlap.
pub(super) struct List {
    pub(super) select: &'static str,
    /// The rows that are counted.
    pub(super) from: &'static str,
    pub(super) order: &'static str,
}

impl Store {
    /// One page of the rows that match what `filter` adds. Rows are counted up to [`Page::DEPTH`], and none are looked for behind
    /// so many.
    pub(super) async fn page_of<R, T>(
        &self,
        list: &List,
        filter: impl Fn(&mut QueryBuilder<Db>) + Send,
        page: Page,
    ) -> sqlx::Result<Paged<T>>
    where
        R: for<'row> FromRow<'row, <Db as Database>::Row> + Into<T> + Send + Unpin,
    {
        let mut count = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 ");
        count.push(list.from);
        filter(&mut count);
        count.push(" LIMIT ").push_bind(i64::from(Page::DEPTH)).push(") AS counted");
        let total: i64 = count.build_query_scalar().fetch_one(&self.lists).await?;

        let mut paged = Paged { data: Vec::new(), total: total.unsigned_abs(), page: page.page, limit: page.limit };
        // Past the end, or too deep.
        if page.offset() >= total {
            return Ok(paged);
        }
        let mut rows = QueryBuilder::new(list.select);
        filter(&mut rows);
        rows.push(list.order);
        rows.push(" LIMIT ").push_bind(i64::from(page.limit)).push(" OFFSET ").push_bind(page.offset());
        let rows: Vec<R> = rows.build_query_as().fetch_all(&self.lists).await?;

        paged.data = rows.into_iter().map(Into::into).collect();
        Ok(paged)
    }
}
