//! Rows in memory, for tests and examples.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::row::{FolderRow, FolderRows};

/// The rows of a database that does not outlive its process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryFolderRows(Arc<Mutex<HashMap<String, FolderRow>>>);

impl MemoryFolderRows {
    /// The rows of a database without any.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A database of its own with the same rows, as a backup is.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())))
    }
}

#[async_trait]
impl FolderRows for MemoryFolderRows {
    type Error = Infallible;

    async fn find(&self, folder: &str) -> Result<Option<FolderRow>, Infallible> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(folder).cloned())
    }

    async fn swap(&self, folder: &str, before: Option<&FolderRow>, after: &FolderRow) -> Result<bool, Infallible> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_before = rows.get(folder) == before;
        if is_before {
            rows.insert(folder.to_owned(), after.clone());
        }
        Ok(is_before)
    }
}
