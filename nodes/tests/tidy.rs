//! The rules of the house that a compiler does not keep.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at once"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// No file of code is longer; the aim is 400.
const LINES_MAX: usize = 500;
const CRATES: [&str; 7] = ["features", "models", "raft", "flight", "reports", "nodes", "benches"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file below the crates, with its text.
fn sources() -> BTreeMap<PathBuf, String> {
    fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path, text);
            }
        }
    }
    let mut found = BTreeMap::new();
    for name in CRATES {
        collect(&root().join(name), &mut found);
    }
    found
}

/// The path below the root, with forward slashes.
fn below_root(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

#[test]
fn files_are_short_and_their_names_say_something() {
    let banned = ["utils.rs", "util.rs", "common.rs", "helpers.rs", "helper.rs", "misc.rs"];
    for (path, text) in sources() {
        let name = below_root(&path);
        assert!(text.lines().count() <= LINES_MAX, "{name} has {} lines", text.lines().count());
        assert!(
            !banned.iter().any(|each| name.ends_with(&format!("/{each}"))),
            "{name} fits anything"
        );
    }
}

#[test]
fn each_library_has_one_door() {
    // (word, the only folder or file that may write it)
    let doors = [
        ("duckdb::", "flight/src/warehouse/"),
        ("ort::", "models/src/onnx/"),
        ("openraft::", "raft/"),
        ("rumqttc::", "nodes/src/mqtt/wire.rs"),
    ];
    for (path, text) in sources() {
        let name = below_root(&path);
        for (word, door) in doors {
            let used = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or("");
                code.match_indices(word).any(|(at, _)| {
                    !code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
                })
            });
            // The rival that the benches make by hand calls the runtime itself.
            let rival = word == "ort::" && name == "benches/serving/handmade.rs";
            // The tests publish by a real client.
            let client = word == "rumqttc::" && name.starts_with("nodes/tests/cluster/");
            let allowed =
                name.starts_with(door) || rival || client || name == "nodes/tests/tidy.rs";
            assert!(!used || allowed, "{name} names {word}, only {door} may");
        }
        if name.starts_with("nodes/src/state/") {
            for word in
                ["arrow", "tonic", "openraft", "SystemTime", "Instant::now", "HashMap<f", "rand::"]
            {
                assert!(
                    !text.contains(word),
                    "{name} names {word}: the state knows no transport and no clock"
                );
            }
        }
        if name.starts_with("features/src/") || name.starts_with("reports/src/") {
            for word in ["std::fs", "std::net", "std::thread", "tokio", "SystemTime"] {
                assert!(!text.contains(word), "{name} names {word}: this crate does no IO");
            }
        }
    }
}

#[test]
fn the_crates_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("features", &[][..]),
        ("models", &[][..]),
        ("raft", &[][..]),
        ("flight", &["features"][..]),
        ("reports", &[][..]),
        ("nodes", &["features", "models", "raft", "flight", "reports"][..]),
        ("benches", &["features", "models", "raft", "flight", "reports", "nodes"][..]),
    ]);
    for (name, allowed) in allowed {
        let text = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = toml::from_str(&text).unwrap();
        let used: BTreeSet<&str> = manifest
            .get("dependencies")
            .and_then(toml::Value::as_table)
            .into_iter()
            .flat_map(|table| table.keys())
            .map(String::as_str)
            .filter(|each| CRATES.contains(each))
            .collect();
        for each in used {
            assert!(allowed.contains(&each), "{name} depends on {each}");
        }
    }
}

#[test]
fn every_document_has_one_heading_and_every_invariant_names_a_test() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    for name in ["README.md", "ARCHITECTURE.md"] {
        let text = read(name);
        let mut fenced = false;
        let headings = text.lines().filter(|line| {
            fenced ^= line.starts_with("```");
            !fenced && line.starts_with("# ")
        });
        assert_eq!(headings.count(), 1, "{name}");
    }
    for line in read("ARCHITECTURE.md").lines().filter(|line| line.starts_with("| I-")) {
        assert!(line.contains("test"), "no test keeps {line}");
    }
}
