//! What the operator guide names is there, and what is there is named.

use std::collections::BTreeSet;
use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of the table below this title, each as its cells.
fn table<'a>(guide: &'a str, title: &str) -> Vec<Vec<&'a str>> {
    let section = guide.split_once(&format!("\n## {title}\n")).unwrap().1;
    let section = section.split_once("\n## ").unwrap().0;
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(2);
    rows.map(|row| row[1..row.len() - 1].split('|').map(str::trim).collect()).collect()
}

/// What stands in backticks, without labels.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).map(|name| name.split('{').next().unwrap())
}

/// Every metric of the guide is one of `metrics`, which a server with PostgreSQL and Vault has told, and the reverse.
pub(crate) fn is_true(metrics: &str) {
    let told: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let guide = read("README.md");
    let documented: BTreeSet<&str> = table(&guide, "Metrics and alerts").iter().flat_map(|row| names(row[0])).collect();
    assert_eq!(told, documented);

    let (settings, mut count) = (read("../.env.example"), 0);
    for row in table(&guide, "Bounds") {
        let [what, _, setting, metric] = row[..] else { panic!("four cells: {row:?}") };
        for setting in names(setting) {
            assert!(settings.contains(&format!("\n#{setting}=")), "{what}: {setting} is no setting");
        }
        for metric in names(metric) {
            assert!(told.contains(metric), "{what}: {metric} is no metric");
        }
        count += 1;
    }
    assert!(count > 10, "{count} bounds");
}
