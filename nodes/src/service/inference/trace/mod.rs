//! Triton's trace extension: every n-th request leaves its timestamps, and its tensors where that is
//! wanted, in a file of the node's folder.

mod file;
mod record;
mod settings;

use crate::proto::inference::{TraceSettingRequest, TraceSettingResponse};
use crate::serving::Moments;
use file::Writer;
use models::Tensor;
use parking_lot::Mutex;
use record::{Clock, Record};
use settings::{Sample, Settings};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tonic::Status;

#[derive(Debug)]
pub(super) struct Tracer {
    /// Whether any request may be traced; the only thing that a call looks at while none is.
    on: AtomicBool,
    settings: Mutex<Settings>,
    next_id: AtomicU64,
    clock: Clock,
    writer: Writer,
}

/// A request that is traced.
#[derive(Debug)]
pub(super) struct Trace {
    id: u64,
    sample: Sample,
}

impl Tracer {
    /// Files go to `traces` in the node's folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            on: AtomicBool::new(false),
            settings: Mutex::default(),
            next_id: AtomicU64::new(1),
            clock: Clock::start(),
            writer: Writer::new(folder.join("traces")),
        }
    }

    /// Changes what the request names and tells what holds now, for one model or for all.
    pub(super) fn set(&self, request: TraceSettingRequest) -> Result<TraceSettingResponse, Status> {
        let mut settings = self.settings.lock();
        settings.change(&request.model_name, request.settings)?;
        self.on.store(settings.is_on(), Ordering::Relaxed);
        Ok(settings.told(&request.model_name))
    }

    /// Whether this request is one of those to trace.
    pub(super) fn begin(&self, model: &str) -> Option<Trace> {
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        let mut settings = self.settings.lock();
        let sample = settings.sample(model);
        self.on.store(settings.is_on(), Ordering::Relaxed);
        sample.map(|sample| Trace { id: self.next_id.fetch_add(1, Ordering::Relaxed), sample })
    }

    pub(super) fn end(&self, trace: Trace, of: &Traced<'_>) {
        let Trace { id, sample } = trace;
        let items = Record { id, clock: &self.clock, of }.items(sample.timestamps, sample.tensors);
        self.writer.write(file::Entry { file: sample.file, every: sample.log_frequency, items });
    }
}

/// What a trace tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traced<'a> {
    pub(super) model: &'a str,
    pub(super) version: &'a str,
    pub(super) request_id: &'a str,
    pub(super) moments: &'a Moments,
    pub(super) ended: Instant,
    pub(super) inputs: &'a [Tensor],
    pub(super) outputs: &'a [Tensor],
}
