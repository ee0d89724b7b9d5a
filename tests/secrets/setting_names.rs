//! The library reads no environment, so it names none of the server's settings.

use std::fs;
use std::path::Path;

/// Every setting, as `.env.example` lists them.
fn settings(root: &Path) -> Vec<String> {
    let example = fs::read_to_string(root.join(".env.example")).unwrap();
    let names = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('=').map(|(name, _)| name));
    let is_name = |name: &&str| {
        name.contains('_')
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    names.filter(is_name).map(str::to_owned).collect()
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn the_library_names_no_setting_of_the_server() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (settings, mut files) = (settings(root), Vec::new());
    assert!(settings.len() > 40, "{settings:?}");
    sources(&root.join("agentidp-secrets/src"), &mut files);
    sources(&root.join("agentidp-secrets/sqlx/src"), &mut files);
    assert!(files.len() > 150);
    let mut named = Vec::new();
    for (path, text) in &files {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let mut words = line.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
            if words.any(|word| settings.iter().any(|setting| setting == word)) {
                named.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    assert!(named.is_empty(), "{}", named.join("\n"));
}
