use std::collections::BTreeSet;

use models::{
    By, Compared, Digests, Error, Gates, Outcome, Push, Registry, Status, Verdict, Version,
};

const US: i64 = 1_700_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

fn digests(text: &str) -> Digests {
    Digests { model: text.into(), package: text.into() }
}

fn push(version: &str, content: &str, author: &str) -> Push {
    Push {
        version: version.into(),
        digests: digests(content),
        size_bytes: 10,
        author: author.into(),
        gates: Gates::default(),
    }
}

fn by(actor: &str) -> By<'_> {
    By { actor, reason: "", forced: false, now_us: US, log_index: 7 }
}

fn at(now_us: i64) -> By<'static> {
    By { now_us, ..by("bob") }
}

fn verdict(outcome: Outcome, said: &str) -> Verdict {
    Verdict {
        outcome,
        said: said.into(),
        checked_by: "test".into(),
        golden_rows: 3,
        took_ms: 1,
        row_ns: 100,
        at_us: 0,
    }
}

fn three() -> BTreeSet<u64> {
    BTreeSet::from([1, 2, 3])
}

/// One node's word on version 1 of `m`.
fn say(registry: &mut Registry, node: u64, outcome: Outcome, said: &str, now_us: i64) {
    let word = (node, verdict(outcome, said));
    registry.report("m", "1", word, three(), &at(now_us)).unwrap();
}

fn approved(registry: &mut Registry, push: Push) {
    let version = push.version.clone();
    registry.register("m", push, &at(US)).unwrap();
    for node in three() {
        let word = (node, verdict(Outcome::Ready, ""));
        registry.report("m", &version, word, three(), &at(US)).unwrap();
    }
    registry.approve("m", &version, true, &at(US + 1)).unwrap();
}

fn registry(versions: &[&str]) -> Registry {
    let mut registry = Registry::default();
    for version in versions {
        approved(&mut registry, push(version, version, "ann"));
    }
    registry
}

fn activate(registry: &mut Registry, version: &str) -> Result<(), Error> {
    registry.activate("m", version, &Gates::default(), &by("bob"))
}

fn of<'a>(registry: &'a Registry, version: &str) -> &'a Version {
    registry.version("m", version).unwrap()
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
    registry.register("m", push("1", "a", "ann"), &at(US)).unwrap();
    illegal(registry.resolve("m", "1"), "is pushed and does not answer");
    illegal(activate(&mut registry, "1"), "is pushed and cannot become active");
    illegal(registry.approve("m", "1", true, &by("bob")), "cannot become approved");
    for node in three() {
        say(&mut registry, node, Outcome::Ready, "", US);
    }
    illegal(registry.approve("m", "1", true, &by("ann")), "another person must approve");
    illegal(activate(&mut registry, "1"), "approve it first");
    registry.approve("m", "1", true, &at(US + 5)).unwrap();
    assert_eq!(of(&registry, "1").approver, "bob");
    illegal(registry.resolve("m", ""), "no active version");
    assert_eq!(registry.resolve("m", "1").unwrap().status, Status::Approved);
    registry.activate("m", "1", &Gates::default(), &at(US + 6)).unwrap();
    assert_eq!(registry.resolve("m", "").unwrap().changed_us, US + 6);
    registry.retire("m", "1", &at(US + 7)).unwrap();
    illegal(registry.resolve("m", ""), "no active version");
    illegal(activate(&mut registry, "1"), "is retired and cannot become active");
    illegal(registry.retire("m", "1", &at(US)), "cannot become retired");
}

#[test]
fn one_pair_of_eyes_is_enough_where_the_house_says_so() {
    let mut registry = Registry::default();
    registry.register("m", push("1", "a", "ann"), &at(US)).unwrap();
    for node in three() {
        say(&mut registry, node, Outcome::Ready, "", US);
    }
    registry.approve("m", "1", false, &by("ann")).unwrap();
}

#[test]
fn every_voter_validates_for_itself() {
    let mut registry = Registry::default();
    registry.register("m", push("1", "a", "ann"), &at(US)).unwrap();
    say(&mut registry, 1, Outcome::Ready, "", US);
    // A learner is heard and does not decide.
    say(&mut registry, 9, Outcome::Ready, "", US);
    say(&mut registry, 2, Outcome::Ready, "", US + 1);
    assert_eq!(of(&registry, "1").status, Status::Pushed);
    let waits = registry.approve("m", "1", true, &by("bob")).unwrap_err().to_string();
    assert!(waits.contains("node 3"), "{waits}");
    say(&mut registry, 3, Outcome::Ready, "", US + 2);
    assert_eq!(of(&registry, "1").status, Status::Validated);
    assert_eq!(registry.pending().count(), 0);
}

#[test]
fn a_node_that_is_down_delays_and_does_not_block() {
    let mut registry = Registry::default();
    registry.register("m", push("1", "a", "ann"), &at(US)).unwrap();
    say(&mut registry, 1, Outcome::Ready, "", US);
    registry.settle(&at(US + 60 * SECOND_US));
    assert_eq!(of(&registry, "1").status, Status::Pushed, "one of three is no majority");
    say(&mut registry, 2, Outcome::Ready, "", US + 2 * SECOND_US);
    registry.settle(&at(US + 9 * SECOND_US));
    assert_eq!(of(&registry, "1").status, Status::Pushed, "the third is still waited for");
    registry.settle(&at(US + 10 * SECOND_US));
    assert_eq!(of(&registry, "1").status, Status::Validated);
    assert!(of(&registry, "1").reason.contains("node 3: has not answered"));
    say(&mut registry, 3, Outcome::Ready, "", US + 20 * SECOND_US);
    assert!(of(&registry, "1").not_ready().is_empty());
}

#[test]
fn a_node_that_cannot_look_is_not_waited_for() {
    let mut registry = Registry::default();
    registry.register("m", push("1", "a", "ann"), &at(US)).unwrap();
    say(&mut registry, 1, Outcome::Ready, "", US);
    say(&mut registry, 2, Outcome::Unable, "no library", US);
    say(&mut registry, 3, Outcome::Ready, "", US);
    assert_eq!(of(&registry, "1").status, Status::Validated);
    assert_eq!(of(&registry, "1").not_ready(), [(2, "no library".to_owned())]);
}

#[test]
fn one_no_is_enough_until_it_answers_people() {
    let mut registry = Registry::default();
    registry.register("m", push("1", "a", "ann"), &at(US)).unwrap();
    say(&mut registry, 1, Outcome::Ready, "", US);
    say(&mut registry, 9, Outcome::Refused, "a learner's no", US);
    say(&mut registry, 2, Outcome::Refused, "golden row 3\ngives 7", US);
    assert_eq!(of(&registry, "1").status, Status::Refused);
    assert_eq!(of(&registry, "1").reason, "node 2: golden row 3 gives 7");
    illegal(registry.approve("m", "1", true, &by("bob")), "golden row 3");
    // What was refused may be mended under the same version.
    assert!(registry.register("m", push("1", "b", "ann"), &at(US)).unwrap());
    for node in three() {
        say(&mut registry, node, Outcome::Ready, "", US);
    }
    registry.approve("m", "1", true, &by("bob")).unwrap();
    activate(&mut registry, "1").unwrap();
    say(&mut registry, 3, Outcome::Refused, "broken memory", US);
    assert_eq!(of(&registry, "1").status, Status::Active, "one bad node stops nobody's answers");
    assert_eq!(of(&registry, "1").not_ready(), [(3, "broken memory".to_owned())]);
}

#[test]
fn one_version_is_active_and_rollback_goes_back_step_by_step() {
    let mut registry = registry(&["1", "2", "3"]);
    for version in ["1", "2", "3"] {
        activate(&mut registry, version).unwrap();
    }
    let active = |registry: &Registry| {
        let all: Vec<_> =
            registry.versions().filter(|(_, each)| each.status == Status::Active).collect();
        assert_eq!(all.len(), 1);
        all[0].1.version.clone()
    };
    assert_eq!(active(&registry), "3");
    activate(&mut registry, "3").unwrap();
    assert_eq!(registry.rollback("m", &by("bob")), Ok("2".into()));
    assert_eq!(active(&registry), "2");
    assert_eq!(registry.rollback("m", &by("bob")), Ok("1".into()));
    illegal(registry.rollback("m", &by("bob")), "no earlier version");
    assert_eq!(active(&registry), "1");
    activate(&mut registry, "2").unwrap();
    registry.retire("m", "1", &by("bob")).unwrap();
    illegal(registry.rollback("m", &by("bob")), "no earlier version");
}

#[test]
fn shadow_and_canary_stand_beside_the_active_version() {
    let mut registry = registry(&["1", "2", "3"]);
    let open = Gates::default();
    illegal(registry.shadow("m", "2", 50, &by("bob")), "no active version");
    activate(&mut registry, "1").unwrap();
    illegal(registry.shadow("m", "1", 50, &by("bob")), "its own shadow");
    registry.shadow("m", "2", 50, &by("bob")).unwrap();
    assert_eq!(registry.resolve("m", "").unwrap().version, "1");
    assert_eq!(registry.resolve("m", "2").unwrap().status, Status::Shadow);
    assert!(registry.canary("m", "2", (100, &open), &by("bob")).is_err());
    registry.canary("m", "2", (5, &open), &by("bob")).unwrap();
    registry.canary("m", "2", (20, &open), &by("bob")).unwrap();
    registry.shadow("m", "3", 100, &by("bob")).unwrap();
    let route = registry.route("m").unwrap();
    assert_eq!((route.canary.unwrap().version.as_str(), route.canary.unwrap().share), ("2", 20));
    assert_eq!(route.shadow.unwrap().version, "3");
    registry.canary("m", "3", (10, &open), &by("bob")).unwrap();
    let route = registry.route("m").unwrap();
    assert_eq!((route.canary.unwrap().version.as_str(), route.shadow.is_none()), ("3", true));
    assert_eq!((of(&registry, "2").status, of(&registry, "2").share), (Status::Approved, 0));
    registry.canary("m", "3", (0, &open), &by("bob")).unwrap();
    assert!(registry.route("m").unwrap().canary.is_none());
    illegal(registry.canary("m", "3", (0, &open), &by("bob")), "not in canary");
    registry.canary("m", "3", (10, &open), &by("bob")).unwrap();
    activate(&mut registry, "3").unwrap();
    assert!(registry.route("m").unwrap().canary.is_none(), "it answers everybody now");
    registry.shadow("m", "2", 10, &by("bob")).unwrap();
    registry.retire("m", "3", &by("bob")).unwrap();
    assert_eq!(of(&registry, "2").status, Status::Approved, "beside nothing there is no shadow");
}

#[test]
fn a_closed_gate_stops_a_promotion_until_somebody_signs_for_it() {
    let mut registry = registry(&["1"]);
    let gates = Gates { min_shadow_rows: 10, max_difference: Some(0.2), ..Gates::default() };
    approved(&mut registry, Push { gates, ..push("2", "2", "ann") });
    // Nothing is there to compare the first version with.
    activate(&mut registry, "1").unwrap();
    illegal(activate(&mut registry, "2"), "min_shadow_rows is 10");
    let closed = registry.canary("m", "2", (5, &Gates::default()), &by("bob"));
    illegal(closed, "0 rows were compared");
    registry.shadow("m", "2", 100, &by("bob")).unwrap();
    let seen = |rows, max_difference_nano, against: &str| Compared {
        rows,
        max_difference_nano,
        against: against.into(),
        ..Compared::default()
    };
    registry.compare("m", "2", &seen(30, 5, "7")).unwrap();
    illegal(activate(&mut registry, "2"), "0 rows were compared");
    registry.compare("m", "2", &seen(30, 5, "1")).unwrap();
    let strict = Gates { min_shadow_rows: 31, ..Gates::default() };
    let by_house = registry.activate("m", "2", &strict, &by("bob"));
    illegal(by_house, "min_shadow_rows is 31");
    registry.compare("m", "2", &seen(1, 300_000_000, "1")).unwrap();
    illegal(activate(&mut registry, "2"), "max_difference is 0.2");
    let forced = By { forced: true, reason: "the old one is broken", ..by("bob") };
    registry.activate("m", "2", &Gates::default(), &forced).unwrap();
    let last = registry.changes("m", 0).filter(|change| change.action == "activate").last();
    let last = last.unwrap();
    assert_eq!((last.forced, last.reason.as_str()), (true, "the old one is broken"));
    assert_eq!(registry.rollback("m", &by("bob")), Ok("1".into()), "no gate stops a rollback");
}

#[test]
fn the_history_says_who_when_from_where_to_where_and_why() {
    let mut registry = registry(&["1", "2"]);
    activate(&mut registry, "1").unwrap();
    let before = registry.changes_total("m");
    let why = By { reason: "fewer false alarms", log_index: 99, ..by("wang") };
    registry.activate("m", "2", &Gates::default(), &why).unwrap();
    let lines: Vec<String> = registry
        .changes("m", before)
        .map(|each| {
            format!("{} {} {}->{} {}", each.version, each.action, each.from, each.to, each.actor)
        })
        .collect();
    assert_eq!(lines, ["2 activate approved->active wang", "1 displaced active->approved wang"]);
    let change = registry.changes("m", before).next().unwrap();
    assert_eq!((change.log_index, change.reason.as_str()), (99, "fewer false alarms"));
    for _ in 0..200 {
        registry.kill("m", &by("bob")).unwrap();
        registry.revive("m", &by("bob")).unwrap();
    }
    assert_eq!(registry.changes("m", 0).count(), 128);
    assert_eq!(registry.changes_total("m"), before + 402);
    let seqs: Vec<u64> = registry.changes("m", 0).map(|change| change.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]));
}

#[test]
fn a_version_never_changes_its_content() {
    let mut registry = registry(&["1"]);
    activate(&mut registry, "1").unwrap();
    let before = registry.clone();
    assert!(!registry.register("m", push("1", "1", "eve"), &at(US + 9)).unwrap());
    assert_eq!(registry, before);
    illegal(registry.register("m", push("1", "other", "eve"), &at(US)), "other content");
}

#[test]
fn memory_is_bounded_by_what_is_not_retired() {
    let versions: Vec<String> = (0..32).map(|n| n.to_string()).collect();
    let mut registry = registry(&versions.iter().map(String::as_str).collect::<Vec<_>>());
    let full = registry.register("m", push("32", "32", "ann"), &at(US)).unwrap_err();
    assert!(matches!(full, Error::Limit(_)) && full.to_string().contains("retire one"), "{full}");
    registry.retire("m", "0", &by("bob")).unwrap();
    assert!(registry.register("m", push("32", "32", "ann"), &at(US)).unwrap());
}

#[test]
fn the_switch_stops_every_version() {
    let mut registry = registry(&["1"]);
    activate(&mut registry, "1").unwrap();
    registry.kill("m", &By { reason: "wrong for men", ..by("wang") }).unwrap();
    illegal(registry.resolve("m", ""), "switched off by wang: wrong for men");
    illegal(registry.resolve("m", "1"), "revive m");
    registry.revive("m", &by("wang")).unwrap();
    registry.resolve("m", "").unwrap();
    assert!(matches!(registry.resolve("n", ""), Err(Error::NotFound(_))));
    assert!(matches!(registry.resolve("m", "9"), Err(Error::NotFound(_))));
    assert!(registry.register("../m", push("1", "a", "ann"), &at(US)).is_err());
}
