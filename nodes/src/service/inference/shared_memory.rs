//! Tensors in POSIX shared memory: a client on this machine names files of `/dev/shm` once, and its
//! requests then carry places in them instead of bytes.
//!
//! The files are read and written, not mapped: a client may shrink one at any moment, which would kill
//! whoever has it mapped.

use super::parameters::{of, whole};
use crate::proto::inference::infer_parameter::ParameterChoice;
use crate::proto::inference::system_shared_memory_status_response::RegionStatus;
use crate::proto::inference::{
    InferParameter, SystemSharedMemoryRegisterRequest, SystemSharedMemoryStatusResponse,
};
use models::TENSOR_BYTES_MAX;
use parking_lot::RwLock;
use rustix::fs::{Mode, OFlags, open};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use tonic::Status;

const FOLDER: &str = "/dev/shm";
/// Regions of all clients of a node; each holds a file open.
const REGIONS_MAX: usize = 256;
const REGION_BYTES_MAX: u64 = 1 << 30;
/// Of a region's name and of its key.
const NAME_BYTES_MAX: usize = 255;

const REGION: &str = "shared_memory_region";
const BYTE_SIZE: &str = "shared_memory_byte_size";
const OFFSET: &str = "shared_memory_offset";

/// The regions that clients have registered at this node.
#[derive(Debug, Default)]
pub(super) struct Regions {
    by_name: RwLock<BTreeMap<String, Arc<Region>>>,
}

#[derive(Debug)]
struct Region {
    key: String,
    offset: u64,
    byte_size: u64,
    file: File,
}

/// Where in a region one tensor lies.
#[derive(Debug)]
pub(super) struct Place {
    name: String,
    region: Arc<Region>,
    /// From the region's beginning.
    offset: u64,
    byte_size: u64,
}

impl Regions {
    pub(super) fn register(
        &self,
        request: SystemSharedMemoryRegisterRequest,
    ) -> Result<(), Status> {
        let SystemSharedMemoryRegisterRequest { name, key, offset, byte_size } = request;
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let said = format!("a region's name has 1 to {NAME_BYTES_MAX} bytes");
            return Err(Status::invalid_argument(said));
        }
        if byte_size == 0 || byte_size > REGION_BYTES_MAX {
            let said = format!(
                "region {name:?}: byte_size must be 1 to {REGION_BYTES_MAX}, got {byte_size}"
            );
            return Err(Status::invalid_argument(said));
        }
        let file = open_key(&name, &key)?;
        let held = file.metadata().map_or(0, |metadata| metadata.len());
        if offset.checked_add(byte_size).is_none_or(|end| end > held) {
            let said = format!(
                "region {name:?}: {byte_size} bytes from {offset} on are more than the {held} of {key:?}"
            );
            return Err(Status::invalid_argument(said));
        }
        let mut regions = self.by_name.write();
        if regions.contains_key(&name) {
            let said = format!("region {name:?} is registered already: unregister it first");
            return Err(Status::already_exists(said));
        }
        if regions.len() == REGIONS_MAX {
            let said = format!("{REGIONS_MAX} regions are registered, the most: unregister some");
            return Err(Status::resource_exhausted(said));
        }
        regions.insert(name, Arc::new(Region { key, offset, byte_size, file }));
        Ok(())
    }

    /// One region, or all where no name is given; one that is not there is gone already.
    pub(super) fn unregister(&self, name: &str) {
        let mut regions = self.by_name.write();
        if name.is_empty() {
            regions.clear();
        } else {
            regions.remove(name);
        }
    }

    pub(super) fn status(&self, name: &str) -> Result<SystemSharedMemoryStatusResponse, Status> {
        let regions = self.by_name.read();
        if !name.is_empty() && !regions.contains_key(name) {
            return Err(unknown(name));
        }
        let asked = regions.iter().filter(|(each, _)| name.is_empty() || *each == name);
        let told = asked.map(|(name, region)| {
            let status = RegionStatus {
                name: name.clone(),
                key: region.key.clone(),
                offset: region.offset,
                byte_size: region.byte_size,
            };
            (name.clone(), status)
        });
        Ok(SystemSharedMemoryStatusResponse { regions: told.collect() })
    }

    /// The place that a tensor's parameters name, if they name one.
    pub(super) fn place(
        &self,
        tensor: &str,
        parameters: &HashMap<String, InferParameter>,
    ) -> Result<Option<Place>, Status> {
        // Nearly every tensor of every call.
        if parameters.is_empty() {
            return Ok(None);
        }
        let wrong = |key: &str, want: &str| {
            Status::invalid_argument(format!("tensor `{tensor}`: parameter {key} must be {want}"))
        };
        let Some(region) = parameters.get(REGION) else {
            return match [BYTE_SIZE, OFFSET].iter().find(|key| parameters.contains_key(**key)) {
                Some(key) => Err(wrong(REGION, &format!("there beside {key}"))),
                None => Ok(None),
            };
        };
        let Some(ParameterChoice::StringParam(name)) = &region.parameter_choice else {
            return Err(wrong(REGION, "the name of a region"));
        };
        let number = |key| parameters.get(key).map(whole);
        let byte_size = number(BYTE_SIZE).flatten().ok_or_else(|| wrong(BYTE_SIZE, "0 or more"))?;
        let offset = match number(OFFSET) {
            Some(offset) => offset.ok_or_else(|| wrong(OFFSET, "0 or more"))?,
            None => 0,
        };
        let region = self.by_name.read().get(name).cloned().ok_or_else(|| unknown(name))?;
        if offset.checked_add(byte_size).is_none_or(|end| end > region.byte_size) {
            let said = format!(
                "tensor `{tensor}`: {byte_size} bytes from {offset} on are more than the {} of region {name:?}",
                region.byte_size
            );
            return Err(Status::invalid_argument(said));
        }
        Ok(Some(Place { name: name.clone(), region, offset, byte_size }))
    }
}

impl Place {
    pub(super) fn read(&self, tensor: &str) -> Result<Vec<u8>, Status> {
        if self.byte_size > TENSOR_BYTES_MAX as u64 {
            let said =
                format!("tensor `{tensor}` has more than {TENSOR_BYTES_MAX} bytes, the most");
            return Err(Status::invalid_argument(said));
        }
        let mut bytes = vec![0; self.byte_size as usize];
        let from = self.region.offset + self.offset;
        match self.region.file.read_exact_at(&mut bytes, from) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(self.lost(tensor, &error)),
        }
    }

    /// Writes an output, and gives the parameters by which the answer names its place.
    pub(super) fn write(
        &self,
        tensor: &str,
        bytes: &[u8],
    ) -> Result<HashMap<String, InferParameter>, Status> {
        if bytes.len() as u64 > self.byte_size {
            let said = format!(
                "output `{tensor}` needs {} bytes, the request gives it {} in region {:?}",
                bytes.len(),
                self.byte_size,
                self.name
            );
            return Err(Status::invalid_argument(said));
        }
        let from = self.region.offset + self.offset;
        // Past its end the file would grow.
        let held = self.region.file.metadata().map_or(0, |metadata| metadata.len());
        if from + bytes.len() as u64 > held {
            return Err(self.lost(tensor, &io::ErrorKind::UnexpectedEof.into()));
        }
        let written = self.region.file.write_all_at(bytes, from);
        written.map_err(|error| self.lost(tensor, &error))?;
        let mut parameters = HashMap::from([
            (REGION.to_owned(), of(ParameterChoice::StringParam(self.name.clone()))),
            (BYTE_SIZE.to_owned(), of(ParameterChoice::Int64Param(bytes.len() as i64))),
        ]);
        if self.offset > 0 {
            let offset = of(ParameterChoice::Int64Param(self.offset as i64));
            parameters.insert(OFFSET.to_owned(), offset);
        }
        Ok(parameters)
    }

    fn lost(&self, tensor: &str, error: &io::Error) -> Status {
        Status::invalid_argument(format!(
            "tensor `{tensor}`: region {:?} is no longer as it was registered: {error}",
            self.name
        ))
    }
}

fn unknown(name: &str) -> Status {
    Status::not_found(format!("no shared memory region {name:?} is registered at this node"))
}

/// Opens a plain file that lies in [`FOLDER`] itself; no name leads anywhere else.
fn open_key(name: &str, key: &str) -> Result<File, Status> {
    let refuse =
        |why: &str| Status::invalid_argument(format!("region {name:?}: key {key:?} {why}"));
    let file = key.strip_prefix('/').unwrap_or(key);
    if file.is_empty() || file.len() > NAME_BYTES_MAX || file.contains(['/', '\0']) {
        return Err(refuse("must be a name as shm_open takes it: one leading / and no other"));
    }
    // Neither a link nor a pipe: the one leads away, the other waits for a writer.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = open(format!("{FOLDER}/{file}"), flags, Mode::empty());
    let opened = opened.map_err(|error| {
        refuse(&format!("cannot be opened in {FOLDER}: {}", io::Error::from(error)))
    })?;
    let opened = File::from(opened);
    match opened.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(opened),
        _ => Err(refuse("is no shared memory")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    /// A file of this size in /dev/shm; gone with this.
    struct Shared(String);

    impl Shared {
        fn new(label: &str, bytes: &[u8]) -> Self {
            let name = format!("hearth-test-{}-{label}", std::process::id());
            std::fs::write(format!("{FOLDER}/{name}"), bytes).unwrap();
            Self(name)
        }
    }

    impl Drop for Shared {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(format!("{FOLDER}/{}", self.0));
        }
    }

    fn request(name: &str, key: &str, byte_size: u64) -> SystemSharedMemoryRegisterRequest {
        let (name, key) = (name.to_owned(), key.to_owned());
        SystemSharedMemoryRegisterRequest { name, key, offset: 0, byte_size }
    }

    fn parameters(region: &str, byte_size: i64, offset: i64) -> HashMap<String, InferParameter> {
        HashMap::from([
            (REGION.to_owned(), of(ParameterChoice::StringParam(region.to_owned()))),
            (BYTE_SIZE.to_owned(), of(ParameterChoice::Int64Param(byte_size))),
            (OFFSET.to_owned(), of(ParameterChoice::Int64Param(offset))),
        ])
    }

    #[test]
    fn what_was_written_is_read() {
        let shared = Shared::new("read", b"0123456789");
        let regions = Regions::default();
        let mut asked = request("r", &format!("/{}", shared.0), 8);
        asked.offset = 2;
        regions.register(asked.clone()).unwrap();
        assert_eq!(regions.register(asked).unwrap_err().code(), Code::AlreadyExists);
        let place = regions.place("x", &parameters("r", 3, 1)).unwrap().unwrap();
        assert_eq!(place.read("x").unwrap(), b"345");
        let told = place.write("x", b"ab").unwrap();
        assert_eq!(whole(&told[BYTE_SIZE]), Some(2));
        assert_eq!(std::fs::read(format!("{FOLDER}/{}", shared.0)).unwrap(), b"012ab56789");
        assert_eq!(place.write("x", b"abcd").unwrap_err().code(), Code::InvalidArgument);
        regions.unregister("r");
        let gone = regions.place("x", &parameters("r", 3, 1)).unwrap_err();
        assert_eq!(gone.code(), Code::NotFound);
        assert_eq!(regions.status("r").unwrap_err().code(), Code::NotFound);
        regions.unregister("r");
    }

    #[test]
    fn a_place_lies_in_its_region() {
        let shared = Shared::new("bounds", &[0; 100]);
        let regions = Regions::default();
        regions.register(request("r", &shared.0, 50)).unwrap();
        for (byte_size, offset) in
            [(51, 0), (1, 50), (-1, 0), (1, -1), (i64::MAX, i64::MAX), (2, 49)]
        {
            let refused = regions.place("x", &parameters("r", byte_size, offset)).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{byte_size} {offset}");
        }
        assert!(regions.place("x", &parameters("r", 50, 0)).unwrap().is_some());
        assert!(regions.place("x", &HashMap::new()).unwrap().is_none());
        for (size, key) in [(101, shared.0.as_str()), (0, &shared.0), (u64::MAX, &shared.0)] {
            assert_eq!(
                regions.register(request("s", key, size)).unwrap_err().code(),
                Code::InvalidArgument
            );
        }
    }

    #[test]
    fn no_key_leads_out_of_the_folder() {
        let shared = Shared::new("link", b"");
        std::fs::remove_file(format!("{FOLDER}/{}", shared.0)).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", format!("{FOLDER}/{}", shared.0)).unwrap();
        let regions = Regions::default();
        for key in [
            "",
            "/",
            "..",
            "/..",
            ".",
            "../../etc/passwd",
            "/../etc/passwd",
            "a/b",
            "//a",
            "a\0b",
            "/etc/passwd",
            "not-there",
            shared.0.as_str(),
            &"x".repeat(300),
        ] {
            let refused = regions.register(request("r", key, 1)).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{key:?}");
            assert!(!refused.message().contains('\n'));
        }
        assert!(regions.status("").unwrap().regions.is_empty());
    }

    #[test]
    fn a_file_that_shrinks_is_an_error_and_never_grows_again() {
        let shared = Shared::new("shrinks", &[7; 100]);
        let regions = Regions::default();
        regions.register(request("r", &shared.0, 100)).unwrap();
        let place = regions.place("x", &parameters("r", 100, 0)).unwrap().unwrap();
        let path = format!("{FOLDER}/{}", shared.0);
        File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        assert_eq!(place.read("x").unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(place.write("x", &[1; 50]).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 10);
    }

    #[test]
    fn regions_are_counted() {
        let shared = Shared::new("count", &[0; 10]);
        let regions = Regions::default();
        for n in 0..REGIONS_MAX {
            regions.register(request(&n.to_string(), &shared.0, 10)).unwrap();
        }
        let refused = regions.register(request("more", &shared.0, 10)).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        regions.unregister("");
        regions.register(request("more", &shared.0, 10)).unwrap();
    }
}
