//! Loads the native library once and opens sessions with the settings of this house.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::ep;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};

use super::refusal::refused;
use super::value::one_line;
use crate::{Error, library};

/// The most sessions a model keeps; each costs a few times the size of its file in memory.
const SESSIONS_MAX: usize = 4;

/// ONNX Runtime, loaded once a process.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
    /// How many sessions each model keeps.
    pub(super) sessions: usize,
    /// Whether models may get our own evaluator.
    pub(super) own_evaluator: bool,
}

/// A process can hold one environment, and never a second one after the first is dropped.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads the library from its full path. Loading the same path again gives the same runtime.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let given = path.as_ref();
        let wrong = |reason: String| Error::Runtime { path: given.display().to_string(), reason };
        let path = given.canonicalize().map_err(|error| wrong(error.to_string()))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = loaded.as_ref().filter(|runtime| runtime.path == path) {
            return Ok(runtime.clone());
        }
        library::check_library(&path).map_err(wrong)?;
        if let Some(runtime) = &*loaded {
            return Err(wrong(format!("this process already uses {}", runtime.path.display())));
        }
        let builder = ort::init_from(&path).map_err(|error| wrong(one_line(&error)))?;
        let environment = builder
            .with_name("hearth")
            .with_telemetry(false)
            .build()
            .map_err(|error| wrong(one_line(&error)))?;
        environment.set_log_level(LogLevel::Warning);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime =
            Self { environment, path, sessions: cores.clamp(1, SESSIONS_MAX), own_evaluator: true };
        Ok(loaded.insert(runtime).clone())
    }

    /// For looking at a model once: one session instead of one for each processor.
    #[must_use]
    pub fn with_one_session(self) -> Self {
        Self { sessions: 1, ..self }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same library, with every model evaluated by ONNX Runtime itself.
    #[must_use]
    pub fn without_own_evaluator(mut self) -> Self {
        self.own_evaluator = false;
        self
    }

    pub(super) fn open(&self, bytes: &[u8]) -> Result<Session, Error> {
        // The binding panics on types it does not know (sparse tensors); a pushed file must not.
        catch_unwind(AssertUnwindSafe(|| self.build()?.commit_from_memory(bytes)))
            .map_err(|_| {
                Error::Model(
                    "the model uses a type that is not served; export plain tensors".into(),
                )
            })?
            .map_err(|error| refused(&error))
    }

    fn build(&self) -> Result<SessionBuilder, ort::Error> {
        Ok(Session::builder(&self.environment)?
            .with_auto_device(AutoDevicePolicy::PreferCPU)?
            // The arena grows with the largest batch and never shrinks.
            .with_execution_providers([ep::CPU::default().with_arena_allocator(false).build()])?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_parallel_execution(false)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_memory_pattern(false)?
            .with_deterministic_compute(true)?
            .with_log_level(LogLevel::Error)?)
    }
}
