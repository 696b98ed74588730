//! The folder of one node of a new cluster, from a backup.
//!
//! Every node of the new cluster is made from the same backup. Each then stands as if it had
//! compacted its log up to the backup's index: the state as a snapshot, the log empty behind it, the
//! members those of the configuration, and the warehouse filled.

use super::Progress;
use super::draft::lock;
use super::error::BackupError;
use super::manifest::Manifest;
use super::verify::{Verified, backup, file_name};
use crate::config::Config;
use crate::derived::warehouse_settings;
use crate::node::raft_config;
use crate::recorder::add_current;
use crate::state::State;
use features::civil;
use flight::{Recording, WAREHOUSE_FILE, Warehouse};
use std::fs::File;
use std::path::{Path, PathBuf};

/// In a folder that is not whole yet.
const MARK: &str = "restoring";
/// Where `hearth dev` has a node's words go.
const WORDS: &str = "node.log";

/// Why a node must not start from a folder, if a restore into it was cut off.
pub(crate) fn refuse_unfinished(dir: &Path) -> Result<(), String> {
    if dir.join(MARK).exists() {
        return Err(format!(
            "a restore into {} was cut off or is still running; repeat hearth cluster restore",
            dir.display()
        ));
    }
    Ok(())
}

/// Fills the data folder of the configured node. `file` is its configuration.
pub(crate) async fn restore(
    dir: &Path,
    config: &Config,
    file: &Path,
) -> Result<Manifest, BackupError> {
    let progress = Progress::new();
    let wanted = Manifest::read(dir)?;
    agree(&wanted, config)?;
    let claimed = Claimed::take(&config.node.dir, file)?;
    let Verified { manifest, mut state, file } = match backup(dir, &progress) {
        Ok(verified) => verified,
        Err(error) => {
            claimed.give_up();
            return Err(error);
        }
    };
    state.checks.begin_anew();
    fill_warehouse(dir, config, &manifest, &state, &progress)?;
    progress.say("writing log and state");
    let members =
        config.cluster.members.iter().map(|member| (member.id, member.to_raft())).collect();
    let frozen = state.freeze();
    let origin = raft::Origin {
        at: file.position(),
        ids: file.ids().clone(),
        blobs: state.files().iter().map(|id| dir.join(file_name(id))).collect(),
        state: Box::new(move |to| frozen.write(to)),
    };
    raft::found(&raft_config(config, config.node.id), members, origin).await?;
    claimed.finish()?;
    Ok(manifest)
}

/// Whether the configuration is one of a new cluster of the same district.
fn agree(manifest: &Manifest, config: &Config) -> Result<(), BackupError> {
    let own = &config.node;
    let refuse = |said: String| Err(BackupError::Refused(said));
    if !config.cluster.members.iter().any(|member| member.id == own.id) {
        return refuse(format!(
            "cluster.members of the configuration has no member of id {}; name every node of the new cluster",
            own.id
        ));
    }
    if own.group != manifest.group {
        return refuse(format!(
            "the backup is of group {:?} and the configuration says {:?}; set node.group",
            manifest.group, own.group
        ));
    }
    if own.cluster_id == manifest.cluster {
        return refuse(format!(
            "the backup is of cluster {0:?} and the configuration says {0:?} too: a node of the old cluster that comes back must not be taken for one of the new; give node.cluster_id another name",
            manifest.cluster
        ));
    }
    Ok(())
}

fn fill_warehouse(
    dir: &Path,
    config: &Config,
    manifest: &Manifest,
    state: &State,
    progress: &Progress,
) -> Result<(), BackupError> {
    let file = config.node.dir.join(WAREHOUSE_FILE);
    let warehouse = Warehouse::open(&file, warehouse_settings(config))?;
    for file in manifest.files.iter().filter(|file| !file.table.is_empty()) {
        progress.say(&format!("filling {}", file.name));
        let path = dir.join(&file.name);
        let Some(table) = civil::table(&file.table) else {
            return Err(BackupError::Refused(format!(
                "this program has no table {}; use the one that took the backup, version {}",
                file.table, manifest.program
            )));
        };
        let rows = warehouse.load_parquet(table, &path)?;
        if rows != file.rows {
            let said = format!("it has {rows} rows and had {}", file.rows);
            return Err(BackupError::damaged(&path, None, &said));
        }
    }
    progress.say("filling the tables that are kept current");
    let mut recording = Recording { through: manifest.index, ..Recording::default() };
    add_current(&mut recording, state);
    warehouse.record(&recording)?;
    warehouse.checkpoint()?;
    Ok(())
}

/// A data folder that is being filled: marked, and held against others.
struct Claimed {
    dir: PathBuf,
    /// The configuration may lie in it, as `hearth dev` puts it.
    config: PathBuf,
    _lock: File,
}

impl Claimed {
    /// The folder must be empty, not there, or what a restore that was cut off has left.
    fn take(dir: &Path, config: &Path) -> Result<Self, BackupError> {
        let trouble = || BackupError::io(dir);
        std::fs::create_dir_all(dir).map_err(trouble())?;
        let config = config.canonicalize().map_err(BackupError::io(config))?;
        let mark = dir.join(MARK);
        let was_cut_off = mark.exists();
        let found = data_in(dir, &config).map_err(trouble())?;
        if !found.is_empty() && !was_cut_off {
            return Err(BackupError::Refused(format!(
                "{} is not empty; a node is restored into a new folder: move it away or set another node.dir",
                dir.display()
            )));
        }
        if !was_cut_off {
            File::create(&mark).and_then(|file| file.sync_all()).map_err(BackupError::io(&mark))?;
        }
        let claimed = Self { dir: dir.to_owned(), config, _lock: lock(&mark)? };
        claimed.empty().map_err(trouble())?;
        Ok(claimed)
    }

    /// Removes everything but the mark.
    fn empty(&self) -> std::io::Result<()> {
        for path in data_in(&self.dir, &self.config)? {
            if path.is_dir() {
                std::fs::remove_dir_all(path)?;
            } else {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Nothing was written: the folder is as it was.
    fn give_up(self) {
        drop(std::fs::remove_file(self.dir.join(MARK)));
    }

    fn finish(self) -> Result<(), BackupError> {
        let done = || {
            File::open(&self.dir)?.sync_all()?;
            std::fs::remove_file(self.dir.join(MARK))?;
            File::open(&self.dir)?.sync_all()
        };
        done().map_err(BackupError::io(&self.dir))
    }
}

/// What lies in a folder beside the mark, the configuration and the node's words.
fn data_in(dir: &Path, config: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_named = |name: &str| path.file_name().is_some_and(|found| found == name);
        let is_config = path.canonicalize().is_ok_and(|path| path == config);
        if !is_named(MARK) && !is_named(WORDS) && !is_config {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_only_where_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let config = data.join("node.toml");
        std::fs::write(&config, b"").unwrap();
        let first = Claimed::take(&data, &config).unwrap();
        assert!(refuse_unfinished(&data).unwrap_err().contains("restore"));
        assert!(
            Claimed::take(&data, &config).err().unwrap().to_string().contains("another process")
        );
        std::fs::create_dir(data.join("raft")).unwrap();
        drop(first);

        // Cut off: begun anew.
        let second = Claimed::take(&data, &config).unwrap();
        assert!(!data.join("raft").exists() && config.exists());
        std::fs::write(data.join("hearth.duckdb"), b"x").unwrap();
        second.finish().unwrap();
        assert_eq!(refuse_unfinished(&data), Ok(()));

        // Whole: left alone.
        let error = Claimed::take(&data, &config).err().unwrap();
        assert_eq!(error.exit_code(), crate::exit::REFUSED);
        assert!(error.to_string().contains("not empty"), "{error}");
        assert!(data.join("hearth.duckdb").exists());
    }
}
