//! A PostgreSQL database whose clock a test can set.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Makes `clock_timestamp()` return `expression` in this database, for connections that begin after the first call.
pub(crate) async fn set_database_clock(url: &str, expression: &str) {
    let mut connection = PgConnection::connect(url).await.expect("our own cluster answers");
    // Our function comes before PostgreSQL's on the search path.
    let set = format!(
        "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
         AS $$ SELECT {expression} $$; \
         DO $$ BEGIN \
         EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$"
    );
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut connection).await.expect("a clock");
}
