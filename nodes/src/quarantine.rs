//! A node that holds something else than the others answers nobody, votes for nobody and leads nobody,
//! now and after a restart, until it is rebuilt from its peers.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tokio::sync::Notify;

const FILE: &str = "quarantined";
/// The first line of the mark.
const VERSION: &str = "hearth-quarantine 1";

#[derive(Debug)]
pub(crate) struct Quarantine {
    file: PathBuf,
    why: OnceLock<String>,
    settled: Notify,
}

/// Takes the mark away: the folder holds nothing of the old state any more.
pub(crate) fn lift(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(dir.join(FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Quarantine {
    /// Fails with the reason where this folder's node was taken out of service before.
    pub(crate) fn open(dir: &Path) -> Result<Self, String> {
        let file = dir.join(FILE);
        match std::fs::read_to_string(&file) {
            Ok(text) => Err(format!(
                "this node was taken out of service ({}); rebuild it from its peers: hearth serve --config FILE --rebuild",
                text.lines().nth(1).unwrap_or("no reason is given")
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self { file, why: OnceLock::new(), settled: Notify::new() })
            }
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    }

    pub(crate) fn why(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }

    /// Nothing more has to be done before the process may end.
    pub(crate) fn settle(&self) {
        self.settled.notify_one();
    }

    pub(crate) async fn settled(&self) {
        self.settled.notified().await;
    }

    /// Marks the folder; the first reason stays.
    pub(crate) fn begin(&self, why: &str) {
        let why = self.why.get_or_init(|| why.to_owned());
        if let Err(error) = self.mark(why) {
            // The log says it again to whoever starts from this folder.
            tracing::error!(file = %self.file.display(), %error, "the quarantine could not be written down");
        }
    }

    fn mark(&self, why: &str) -> std::io::Result<()> {
        let mut file = std::fs::File::create(&self.file)?;
        writeln!(file, "{VERSION}\n{why}")?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_outlives_the_process_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::open(dir.path()).unwrap();
        assert_eq!(quarantine.why(), None);
        quarantine.begin("it differed");
        quarantine.begin("something else");
        assert_eq!(quarantine.why(), Some("it differed"));
        let said = Quarantine::open(dir.path()).unwrap_err();
        assert!(said.contains("it differed") && said.contains("--rebuild"), "{said}");
        lift(dir.path()).unwrap();
        lift(dir.path()).unwrap();
        assert!(Quarantine::open(dir.path()).is_ok());
    }
}
