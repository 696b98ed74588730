//! One opener a file. DuckDB keeps other processes away by itself, but not this one.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;

use crate::Error;

static HELD: LazyLock<Mutex<BTreeSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// Keeps a file to its holder; shared by everything that still has a connection.
#[derive(Debug)]
pub(super) struct Hold {
    file: PathBuf,
}

impl Hold {
    pub(super) fn take(file: &Path) -> Result<Arc<Self>, Error> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let folder = folder.canonicalize().map_err(|error| {
            Error::Invalid(format!("the folder {} cannot be used: {error}", folder.display()))
        })?;
        let file = folder.join(file.file_name().unwrap_or_default());
        if HELD.lock().insert(file.clone()) {
            Ok(Arc::new(Self { file }))
        } else {
            let text = format!("{} is open already; close it first", file.display());
            Err(Error::Unavailable(text))
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.lock().remove(&self.file);
    }
}
