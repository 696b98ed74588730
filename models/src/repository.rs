//! Packages on disk, `<folder>/<name>/<version>/`, and the way from a package to a running model.
//!
//! Invariant: a model runs only if every file of its package has the digest that was approved.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::feed::Feed;
use crate::manifest::{Format, Manifest, check_name};
use crate::package::{SUMS, write_durably};
use crate::{
    Background, Digests, Error, Explainer, Explanation, Golden, LinfaModel, Model, OnnxModel,
    Package, Runtime, Tensor,
};

#[derive(Clone, Debug)]
pub struct Repository {
    folder: PathBuf,
}

/// A model that is ready to answer, with what its package says about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub manifest: Manifest,
    pub model: Arc<dyn Model>,
    pub digests: Digests,
    pub explainer: Arc<Explainer>,
}

impl Loaded {
    /// `n` rows of features as the inputs of the model's own file.
    pub fn inputs_of(&self, rows: &[f32], n: usize) -> Result<Vec<Tensor>, Error> {
        let specs = self.model.inputs();
        let feed = Feed::plan(specs, &self.manifest.features)?;
        let feed =
            feed.ok_or_else(|| Error::NoScore("the model takes no rows of numbers".into()))?;
        feed.tensors(specs, rows, n, rows.len().checked_div(n).unwrap_or(0))
    }

    /// The rows of features that inputs of the model's own file hold, whatever their order; `None`
    /// where these are no rows of numbers. Numbers that FP32 lacks are rounded.
    pub fn rows_of(&self, inputs: &[Tensor]) -> Option<Vec<f32>> {
        let specs = self.model.inputs();
        let feed = Feed::plan(specs, &self.manifest.features).ok()??;
        if inputs.len() != specs.len() {
            return None;
        }
        let named = |name: &str| inputs.iter().find(|tensor| tensor.name == name);
        feed.rows(&specs.iter().map(|spec| named(&spec.name)).collect::<Option<Vec<_>>>()?)
    }

    /// What each feature of a row added to its score.
    pub fn explain(&self, row: &[f32]) -> Result<Explanation, Error> {
        self.explainer.explain(self.model.as_ref(), row).map_err(|error| match error {
            Error::NoScore(reason) => {
                let Manifest { name, version, .. } = &self.manifest;
                Error::NoScore(format!("model {name} {version} cannot be explained: {reason}"))
            }
            error => error,
        })
    }
}

impl Repository {
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, &error))?;
        Ok(Self { folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Unpacks a package: written beside, then renamed, so that a crash leaves it whole or absent.
    /// A damaged copy of the same version is replaced.
    pub fn store(&self, package: &Package) -> Result<(), Error> {
        let Manifest { name, version, .. } = package.manifest();
        let place = self.place(name, version)?;
        if self.read(name, version, &package.digests()).is_ok() {
            return Ok(());
        }
        let parent = self.folder.join(name);
        let beside = parent.join(format!(".new-{version}"));
        for stale in [&beside, &place] {
            if stale.exists() {
                fs::remove_dir_all(stale).map_err(|error| Error::io(stale, &error))?;
            }
        }
        package.write_dir(&beside)?;
        write_durably(&beside.join(SUMS), package.sums().as_bytes())?;
        fs::rename(&beside, &place).map_err(|error| Error::io(&place, &error))?;
        // The rename itself must survive a power cut.
        fs::File::open(&parent)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Error::io(&parent, &error))
    }

    pub fn contains(&self, name: &str, version: &str) -> bool {
        self.place(name, version).is_ok_and(|place| place.is_dir())
    }

    pub fn remove(&self, name: &str, version: &str) -> Result<(), Error> {
        let place = self.place(name, version)?;
        if place.is_dir() {
            fs::remove_dir_all(&place).map_err(|error| Error::io(&place, &error))?;
        }
        Ok(())
    }

    /// The package as it was approved, or an error that names the file that is not.
    pub fn read(&self, name: &str, version: &str, expected: &Digests) -> Result<Package, Error> {
        let place = self.place(name, version)?;
        if !place.is_dir() {
            return Err(Error::NotFound(format!(
                "model {name} {version} is not on this node; push it again"
            )));
        }
        let broken = match Package::read_dir(&place) {
            Ok(package) if package.digests() == *expected => return Ok(package),
            Ok(package) => blame(&place, &package, expected),
            Err(error) => (place.clone(), error.to_string()),
        };
        Err(Error::Damaged { file: broken.0.display().to_string(), reason: broken.1 })
    }

    /// Checks the digests, then loads.
    pub fn load(
        &self,
        runtime: &Runtime,
        name: &str,
        version: &str,
        expected: &Digests,
    ) -> Result<Loaded, Error> {
        load_package(runtime, &self.read(name, version, expected)?)
    }

    fn place(&self, name: &str, version: &str) -> Result<PathBuf, Error> {
        check_name("a model's name", name)?;
        check_name("a model's version", version)?;
        Ok(self.folder.join(name).join(version))
    }
}

/// Which file is not the approved one. The stored sums are believed only if they are the approved ones.
fn blame(place: &Path, package: &Package, expected: &Digests) -> (PathBuf, String) {
    let stored = fs::read_to_string(place.join(SUMS)).unwrap_or_default();
    if crate::sha256_hex(stored.as_bytes()) != expected.package {
        return (place.to_path_buf(), "its files are not those of the approved package".into());
    }
    let now = package.sums();
    let gone = stored.lines().find(|line| now.lines().all(|each| each != *line));
    let new = now.lines().find(|line| stored.lines().all(|each| each != *line));
    let name = gone.or(new).and_then(|line| line.split_once("  ")).map_or(SUMS, |(_, name)| name);
    (place.join(name), "its SHA-256 is not the approved one".into())
}

/// From a package in memory to a running model.
pub fn load_package(runtime: &Runtime, package: &Package) -> Result<Loaded, Error> {
    let manifest = package.manifest().clone();
    // What is wrong with golden.csv is said where it is checked.
    let golden = package.golden().ok().flatten();
    let golden = golden.as_ref().map_or(&[][..], Golden::rows);
    let model: Arc<dyn Model> = match manifest.format {
        Format::Onnx => {
            let (bytes, layout) = (package.model_bytes(), manifest.layout());
            Arc::new(OnnxModel::load_with(runtime, bytes, &layout, golden)?)
        }
        Format::Linfa => {
            let model = LinfaModel::load_as(package.model_bytes(), &manifest.layout())?;
            if !manifest.is_bare() && manifest.features != model.feature_names() {
                return Err(Error::Model(format!(
                    "the manifest's features differ from those the model was fitted with; list {} in this order",
                    model.feature_names().join(", ")
                )));
            }
            Arc::new(model)
        }
    };
    if !manifest.is_bare() && !model.has_score() {
        return Err(Error::Model(
            "the model has no single score (two classes, or one value); name the output in [output] score or the class in [output] class, or push the bare file".into(),
        ));
    }
    let background = package.background()?;
    let reference = background.as_ref().map_or(golden, Background::rows);
    if background.as_ref().is_some_and(|rows| rows.width() != model.features()) {
        let width = model.features();
        return Err(Error::Package(format!("background.csv must have {width} columns")));
    }
    let explainer = Arc::new(Explainer::new(model.as_ref(), reference));
    Ok(Loaded { manifest, model, digests: package.digests(), explainer })
}
