//! The registers and the truth: shares, keys, and the same bytes for the same seed.

use std::collections::{BTreeMap, BTreeSet};

use features::civil;
use features::table::Cell;

use super::cells::Row;
use super::{Detail, District, NdjsonSink, Plan, TRUTH};

fn district(people: u32) -> District {
    District::generate(&Plan { people, ..Plan::default() }).unwrap()
}

/// The texts of a column.
fn column(district: &District, table: &str, column: &str) -> Vec<String> {
    let at = civil::table(table).unwrap().position(column).unwrap();
    let rows = district.rows(table).unwrap();
    rows.iter().map(|row| row[at].as_text().unwrap().to_owned()).collect()
}

fn share(count: usize, of: usize) -> f64 {
    100.0 * count as f64 / of as f64
}

fn near(what: &str, got: f64, want: f64, within: f64) {
    assert!((got - want).abs() <= within, "{what}: {got:.2} instead of {want} +- {within}");
}

#[test]
fn the_shares_are_the_published_ones_at_20_000() {
    // Whatever the seed.
    for seed in [5, 6] {
        let plan = Plan { people: 20_000, seed, homes_monitored: 0.0, ..Plan::default() };
        let people = District::generate(&plan).unwrap().people;
        let young = people.iter().filter(|each| each.age() < 70.0).count();
        near("60 to 69", share(young, 20_000), 57.8, 1.0);
    }
    let district = district(20_000);
    let ages: Vec<f64> = district.people.iter().map(super::person::Person::age).collect();
    let band = |from: f64, to: f64| {
        share(ages.iter().filter(|age| (from..to).contains(*age)).count(), 20_000)
    };
    near("60 to 69", band(60.0, 70.0), 57.8, 1.0);
    near("70 to 79", band(70.0, 80.0), 25.1, 1.0);
    near("80 and more", band(80.0, 130.0), 17.1, 1.0);
    let living = column(&district, "resident", "living");
    near("alone", share(living.iter().filter(|each| *each == "alone").count(), 20_000), 13.0, 1.0);
    let health: Vec<_> = (0..20_000).map(|person| district.health(person)).collect();
    let level = |from: u8, to: u8| {
        share(health.iter().filter(|each| (from..=to).contains(&each.level)).count(), 20_000)
    };
    near("dependent", level(4, 5), 1.75, 0.6);
    near("partly dependent", level(3, 3), 3.84, 0.8);
    let mean_p = health.iter().map(|each| each.fall_p).sum::<f64>() / 200.0;
    near("mean chance of a fall", mean_p, 22.0, 1.0);
    near(
        "fell",
        share(health.iter().filter(|each| each.falls_on.is_some()).count(), 20_000),
        22.0,
        1.0,
    );
    let monitored = share(district.homes.len(), district.households.len());
    near("monitored homes", monitored, 7.5, 1.0);
    let classes = column(&district, "household", "assist_class");
    let helped = share(classes.iter().filter(|each| *each != "none").count(), classes.len());
    assert!((3.0..9.0).contains(&helped), "{helped}");
    let services =
        share(district.rows("service_record").unwrap().len(), 20_000) / 100.0 * 365.0 / 90.0;
    near("services a person and year", services, 4.8, 0.6);
}

/// How well the true chance of a fall ranks those who fall: nobody can do better.
#[test]
fn the_best_possible_ranking_of_falls_is_the_published_one() {
    let rows = district(20_000).truth("fall_true_p").unwrap();
    let mut ranked: Vec<(f64, bool)> = rows
        .iter()
        .map(|row| (row[1].as_number().unwrap(), row[2].as_number().unwrap() > 0.0))
        .collect();
    ranked.sort_by(|left, right| left.0.total_cmp(&right.0));
    let fell = ranked.iter().filter(|each| each.1).count() as f64;
    let ranks: f64 =
        ranked.iter().zip(1_u32..).filter(|each| each.0.1).map(|each| f64::from(each.1)).sum();
    let area = (ranks - fell * (fell + 1.0) / 2.0) / (fell * (ranked.len() as f64 - fell));
    near("area under the curve", area, 0.718, 0.015);
}

/// The keys of a table, each seen once.
fn keys(table: &features::table::Table, rows: &[Row]) -> BTreeSet<Vec<u8>> {
    let keys: BTreeSet<_> = rows.iter().map(|row| table.key_of(row).unwrap()).collect();
    assert_eq!(keys.len(), rows.len(), "two rows of {} have one key", table.name);
    keys
}

#[test]
fn every_row_fits_its_table_and_every_reference_leads_somewhere() {
    let district = district(4_000);
    let mut all = BTreeMap::new();
    for table in District::tables() {
        let rows = district.rows(table.name).unwrap();
        assert!(!rows.is_empty(), "{} is empty", table.name);
        for row in &rows {
            table.check(row).unwrap();
        }
        all.insert(table.name, (table, keys(table, &rows), rows));
    }
    let references = [
        ("region", "parent", "region"),
        ("grid", "community", "region"),
        ("building", "grid_id", "grid"),
        ("dwelling", "building_id", "building"),
        ("household", "dwelling_id", "dwelling"),
        ("resident", "household_id", "household"),
        ("relation", "resident_key", "resident"),
        ("health_summary", "resident_key", "resident"),
        ("assessment", "resident_key", "resident"),
        ("device", "dwelling_id", "dwelling"),
        ("subsidy", "resident_key", "resident"),
        ("tag", "resident_key", "resident"),
        ("organisation", "street", "region"),
        ("org_month", "org_id", "organisation"),
        ("cemetery", "cem_id", "organisation"),
        ("service_record", "resident_key", "resident"),
        ("service_record", "org_id", "organisation"),
        ("meal", "resident_key", "resident"),
        ("meal", "canteen_id", "organisation"),
        ("visit", "resident_key", "resident"),
    ];
    for (from, column, to) in references {
        let (table, _, rows) = &all[from];
        let at = table.position(column).unwrap();
        for cell in rows.iter().map(|row| &row[at]).filter(|cell| **cell != Cell::Null) {
            let known = all[to].1.contains(cell.as_text().unwrap().as_bytes());
            assert!(known, "{from}.{column}: {cell:?} is no {to}");
        }
    }
    let leaders: BTreeSet<_> = column(&district, "grid", "leader_key").into_iter().collect();
    for row in &all["relation"].2 {
        let (other, kind) = (row[1].as_text().unwrap(), row[2].as_text().unwrap());
        let resident = all["resident"].1.contains(other.as_bytes());
        match kind {
            "child" => assert!(!resident),
            "grid_worker" => assert!(leaders.contains(other)),
            _ => assert!(resident, "{kind}"),
        }
    }
    let policies: BTreeSet<_> = column(&district, "policy", "policy_id").into_iter().collect();
    assert_eq!(policies.len(), 41);
    assert!(column(&district, "subsidy", "policy_id").iter().all(|each| policies.contains(each)));
}

#[test]
fn people_are_born_before_the_day_of_the_registers_and_are_nobody() {
    let district = district(4_000);
    let births = column(&district, "resident", "birth_ym");
    assert!(births.iter().all(|birth| ("1895-01".."1966-02").contains(&birth.as_str())));
    let keys = column(&district, "resident", "resident_key");
    assert!(
        keys.iter().all(|key| key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
    );
    let masks = column(&district, "resident", "id_mask");
    assert!(masks.iter().all(|mask| mask.len() == 18 && mask.starts_with("99**************")));
    let regions = column(&district, "region", "code12");
    assert!(regions.iter().all(|code| code.starts_with("99")));
    for row in district.rows("household").unwrap() {
        assert!(row[2].as_number().unwrap() >= 1.0);
    }
    let (grids, households) = (district.rows("grid").unwrap(), district.households.len());
    assert_eq!(
        grids.iter().map(|row| row[3].as_number().unwrap() as usize).sum::<usize>(),
        households
    );
    assert!(grids.iter().all(|row| (300.0..=500.0).contains(&row[3].as_number().unwrap())));
}

#[test]
fn points_of_an_assessment_lie_in_the_band_of_its_level() {
    let rows = district(2_000).rows("assessment").unwrap();
    let mut levels = BTreeSet::new();
    for row in rows {
        let (Cell::Ints(items), Cell::Int(total), Cell::Int(level)) = (&row[3], &row[4], &row[5])
        else {
            panic!("{row:?}");
        };
        assert_eq!((items.len(), items.iter().sum::<i64>()), (26, *total));
        assert!(
            items
                .iter()
                .zip(super::health::ITEMS)
                .all(|(points, most)| (0..=most).contains(points))
        );
        let (low, high) = super::health::BANDS[*level as usize - 1];
        assert!((low..=high).contains(total));
        levels.insert(*level);
    }
    assert!(levels.len() >= 4);
}

#[test]
fn truth_names_real_people_and_differs_from_what_was_granted() {
    let district = district(4_000);
    let residents: BTreeSet<_> =
        column(&district, "resident", "resident_key").into_iter().collect();
    for table in TRUTH {
        let rows = district.truth(table.name).unwrap();
        for row in &rows {
            table.check(row).unwrap();
        }
        keys(table, &rows);
        assert!(civil::table(table.name).is_none() && district.rows(table.name).is_none());
        if let Some(at) = table.position("resident_key") {
            assert!(rows.iter().all(|row| residents.contains(row[at].as_text().unwrap())));
        }
    }
    let pairs = |rows: Vec<Row>, person: usize, policy: usize| -> BTreeSet<(String, String)> {
        let text = |row: &Row, at: usize| row[at].as_text().unwrap().to_owned();
        rows.iter().map(|row| (text(row, person), text(row, policy))).collect()
    };
    let entitled = pairs(district.truth("eligible_true").unwrap(), 0, 1);
    let granted = pairs(district.rows("subsidy").unwrap(), 1, 2);
    let reached = share(entitled.intersection(&granted).count(), entitled.len());
    assert!((70.0..85.0).contains(&reached), "{reached}");
    assert!(granted.difference(&entitled).count() > 0);
}

/// The hashes of everything that a plan makes.
fn sums(plan: &Plan) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = NdjsonSink::new(folder.path());
    District::generate(plan).unwrap().write(&mut sink).unwrap();
    let sums = sink.finish().unwrap();
    let listed = std::fs::read_to_string(folder.path().join("SHA256SUMS")).unwrap();
    assert_eq!(listed.lines().count(), sums.len());
    sums
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    for (people, days) in [(50, 3), (10_000, 0)] {
        let plan = Plan { people, days, detail: Detail::Thin, ..Plan::default() };
        let (first, second) = std::thread::scope(|scope| {
            let second = scope.spawn(|| sums(&plan));
            (sums(&plan), second.join().unwrap())
        });
        assert_eq!(first.len(), 19 + 4 + days as usize);
        assert_eq!(first, second);
    }
}

#[test]
fn another_seed_makes_another_district() {
    let plan = Plan { people: 300, days: 1, detail: Detail::Sparse, ..Plan::default() };
    let (first, other) = (sums(&plan), sums(&Plan { seed: 2, ..plan }));
    let same: Vec<_> = first.iter().filter(|each| other.get(each.0) == Some(each.1)).collect();
    // The policies do not depend on the seed, and an empty file is like another empty file.
    let may = |name: &str| name.contains("policy") || name.starts_with("truth/");
    assert!(same.iter().all(|each| may(each.0)) && same.len() < 4, "{same:?}");
}

#[test]
fn rows_can_be_made_in_any_order() {
    let district = district(500);
    for table in ["resident", "relation", "subsidy", "household", "device"] {
        let maker = District::maker(table).unwrap();
        let entities = (maker.entities)(&district);
        let mut pieces: Vec<_> =
            (0..entities).rev().map(|each| district.make(maker, each..each + 1)).collect();
        pieces.reverse();
        assert_eq!(pieces.concat(), district.rows(table).unwrap());
    }
}

#[test]
fn fifty_people_have_a_monitored_home_of_somebody_alone() {
    for seed in 0..20 {
        let plan = Plan { people: 50, seed, homes_monitored: 0.01, ..Plan::default() };
        let district = District::generate(&plan).unwrap();
        assert!(district.homes[0].alone && district.people[0].age() >= 80.0);
        assert_eq!(district.people.len(), 50);
    }
    let none = Plan { people: 50, homes_monitored: 0.0, ..Plan::default() };
    let district = District::generate(&none).unwrap();
    assert!(district.homes.is_empty() && district.events(0..5).next().is_none());
    assert!(district.rows("device").unwrap().is_empty());
}
