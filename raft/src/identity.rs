//! Whose data a folder holds, and which id its node runs under.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::config::Config;
use crate::durable::{Draft, prepare_folder, sync_folder_of};
use crate::error::Error;

const FILE: &str = "identity";
const MAGIC: &str = "hearth-raft";
/// Version 2 has one more line: the id that the configuration still gives.
const VERSIONS: [&str; 2] = ["1", "2"];
/// Far above any real one.
const SIZE_MAX: u64 = 4096;
const ASIDE_MAX: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    cluster: String,
    group: String,
    node: u64,
    /// Differs from `node` once the node was started over.
    configured: u64,
}

impl Identity {
    fn of(config: &Config) -> Self {
        Self {
            cluster: config.cluster_id.clone(),
            group: config.group.clone(),
            node: config.node_id,
            configured: config.node_id,
        }
    }

    fn text(&self) -> String {
        let Self { cluster, group, node, configured } = self;
        let version = VERSIONS[usize::from(node != configured)];
        let head = format!("{MAGIC} {version}\ncluster {cluster}\ngroup {group}\nnode {node}\n");
        if node == configured { head } else { format!("{head}configured {configured}\n") }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let version = field(MAGIC)?;
        let cluster = field("cluster")?.to_owned();
        let group = field("group")?.to_owned();
        let node = field("node")?.parse().ok()?;
        let configured =
            if version == VERSIONS[1] { field("configured")?.parse().ok()? } else { node };
        let known = VERSIONS.contains(&version) && lines.next().is_none();
        known.then_some(Self { cluster, group, node, configured })
    }

    /// Nothing if the folder has none yet.
    fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(FILE);
        let trouble = |e| Error::io(format!("cannot read {}", path.display()), e);
        match path.metadata() {
            Ok(facts) if facts.len() > SIZE_MAX => return Err(unreadable(&path)),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(trouble(e)),
        }
        let bytes = std::fs::read(&path).map_err(trouble)?;
        let found = std::str::from_utf8(&bytes).ok().and_then(Self::parse);
        found.map(Some).ok_or_else(|| unreadable(&path))
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        let mut draft = Draft::create(dir)?;
        draft.write_all(self.text().as_bytes())?;
        draft.keep(&dir.join(FILE))
    }
}

fn unreadable(path: &Path) -> Error {
    Error::damaged(path, 0, "it does not say whose folder this is")
}

/// Marks a new folder, and refuses one that belongs to another node, group or cluster. Tells
/// whether the node was started over.
pub(crate) fn claim(config: &Config) -> Result<bool, Error> {
    let wanted = Identity::of(config);
    let trouble = |e| Error::io(format!("cannot claim {}", config.dir.display()), e);
    prepare_folder(&config.dir).map_err(trouble)?;
    let Some(found) = Identity::read(&config.dir)? else {
        wanted.write(&config.dir).map_err(trouble)?;
        return Ok(false);
    };
    let same = Identity { configured: found.configured, ..wanted.clone() };
    if found == same {
        return Ok(found.configured != found.node);
    }
    Err(belongs(&config.dir, &found, &wanted))
}

/// Whether a folder is this node's, without marking it.
pub(crate) fn check(config: &Config) -> Result<(), Error> {
    let Some(found) = Identity::read(&config.dir)? else {
        return Err(Error::Refused(format!("{} holds no node's data", config.dir.display())));
    };
    let wanted = Identity::of(config);
    let same = Identity { configured: found.configured, node: found.node, ..wanted.clone() };
    let own = [found.node, found.configured].contains(&config.node_id);
    if own && found == same { Ok(()) } else { Err(belongs(&config.dir, &found, &wanted)) }
}

fn belongs(dir: &Path, found: &Identity, wanted: &Identity) -> Error {
    let line = |identity: &Identity| identity.text().trim().replace('\n', ", ");
    Error::Refused(format!(
        "{} belongs to [{}], this node is [{}]; use another folder",
        dir.display(),
        line(found),
        line(wanted)
    ))
}

/// The id that a folder's node runs under: the configured one, or the one it got when it was
/// started over.
pub fn resolve_id(dir: &Path, configured: u64) -> Result<u64, Error> {
    if let Some(found) = Identity::read(dir)? {
        // Whoever has put the new id into the configuration is right as well. Any other id is
        // refused at the start, by `claim`.
        let own = found.configured == configured;
        return Ok(if own { found.node } else { configured });
    }
    // An empty folder here would be a voter that has forgotten its votes.
    if !dir.exists() && aside(dir, 1).exists() {
        return Err(Error::Refused(format!(
            "{} was moved to {} and is not there any more; run hearth serve --config FILE --rebuild",
            dir.display(),
            aside(dir, 1).display()
        )));
    }
    Ok(configured)
}

/// Moves a folder whose data are lost or damaged aside, and puts an empty one in its place that
/// runs under a new id. The configuration may keep the old id. Returns where the old data are.
/// The node must not be running.
pub fn start_over(config: &Config, new_id: u64) -> Result<PathBuf, Error> {
    let dir = &config.dir;
    let wanted = Identity::of(config);
    // What cannot be read does not say anything; the configuration does.
    let found = match Identity::read(dir) {
        Ok(found) => found.unwrap_or_else(|| wanted.clone()),
        Err(Error::Damaged { .. }) => wanted.clone(),
        Err(other) => return Err(other),
    };
    let own = [found.node, found.configured].contains(&config.node_id);
    if !own || found.cluster != wanted.cluster || found.group != wanted.group {
        return Err(belongs(dir, &found, &wanted));
    }
    if [found.node, found.configured].contains(&new_id) {
        return Err(Error::Refused(format!(
            "id {new_id} is one this node had before; ids are never used again"
        )));
    }
    let fresh = Identity { node: new_id, ..found };
    move_aside(dir, &fresh)
        .map_err(|e| Error::io(format!("cannot move {} aside", dir.display()), e))
}

/// The new folder is made under the name of the old one's last place, and then the two change
/// names in one step: at no time is there nothing where a voter's data were.
fn move_aside(dir: &Path, fresh: &Identity) -> io::Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let place = place_aside(dir)?;
    std::fs::create_dir(&place)?;
    fresh.write(&place)?;
    match renameat_with(CWD, &place, CWD, dir, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        // Not every file system can exchange names; `resolve_id` notices a stop in between.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            std::fs::remove_dir_all(&place)?;
            std::fs::rename(dir, &place)?;
            std::fs::create_dir(dir)?;
            fresh.write(dir)?;
        }
        Err(errno) => return Err(errno.into()),
    }
    sync_folder_of(dir)?;
    Ok(place)
}

/// The first free name for what is damaged, beside it.
pub fn place_aside(path: &Path) -> io::Result<PathBuf> {
    let place = (1..ASIDE_MAX).map(|n| aside(path, n)).find(|place| !place.exists());
    place.ok_or_else(|| io::Error::other("too many were moved aside before"))
}

fn aside(dir: &Path, n: u32) -> PathBuf {
    let mut name = OsString::from(dir);
    name.push(format!(".damaged-{n}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &tempfile::TempDir) -> Config {
        Config { dir: dir.path().join("data"), ..Config::default() }
    }

    #[test]
    fn a_folder_belongs_to_one_node() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&dir);
        assert!(!claim(&config).unwrap());
        assert!(!claim(&config).unwrap());
        config.node_id += 1;
        assert!(matches!(claim(&config), Err(Error::Refused(_))));
    }

    #[test]
    fn a_node_that_starts_over_keeps_its_configuration_and_its_old_data() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir);
        assert_eq!(resolve_id(&config.dir, 1).unwrap(), 1);
        claim(&config).unwrap();
        std::fs::write(config.dir.join("log"), b"data").unwrap();
        for (n, new_id) in [(1, 4), (2, 6)] {
            let moved = start_over(&config, new_id).unwrap();
            assert_eq!(moved, dir.path().join(format!("data.damaged-{n}")));
            assert_eq!(moved.join("log").exists(), n == 1, "the old data are in the first");
            assert_eq!(std::fs::read_dir(&config.dir).unwrap().count(), 1, "a new identity");
            assert_eq!(resolve_id(&config.dir, 1).unwrap(), new_id);
            assert_eq!(resolve_id(&config.dir, new_id).unwrap(), new_id);
            assert!(claim(&Config { node_id: new_id, ..config.clone() }).unwrap());
            assert!(matches!(claim(&config), Err(Error::Refused(_))), "not under the old id");
            let again = start_over(&config, new_id);
            assert!(matches!(again, Err(Error::Refused(_))), "{again:?}");
        }
        let stranger = Config { node_id: 9, ..config.clone() };
        assert!(matches!(start_over(&stranger, 7), Err(Error::Refused(_))));
        let other = Config { cluster_id: "other".into(), ..config };
        assert!(matches!(start_over(&other, 7), Err(Error::Refused(_))));
    }

    #[test]
    fn a_damaged_or_lost_folder_can_start_over_too() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir);
        start_over(&config, 4).unwrap();
        assert_eq!(resolve_id(&config.dir, 1).unwrap(), 4);
        std::fs::write(config.dir.join(FILE), [0xff; 64]).unwrap();
        let damaged = resolve_id(&config.dir, 1);
        assert!(matches!(damaged, Err(Error::Damaged { offset: Some(0), .. })), "{damaged:?}");
        start_over(&config, 5).unwrap();
        assert_eq!(resolve_id(&config.dir, 1).unwrap(), 5);
        std::fs::remove_dir_all(&config.dir).unwrap();
        assert!(matches!(resolve_id(&config.dir, 1), Err(Error::Refused(_))));
    }
}
