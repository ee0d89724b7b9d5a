//! The data directory: the embedded database and the generated keys, for the owner's eyes only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Names of what is in it.
const DATABASE: &str = "agentidp.db";
const KEY: &str = "jwt-key.pem";
const SELECTOR_KEYS: &str = "selector-keys";

/// The directory, which exists.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Opens the directory; makes it, with mode 0700, where it is missing.
    ///
    /// # Errors
    /// When it cannot be made or is no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        Ok(Self(path.to_owned()))
    }

    /// Where the database file of a directory is, or would be.
    #[must_use]
    pub fn database_path_in(path: &Path) -> PathBuf {
        path.join(DATABASE)
    }

    /// Where the key file of a directory is, or would be.
    #[must_use]
    pub fn key_path_in(path: &Path) -> PathBuf {
        path.join(KEY)
    }

    /// The address of the database file, which is made with mode 0600: SQLite itself would let others read it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn database_url(&self) -> io::Result<String> {
        let path = Self::database_path_in(&self.0);
        private_database(&path)?;
        Ok(format!("sqlite:{}", path.display()))
    }

    /// The key as PEM; made by `generate` and written with mode 0600 where there is none. Of several processes that
    /// start at once, one generates and the others read what it wrote.
    ///
    /// # Errors
    /// When the file cannot be read or written, or no key can be generated.
    pub fn key_pem<E>(&self, generate: impl FnOnce() -> Result<Zeroizing<String>, E>) -> io::Result<Zeroizing<String>>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        kept(&self.key_path(), generate)
    }

    /// The keys of selectors, in the form of the setting; made and kept as the key above.
    ///
    /// # Errors
    /// When the file cannot be read or written, or no key can be generated.
    pub fn selector_keys<E>(
        &self,
        generate: impl FnOnce() -> Result<Zeroizing<String>, E>,
    ) -> io::Result<Zeroizing<String>>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        kept(&Self::selector_keys_path_in(&self.0), generate)
    }

    /// Where the file of those keys is, in the directory at `path`.
    #[must_use]
    pub fn selector_keys_path_in(path: &Path) -> PathBuf {
        path.join(SELECTOR_KEYS)
    }

    /// Where the key file is.
    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        Self::key_path_in(&self.0)
    }
}

/// Makes the file of a SQLite database where it is missing. Nobody but the owner may read it, whoever made it, or what is in
/// the files beside it; SQLite gives new ones its mode.
pub(crate) fn private_database(path: &Path) -> io::Result<()> {
    private_file(path)?;
    #[cfg(unix)]
    for end in ["-wal", "-shm"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mut beside = path.as_os_str().to_owned();
        beside.push(end);
        // Not opened: to close such a file would end the locks that another connection of this process has on it.
        match fs::metadata(&beside) {
            Ok(file) if file.permissions().mode() & 0o077 != 0 => {
                fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What the file holds; made by `generate` where there is nothing.
fn kept<E>(path: &Path, generate: impl FnOnce() -> Result<Zeroizing<String>, E>) -> io::Result<Zeroizing<String>>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut file = private_file(path)?;
    // Held until the file is closed.
    file.lock()?;
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text)?;
    if text.is_empty() {
        text = generate().map_err(io::Error::other)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
    }
    Ok(text)
}

/// Opens a file for reading and writing; makes it where it is missing. Nobody but the owner may read it, whoever made
/// it.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(file)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn everything_is_for_the_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let data_dir = DataDir::open(&path).unwrap();
        assert_eq!(data_dir.database_url().unwrap(), format!("sqlite:{}/agentidp.db", path.display()));
        data_dir.key_pem(|| Ok::<_, io::Error>(Zeroizing::new("pem".to_owned()))).unwrap();
        assert_eq!((mode(&path), mode(&data_dir.key_path())), (0o700, 0o600));
        assert_eq!(mode(&path.join("agentidp.db")), 0o600);

        for name in ["agentidp.db-wal", "agentidp.db-shm"] {
            fs::write(path.join(name), "").unwrap();
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o644)).unwrap();
            data_dir.database_url().unwrap();
            assert_eq!(mode(&path.join(name)), 0o600, "{name}");
        }
        fs::set_permissions(data_dir.key_path(), fs::Permissions::from_mode(0o644)).unwrap();
        DataDir::open(&path).unwrap().key_pem(|| Err("not called")).unwrap();
        assert_eq!(mode(&data_dir.key_path()), 0o600);
    }

    #[test]
    fn of_many_starters_one_generates() {
        let parent = tempfile::tempdir().unwrap();
        let made = AtomicU32::new(0);
        let generate = || Ok::<_, io::Error>(Zeroizing::new(format!("key {}", made.fetch_add(1, Ordering::SeqCst))));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let pem = DataDir::open(parent.path()).unwrap().key_pem(generate).unwrap();
                    assert_eq!(pem.as_str(), "key 0");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
