//! Where the programs come from. `scripts/services` installs what is missing and looks in the same places, in the same
//! order: keep the two together.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const HINT: &str = "run `./scripts/services`, which gets what is missing";

/// The folder with `postgres` and `initdb`: PATH, the newest under `/usr/lib/postgresql`, `pg_config --bindir`.
pub(crate) fn postgres_folder() -> PathBuf {
    let on_path = on_path("postgres").and_then(|program| program.parent().map(Path::to_owned));
    on_path
        .into_iter()
        .chain(packaged_postgres())
        .chain(pg_config())
        .find(|folder| folder.join("postgres").is_file() && folder.join("initdb").is_file())
        .unwrap_or_else(|| panic!("these tests need PostgreSQL's `postgres` and `initdb`: {HINT}"))
}

/// The server and command line in one: `bao` or `vault` on PATH, else the one that `scripts/services` unpacked.
pub(crate) fn bao() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("tmp lies in the target folder");
    let unpacked = target.join("services/openbao-2.7.2/bao");
    // A wrapper script (pip installs one) needs an interpreter that the unprivileged user may not reach.
    ["bao", "vault"]
        .into_iter()
        .filter_map(on_path)
        .find(|program| !is_script(program))
        .or_else(|| unpacked.is_file().then_some(unpacked))
        .unwrap_or_else(|| panic!("these tests need OpenBao: {HINT}"))
}

/// Links followed: the neighbours of the real program are what we need.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())?.canonicalize().ok()
}

fn packaged_postgres() -> Option<PathBuf> {
    let major = |folder: &PathBuf| folder.file_name().and_then(OsStr::to_str)?.parse::<u32>().ok();
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest = versions.filter_map(|entry| Some(entry.ok()?.path())).filter(|f| f.join("bin/postgres").is_file());
    newest.max_by_key(major).map(|folder| folder.join("bin"))
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

fn is_script(program: &Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; 2];
    let read = std::fs::File::open(program).and_then(|mut file| file.read_exact(&mut start));
    read.is_err() || &start == b"#!"
}
