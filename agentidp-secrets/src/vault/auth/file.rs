//! Files that hold one secret and are replaced while we run.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::vault::hidden::Hidden;

/// Longest file in bytes. Tokens, secret ids and service-account JWTs have up to some 2 KiB.
const MAX_LEN: u64 = 64 * 1024;

/// The text in a file, if there is one. Read on the caller's thread: such files are a page long and lie in memory.
pub(super) fn read(path: &Path) -> Option<Hidden> {
    let file = File::open(path).ok()?;
    let length = file.metadata().ok().filter(|metadata| metadata.is_file() && metadata.len() <= MAX_LEN)?.len();
    // Of the right size from the start, so that no copy is left behind unwiped.
    let mut text = String::with_capacity(usize::try_from(length).ok()? + 1);
    let read = file.take(MAX_LEN).read_to_string(&mut text);
    let text = Hidden::from(text);
    read.ok().filter(|_| !text.expose().is_empty()).map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_in_a_file_is_nothing() {
        let folder = std::env::temp_dir().join(format!("agentidp-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("token");
        let written = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path).map(|text| text.expose().to_owned())
        };
        assert_eq!(written(b" s.one\n").as_deref(), Some("s.one"));
        for bytes in [&b""[..], b" \n", b"\xff\xfe", &[b'a'; 64 * 1024 + 1]] {
            assert_eq!(written(bytes), None);
        }
        assert!(read(&folder).is_none() && read(&folder.join("absent")).is_none());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
