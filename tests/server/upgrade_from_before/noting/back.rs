//! Going back to eeb7202, as the operator guide says.

use tempfile::TempDir;

use super::*;

on_both!(NOTES; the_release_before_starts_on_what_the_guide_leaves_of_the_schema);

const GUIDE: &str = include_str!("../../../../agentidp-server/README.md");

/// The two blocks of statements in the chapter.
fn statements() -> [&'static str; 2] {
    let chapter = GUIDE.split("\n## Upgrading, and going back\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut blocks = chapter.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap());
    [blocks.next().unwrap(), blocks.next().unwrap()]
}

impl Before {
    /// What that release has, which takes no migration that it does not know.
    async fn starts(&self) -> Result<(), sqlx::migrate::MigrateError> {
        let folder = TempDir::new().unwrap();
        let database = if self.is_postgres() { "postgres" } else { "sqlite" };
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("agentidp-server/migrations").join(database);
        for file in std::fs::read_dir(all).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            if name[..4].parse::<i64>().unwrap() <= self.newest {
                std::fs::copy(file.path(), folder.path().join(name)).unwrap();
            }
        }
        let migrations = Migrator::new(folder.path()).await.unwrap();
        match self.connect().await {
            Connection::Postgres(mut connection) => migrations.run(&mut connection).await,
            Connection::Sqlite(mut connection) => migrations.run(&mut connection).await,
        }
    }
}

async fn the_release_before_starts_on_what_the_guide_leaves_of_the_schema(before: Before) {
    let (row, _) = before.first_version().await;
    before.insert(&row).await;
    let server = before.start(&[]).await;
    let secret = server.site.rotate(row.client_id, row.credential_id).await.secret();
    let now = server.site.app.now();
    drop(server);
    assert!(before.starts().await.is_err());

    let [put_away, bring_back] = statements();
    before.sql(put_away).await;
    before.starts().await.unwrap();
    assert!(before.old_login(&row, &secret, now).await);
    let rotated = {
        let write = Write::of("rotate", 2, "", now);
        assert!(before.open(&row, &write, now).await.is_some());
        let secret = before.write_next(&row, 2).await;
        let [revision] = before.texts("SELECT CAST(revision AS text) FROM credentials").await.try_into().unwrap();
        let found = row.with(before.columns(&row, Some(2)).written_by(revision.parse().unwrap()));
        let after = row.with(before.columns(&row, Some(3)).written_by(write.attempt));
        assert!(before.commit(&found, &after).await);
        secret
    };

    before.sql(bring_back).await;
    let server = before.start(&[]).await;
    server.site.granted(row.client_id, &rotated).await;
    assert_eq!(server.site.grant(row.client_id, &secret).await.status, 401);
}
