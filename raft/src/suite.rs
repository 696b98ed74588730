//! openraft's own tests of a log store and a state machine, run on ours.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::adapter::{Adapter, Progress};
use crate::config::Config;
use crate::log::LogStore;
use crate::machine::{Frozen, Position, StateMachine};
use crate::snapshot::Folder;
use crate::types::Types;

pub(crate) struct Nothing;

impl StateMachine for Nothing {
    fn apply(&self, _at: Position, commands: &[Bytes]) -> Vec<Bytes> {
        commands.to_vec()
    }

    fn freeze(&self) -> Frozen {
        Box::new(|to: &mut dyn Write| to.write_all(b"nothing"))
    }

    fn restore(&self, _at: Position, from: &mut dyn Read) -> std::io::Result<()> {
        std::io::copy(from, &mut std::io::sink()).map(drop)
    }
}

struct Builder;

impl StoreBuilder<Types, LogStore, Adapter, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Adapter), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            dir: dir.path().to_owned(),
            // Several chunks even in a small test.
            log_chunk_bytes: 512,
            ..Config::default()
        };
        let log = LogStore::open(&config).unwrap();
        let (folder, current) = Folder::open(config.snapshot_dir()).unwrap();
        let (_, stop) = watch::channel(false);
        let adapter = Adapter::new(
            Arc::new(Nothing),
            folder,
            current,
            Arc::new(Progress::new(&Config::default())),
            stop,
        );
        Ok((dir, log, adapter))
    }
}

#[tokio::test]
async fn the_store_passes_the_suite_of_openraft() {
    let suite = Suite::test_all(Builder);
    #[cfg(feature = "sim")]
    let suite = crate::sim::seeded(1, suite);
    suite.await.unwrap();
}
