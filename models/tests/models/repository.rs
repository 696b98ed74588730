use std::fs;

use models::{Error, Package, Repository};

use super::{folder, runtime};

#[test]
fn a_changed_file_is_named_and_not_used() {
    let package = Package::read_dir(folder().join("zoo/fall_risk")).unwrap();
    let digests = package.digests();
    let directory = tempfile::tempdir().unwrap();
    let repository = Repository::open(directory.path()).unwrap();
    repository.store(&package).unwrap();
    repository.store(&package).unwrap();
    let load = || repository.load(&runtime(), "fall_risk", "1", &digests);
    let loaded = load().unwrap();
    assert_eq!(loaded.digests, digests);
    assert!(loaded.model.has_score());

    let place = directory.path().join("fall_risk/1");
    for name in ["model.onnx", "manifest.toml", "golden.csv"] {
        let path = place.join(name);
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&path, &damaged).unwrap();
        let error = load().unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
        fs::remove_file(&path).unwrap();
        assert!(matches!(load(), Err(Error::Damaged { .. })), "{name} removed");
        fs::write(&path, &whole).unwrap();
        load().unwrap();
    }
    fs::write(place.join("extra.txt"), "x").unwrap();
    assert!(load().unwrap_err().to_string().contains("extra.txt"));

    repository.store(&package).unwrap();
    load().unwrap();
    repository.remove("fall_risk", "1").unwrap();
    assert!(matches!(load(), Err(Error::NotFound(_))));
    assert!(!repository.contains("fall_risk", "1"));
}

#[test]
fn a_swapped_package_is_refused_even_with_its_own_sums() {
    let directory = tempfile::tempdir().unwrap();
    let repository = Repository::open(directory.path()).unwrap();
    let package = |content: &[u8]| Package::from_bare_onnx("m", "1", content.to_vec()).unwrap();
    repository.store(&package(b"other")).unwrap();
    let error = repository.read("m", "1", &package(b"approved").digests()).unwrap_err().to_string();
    assert!(error.contains("not those of the approved package"), "{error}");
    assert!(matches!(
        repository.read("../m", "1", &package(b"x").digests()),
        Err(Error::Manifest(_))
    ));
}
