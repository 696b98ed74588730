//! Whose data a folder holds.

use std::io::Write;
use std::path::Path;

use crate::config::Config;
use crate::durable::{Draft, prepare_folder};
use crate::error::Error;

const FILE: &str = "identity";
const VERSION: &str = "hearth-raft 1";

/// Marks a new folder, and refuses one that belongs to another node, group or cluster.
pub(crate) fn claim(config: &Config) -> Result<(), Error> {
    let wanted = format!(
        "{VERSION}\ncluster {}\ngroup {}\nnode {}\n",
        config.cluster_id, config.group, config.node_id
    );
    let path = config.dir.join(FILE);
    let trouble = |e| Error::io(format!("cannot claim {}", config.dir.display()), e);
    prepare_folder(&config.dir).map_err(trouble)?;
    match std::fs::read_to_string(&path) {
        Ok(found) if found == wanted => Ok(()),
        Ok(found) => Err(Error::Refused(format!(
            "{} belongs to [{}], this node is [{}]; use another folder",
            config.dir.display(),
            line(&found),
            line(&wanted)
        ))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            write(&config.dir, &path, &wanted).map_err(trouble)
        }
        Err(e) => Err(trouble(e)),
    }
}

fn write(dir: &Path, path: &Path, content: &str) -> std::io::Result<()> {
    let mut draft = Draft::create(dir)?;
    draft.write_all(content.as_bytes())?;
    draft.keep(path)
}

fn line(content: &str) -> String {
    content.trim().replace('\n', ", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_one_node() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { dir: dir.path().join("data"), ..Config::default() };
        claim(&config).unwrap();
        claim(&config).unwrap();
        config.node_id += 1;
        assert!(matches!(claim(&config), Err(Error::Refused(_))));
    }
}
