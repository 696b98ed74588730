use models::{Digests, Error, Push, Registry, Status};

const US: i64 = 1_700_000_000_000_000;

fn digests(text: &str) -> Digests {
    Digests { model: text.into(), package: text.into() }
}

fn push(version: &str, content: &str, author: &str) -> Push {
    Push {
        version: version.into(),
        digests: digests(content),
        size_bytes: 10,
        author: author.into(),
    }
}

fn registry(versions: &[&str]) -> Registry {
    let mut registry = Registry::default();
    for version in versions {
        registry.register("m", push(version, version, "ann"), US).unwrap();
        registry.mark_validated("m", version, US).unwrap();
        registry.approve("m", version, "bob", true, US + 1).unwrap();
    }
    registry
}

#[track_caller]
fn illegal<T: std::fmt::Debug>(result: Result<T, Error>, fragment: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Illegal(_)), "{error:?}");
    assert!(error.to_string().contains(fragment), "{error}");
}

#[test]
fn a_version_climbs_one_step_at_a_time() {
    let mut registry = Registry::default();
    registry.register("m", push("1", "a", "ann"), US).unwrap();
    illegal(registry.resolve("m", "1"), "is pushed and does not answer");
    illegal(registry.activate("m", "1", US), "is pushed and cannot become active");
    illegal(registry.approve("m", "1", "bob", true, US), "is pushed and cannot become approved");
    registry.mark_validated("m", "1", US).unwrap();
    illegal(registry.approve("m", "1", "ann", true, US), "another person must approve");
    registry.approve("m", "1", "bob", true, US + 5).unwrap();
    assert_eq!(registry.version("m", "1").unwrap().approver, "bob");
    illegal(registry.resolve("m", ""), "no active version");
    assert_eq!(registry.resolve("m", "1").unwrap().status, Status::Approved);
    registry.activate("m", "1", US + 6).unwrap();
    assert_eq!(registry.resolve("m", "").unwrap().changed_us, US + 6);
    registry.retire("m", "1", US + 7).unwrap();
    illegal(registry.resolve("m", ""), "no active version");
    illegal(registry.activate("m", "1", US), "is retired and cannot become active");
    illegal(registry.retire("m", "1", US), "cannot become retired");
}

#[test]
fn one_pair_of_eyes_is_enough_where_the_house_says_so() {
    let mut registry = Registry::default();
    registry.register("m", push("1", "a", "ann"), US).unwrap();
    registry.mark_validated("m", "1", US).unwrap();
    registry.approve("m", "1", "ann", false, US).unwrap();
}

#[test]
fn one_version_is_active_and_rollback_goes_back_step_by_step() {
    let mut registry = registry(&["1", "2", "3"]);
    for version in ["1", "2", "3"] {
        registry.activate("m", version, US).unwrap();
    }
    let active = |registry: &Registry| {
        let all: Vec<_> =
            registry.versions().filter(|(_, each)| each.status == Status::Active).collect();
        assert_eq!(all.len(), 1);
        all[0].1.version.clone()
    };
    assert_eq!(active(&registry), "3");
    registry.activate("m", "3", US).unwrap();
    assert_eq!(registry.rollback("m", US), Ok("2".into()));
    assert_eq!(active(&registry), "2");
    assert_eq!(registry.rollback("m", US), Ok("1".into()));
    illegal(registry.rollback("m", US), "no earlier version");
    assert_eq!(active(&registry), "1");
    registry.activate("m", "2", US).unwrap();
    registry.retire("m", "1", US).unwrap();
    illegal(registry.rollback("m", US), "no earlier version");
}

#[test]
fn a_version_in_shadow_can_be_asked_by_name() {
    let mut registry = registry(&["1", "2"]);
    registry.activate("m", "1", US).unwrap();
    registry.shadow("m", "2", US).unwrap();
    assert_eq!(registry.resolve("m", "").unwrap().version, "1");
    assert_eq!(registry.resolve("m", "2").unwrap().status, Status::Shadow);
    registry.activate("m", "2", US).unwrap();
    assert_eq!(registry.version("m", "1").unwrap().status, Status::Approved);
}

#[test]
fn a_version_never_changes_its_content() {
    let mut registry = registry(&["1"]);
    registry.activate("m", "1", US).unwrap();
    let before = registry.clone();
    registry.register("m", push("1", "1", "eve"), US + 9).unwrap();
    assert_eq!(registry, before);
    illegal(registry.register("m", push("1", "other", "eve"), US), "other content");
}

#[test]
fn the_switch_stops_every_version() {
    let mut registry = registry(&["1"]);
    registry.activate("m", "1", US).unwrap();
    registry.kill("m", true).unwrap();
    illegal(registry.resolve("m", ""), "switched off");
    illegal(registry.resolve("m", "1"), "switched off");
    registry.kill("m", false).unwrap();
    registry.resolve("m", "").unwrap();
    assert!(matches!(registry.resolve("n", ""), Err(Error::NotFound(_))));
    assert!(matches!(registry.resolve("m", "9"), Err(Error::NotFound(_))));
    assert!(registry.register("../m", push("1", "a", "ann"), US).is_err());
}
