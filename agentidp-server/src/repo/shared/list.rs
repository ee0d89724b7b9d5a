//! Pages of a table.

use sqlx::{Database, FromRow, QueryBuilder};

use super::{Db, Store};
use crate::domain::{Page, Paged};
use crate::repo::columns::Id;

/// A table's rows, newest first.
pub(super) struct List {
    pub(super) select: &'static str,
    /// The rows that are counted.
    pub(super) from: &'static str,
    /// The columns of their time and of their id, which decides between rows of one time: without it pages could overlap.
    pub(super) key: [&'static str; 2],
}

impl Store {
    /// One page of the rows that match what `filter` adds. Rows are counted up to [`Page::DEPTH`], and none are looked for behind
    /// so many.
    pub(super) async fn page_of<R, T: Send>(
        &self,
        list: &List,
        filter: impl Fn(&mut QueryBuilder<Db>) + Send + Sync,
        page: Page,
    ) -> sqlx::Result<Paged<T>>
    where
        R: for<'row> FromRow<'row, <Db as Database>::Row> + Into<T> + Send + Unpin,
    {
        let [time, id] = list.key;
        let matching = |query: &mut QueryBuilder<Db>| {
            filter(query);
            if let Some((at, row)) = page.before {
                query.push(format!(" AND ({time}, {id}) < (")).push_bind(at).push(", ").push_bind(Id(row)).push(")");
            }
        };
        let mut count = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 ");
        count.push(list.from);
        matching(&mut count);
        count.push(" LIMIT ").push_bind(i64::from(Page::DEPTH)).push(") AS counted");
        let total: i64 = count.build_query_scalar().fetch_one(&self.lists).await?;

        let mut paged = Paged { data: Vec::new(), total: total.unsigned_abs(), page: page.page, limit: page.limit };
        // Past the end, or too deep.
        if page.offset() >= total {
            return Ok(paged);
        }
        let mut rows = QueryBuilder::new(list.select);
        matching(&mut rows);
        rows.push(format!(" ORDER BY {time} DESC, {id} DESC LIMIT "))
            .push_bind(i64::from(page.limit))
            .push(" OFFSET ")
            .push_bind(page.offset());
        let rows: Vec<R> = rows.build_query_as().fetch_all(&self.lists).await?;

        paged.data = rows.into_iter().map(Into::into).collect();
        Ok(paged)
    }
}
