//! The contract of what keeps a database's side of the folders in Vault.

#![expect(clippy::panic, reason = "it is for tests, and a check that fails says why")]

use crate::folder::{FolderRow, FolderRows};

/// Checks the contract of [`FolderRows`], in two folders of its own.
///
/// # Panics
/// Where it is not kept; the message says how.
pub async fn check_folder_rows(rows: &impl FolderRows) {
    let [folder, other] = ["testkit/folder", "testkit/another 'folder'"];
    let new = FolderRow { identity: id(1), counter: 0, mark: None, next_mark: None };
    let noted = FolderRow { next_mark: Some(id(10)), ..new.clone() };
    let settled = FolderRow { counter: 1, mark: Some(id(10)), next_mark: None, ..new.clone() };
    let theirs = FolderRow { identity: id(2), counter: u64::MAX >> 1, mark: Some(id(20)), next_mark: Some(id(21)) };

    assert_eq!(find(rows, folder).await, None, "a folder that this database has not claimed has no row");
    assert!(!swap(rows, folder, Some(&new), &noted).await, "without a row nothing is replaced");
    assert_eq!(find(rows, folder).await, None, "a swap without a row makes none");
    assert!(swap(rows, folder, None, &new).await, "the first row is inserted");
    assert!(!swap(rows, folder, None, &theirs).await, "where there is a row none is inserted");
    assert!(swap(rows, folder, Some(&new), &noted).await, "the row that is named is replaced");
    assert_eq!(find(rows, folder).await.as_ref(), Some(&noted), "a row is found as it was written");
    assert!(swap(rows, folder, Some(&noted), &settled).await, "the row that is named is replaced");

    let near = [
        FolderRow { identity: id(2), ..settled.clone() },
        FolderRow { counter: 2, ..settled.clone() },
        FolderRow { mark: Some(id(11)), ..settled.clone() },
        FolderRow { mark: None, ..settled.clone() },
        FolderRow { next_mark: Some(id(11)), ..settled.clone() },
    ];
    for before in near {
        assert!(!swap(rows, folder, Some(&before), &theirs).await, "the row is another one than {before:?}");
    }
    assert_eq!(find(rows, folder).await.as_ref(), Some(&settled), "what was not replaced is as it was");

    assert_eq!(find(rows, other).await, None, "each folder has a row of its own");
    assert!(swap(rows, other, None, &theirs).await, "each folder has a row of its own");
    assert_eq!(find(rows, other).await.as_ref(), Some(&theirs), "a row is found as it was written");
    assert_eq!(find(rows, folder).await.as_ref(), Some(&settled), "a folder's row is not another one's");
}

fn id(number: u8) -> String {
    format!("018bcfe5-6800-7000-8000-{number:012}")
}

async fn find(rows: &impl FolderRows, folder: &str) -> Option<FolderRow> {
    rows.find(folder).await.unwrap_or_else(|error| panic!("the row of `{folder}` could not be read: {error}"))
}

async fn swap(rows: &impl FolderRows, folder: &str, before: Option<&FolderRow>, after: &FolderRow) -> bool {
    let swapped = rows.swap(folder, before, after).await;
    swapped.unwrap_or_else(|error| panic!("the row of `{folder}` could not be written: {error}"))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::FutureExt as _;

    use super::*;
    use crate::folder::MemoryFolderRows;

    #[tokio::test]
    async fn rows_in_memory_keep_the_contract() {
        check_folder_rows(&MemoryFolderRows::new()).await;
    }

    /// Writes whatever the row was.
    struct Careless(MemoryFolderRows);

    #[async_trait]
    impl FolderRows for Careless {
        type Error = std::convert::Infallible;

        async fn find(&self, folder: &str) -> Result<Option<FolderRow>, Self::Error> {
            self.0.find(folder).await
        }

        async fn swap(&self, folder: &str, _: Option<&FolderRow>, after: &FolderRow) -> Result<bool, Self::Error> {
            let now = self.find(folder).await?;
            self.0.swap(folder, now.as_ref(), after).await
        }
    }

    #[tokio::test]
    async fn rows_that_are_replaced_unseen_are_found() {
        let careless = Careless(MemoryFolderRows::new());
        assert!(std::panic::AssertUnwindSafe(check_folder_rows(&careless)).catch_unwind().await.is_err());
    }
}
