//! Rule sets as files, and as versions of the log.

use crate::street::{SECOND_US, Street};
use nodes::state::{AlertRule, Command, Condition, Reply, RulePush, Rules, Severity, State};

#[test]
fn the_default_set_reads_back_from_its_own_text() {
    let rules = Rules::default();
    assert_eq!(rules.check(), Ok(()));
    assert_eq!(Rules::parse(&rules.to_text()), Ok(rules));
}

#[test]
fn a_set_in_toml_needs_only_what_it_says() {
    let text = r#"
        version = 3
        score_interval_s = 60
        critical = { ack_s = 60, dispatch_s = 180, arrive_s = 900, feedback_s = 3600 }
        major = { ack_s = 300, dispatch_s = 900, arrive_s = 1800, feedback_s = 7200 }
        minor = { ack_s = 1800, dispatch_s = 7200, arrive_s = 14400, feedback_s = 86400 }
        [[alerts]]
        kind = "gas"
        alert = "gas_leak"
        threshold = 5.0
        count = 3
        within_s = 86400
        severity = "critical"
        level = 3
    "#;
    let rules = Rules::parse(text).unwrap();
    assert_eq!(rules.alerts.len(), 1);
    assert_eq!(rules.hours, Rules::bare().hours);
    assert!(rules.devices.is_empty(), "a family that is not named is off");
    let refused = |from: &str, to: &str| Rules::parse(&text.replace(from, to)).unwrap_err();
    assert!(refused("kind = \"gas\"", "kind = \"gaz\"").contains("nearest known kind is \"gas\""));
    assert!(refused("level = 3", "level = 4").contains("alerts[0] (gas_leak): level must be"));
    assert!(refused("level = 3", "level = 3\nfro_s = 1").contains("fro_s"));
    assert!(refused("level = 3", "level = 3\nfor_s = 60\nof = 5").contains("exclude each other"));
    assert!(refused("level = 3", "level = 3\nclear = 6.0").contains("wrong side"));
    assert!(refused("count = 3", "count = 33").contains("from 1 to 32"));
    assert!(refused("within_s = 86400", "within_s = 0").contains("within_s"));
    for said in [refused("level = 3", "level = 4"), refused("count = 3", "count = 0")] {
        assert!(!said.contains('\n') && said.len() < 200, "{said}");
    }
}

fn set(version: u32, threshold: f64) -> Rules {
    let rule = AlertRule::counting(("gas", "found"), threshold, (2, 600), (Severity::Major, 1));
    Rules { version, alerts: vec![rule], ..Rules::bare() }
}

#[test]
fn versions_rise_and_stay_in_the_history() {
    let mut street = Street::new(&set(1, 5.0), 1);
    street.push(&set(4, 6.0));
    for version in [3, 4] {
        let push = RulePush::new(&set(version, 9.0), "wang", "");
        let reply = street.apply(&Command::PushRules(Box::new(push)));
        let Reply::Refused(why) = reply else { panic!("{reply:?}") };
        assert!(why.to_string().contains("version 4 are in force"), "{why}");
    }
    let push = RulePush { text: "{".to_owned(), actor: String::new(), note: String::new() };
    assert!(matches!(street.apply(&Command::PushRules(Box::new(push))), Reply::Refused(_)));
    let history: Vec<(u32, String)> =
        street.state.rule_history.iter().map(|each| (each.version, each.actor.clone())).collect();
    assert_eq!(history, [(1, "tester".to_owned()), (4, "tester".to_owned())]);
    assert_eq!(street.state.rules.alerts[0].threshold.to_bits(), 6.0_f64.to_bits());
    // Also after a snapshot.
    let bytes = street.state.to_bytes().unwrap();
    let again = State::from_reader(&mut bytes.as_slice()).unwrap();
    assert_eq!(again.rule_history, street.state.rule_history);
    assert_eq!(again.to_bytes().unwrap(), bytes);
}

#[test]
fn readings_are_kept_for_the_rule_that_changed_its_threshold() {
    let mut street = Street::new(&set(1, 5.0), 1);
    street.device("a", "", "w0");
    street.now("a", "gas", 9.0);
    street.push(&set(2, 8.0));
    street.wait(SECOND_US);
    street.now("a", "gas", 7.0);
    assert_eq!(street.count(), 0);
    street.now("a", "gas", 8.0);
    let alert = street.alerts("found").pop().unwrap();
    assert_eq!((alert.evidence.len(), alert.version.as_str()), (2, "2"));
    // A rule that is gone says nothing any more; its case is people's.
    street.push(&Rules { version: 3, ..Rules::bare() });
    street.now("a", "gas", 9.0);
    assert_eq!(street.condition("found"), Some(Condition::Firing));
    assert_eq!(street.count(), 1);
}

#[test]
fn an_inactivity_rule_without_the_later_keys_means_what_it_meant() {
    let text = r#"
        version = 3
        score_interval_s = 60
        critical = { ack_s = 60, dispatch_s = 180, arrive_s = 900, feedback_s = 3600 }
        major = { ack_s = 300, dispatch_s = 900, arrive_s = 1800, feedback_s = 7200 }
        minor = { ack_s = 1800, dispatch_s = 7200, arrive_s = 14400, feedback_s = 86400 }
        alerts = []
        [[inactivity]]
        alert = "inactivity"
        kinds = ["door", "motion"]
        limit_h = 12.0
        habit_times = 1.5
        severity = "major"
        level = 1
    "#;
    let rule = Rules::parse(text).unwrap().inactivity.remove(0);
    assert_eq!((rule.known_days, rule.deaf_beats), (7, 0));
    for off in [rule.night_times, rule.asleep_h, rule.deaf_grace_h] {
        assert!(off.abs() < 1e-9, "{off}");
    }
    let refused = |line: &str| {
        Rules::parse(&text.replace("level = 1", &format!("level = 1\n{line}"))).unwrap_err()
    };
    assert!(refused("night_times = 1.0").contains("below habit_times"));
    assert!(refused("night_times = nan").contains("from 0 to 10"));
    assert!(refused("asleep_h = 400.0").contains("336 hours"));
    assert!(refused("asleep_h = nan").contains("336 hours"));
    assert!(refused("known_days = 0").contains("from 1 to 28"));
    assert!(refused("deaf_grace_h = -1.0").contains("from 0 to 24"));
}
