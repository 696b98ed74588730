//! Real recordings and data sets that tests are held against.

use std::path::{Path, PathBuf};

/// The file in the folder of real data; a test without it is skipped and says so.
#[expect(clippy::disallowed_methods, reason = "a test looks for data that not everybody has")]
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("HEARTH_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is missing; set HEARTH_DATA to its folder", path.display());
    None
}
