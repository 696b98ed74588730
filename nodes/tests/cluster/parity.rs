//! `hearth verify-parity` against running nodes, `features_at` over their Flight port, and how soon events
//! can be read.

use crate::local::{Cluster, Shape, eventually, hearth};
use crate::people::settle;
use crate::tables::{number, rows};
use features::civil;
use features::table::Cell;
use nodes::clock::now_us;
use nodes::proto::hearth::Event;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;

/// Events of some homes: on time, late, from clocks that run ahead; shuffled, and a third of them twice.
fn feed(random: &mut StdRng, count: usize) -> Vec<Event> {
    let now_us = now_us();
    let kinds = [("door", "door"), ("pir", "motion"), ("gas", "gas"), ("pir", "gait_speed")];
    let mut events: Vec<Event> = (0..count)
        .map(|at| {
            let (device, kind) = kinds[random.random_range(0..kinds.len())];
            let age_us = match random.random_range(0..10) {
                0..4 => random.random_range(0..10 * MINUTE_US),
                4..7 => random.random_range(0..30 * HOUR_US),
                7..9 => random.random_range(0..9 * 24 * HOUR_US),
                _ => -random.random_range(0..20 * MINUTE_US),
            };
            Event {
                event_id: format!("p{at}"),
                device_id: format!("{device}{}", random.random_range(1..8)),
                kind: kind.to_owned(),
                event_time_us: now_us - age_us,
                value: f64::from(random.random_range(0..5_000)) / 7.0,
                source: "parity".to_owned(),
                ..Event::default()
            }
        })
        .collect();
    events.extend_from_within(..count / 3);
    events.shuffle(random);
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parity_holds_and_a_planted_reading_breaks_it() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::shaped(Shape { nodes: 1, ..Shape::default() }).await;
    settle(&cluster.nodes[0], 1..5).await;
    let events = feed(&mut random, 400);
    let (first, second) = events.split_at(events.len() / 2);
    for part in first.chunks(37) {
        cluster.client().append(part.to_vec()).await.unwrap();
    }
    // Some move in while events come.
    settle(&cluster.nodes[0], 4..8).await;
    for part in second.chunks(41) {
        cluster.client().append(part.to_vec()).await.unwrap();
    }
    let held = cluster.run(&["verify-parity", "--entities", "5"]).await;
    let said = String::from_utf8_lossy(&held.stdout).into_owned();
    assert_eq!(held.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&held.stderr));
    assert!(said.contains(" 0 differ") && said.contains(" from 400 events"), "{said}");

    // A part at a time comes to the same: each entity is of one.
    let json = async |part: &str| {
        let held = cluster.run(&["verify-parity", "--part", part, "--format", "json"]).await;
        let said: serde_json::Value = serde_json::from_slice(&held.stdout).unwrap();
        assert_eq!(said["differing"], 0, "{said}");
        (said["entities"].as_u64().unwrap(), said["events"].as_u64().unwrap())
    };
    let whole = json("1/1").await;
    let (mut entities, mut fewest) = (0, whole.1);
    for part in ["1/3", "2/3", "3/3"] {
        let (here, events) = json(part).await;
        assert!(here < whole.0, "{part}: {here} of {whole:?}");
        entities += here;
        fewest = fewest.min(events);
    }
    assert_eq!(entities, whole.0);
    assert!(fewest < whole.1, "a part needs its own events only");

    // What DuckDB has and the memory never heard of: the planted reading is of door3 and its home.
    let node = &mut cluster.nodes[0];
    node.kill();
    plant(&node.home.join("data"));
    node.start();
    node.wait_up().await;
    let address = node.member.grpc.clone();
    let broken = hearth(&["verify-parity", "--view", "resident_activity"], &address).await;
    let said = String::from_utf8_lossy(&broken.stdout).into_owned();
    let error = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert_eq!(broken.status.code(), Some(5), "{said}{error}");
    assert!(
        said.contains("resident r3, view resident_activity, feature door_n_5m: online"),
        "{said}"
    );
    assert!(error.contains("values differ, the first of resident r3"), "{error}");
    assert!(!said.contains("resident r2"), "{said}");
    let other = hearth(&["verify-parity", "--view", "subsidy", "--format", "json"], &address).await;
    assert_eq!(other.status.code(), Some(0));
    let unknown = hearth(&["verify-parity", "--view", "none"], &address).await;
    assert_eq!(unknown.status.code(), Some(3));
}

/// One more event in the warehouse of a stopped node.
fn plant(data: &std::path::Path) {
    let table = civil::table("sensor_event").unwrap();
    let at = Cell::Time(now_us() - MINUTE_US);
    let mut row = vec![Cell::Null; table.columns.len()];
    for (name, cell) in [
        ("source", Cell::text("planted")),
        ("event_id", Cell::text("planted")),
        ("device_id", Cell::text("door3")),
        ("dwelling_id", Cell::text("d3")),
        ("ts", at.clone()),
        ("recv_ts", at),
        ("kind", Cell::text("door")),
        ("value", Cell::Real(1.0)),
        ("log_index", Cell::Int(20)),
    ] {
        row[table.position(name).unwrap()] = cell;
    }
    let file = data.join("planted.parquet");
    flight::write_parquet(&file, table, &[row]).unwrap();
    let warehouse = data.join(flight::WAREHOUSE_FILE);
    let warehouse = flight::Warehouse::open_existing(&warehouse, flight::Settings::default());
    assert_eq!(warehouse.unwrap().load_parquet(table, &file).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_of_the_past_are_a_table_and_events_are_seen_in_time() {
    let cluster = Cluster::shaped(Shape { nodes: 3, ..Shape::default() }).await;
    let node = &cluster.nodes[cluster.follower().await];
    settle(node, 1..4).await;
    let at = |minutes: i64| now_us() - minutes * MINUTE_US;
    let event = |id: &str, at_us: i64| Event {
        event_id: id.to_owned(),
        device_id: "door2".to_owned(),
        kind: "door".to_owned(),
        event_time_us: at_us,
        value: 1.0,
        source: "parity".to_owned(),
        ..Event::default()
    };
    let events = vec![event("1", at(90)), event("2", at(30)), event("3", at(2))];
    let own = nodes::client::Client::new(&node.member.grpc).unwrap();
    let index = own.append(events).await.unwrap().log_index;
    // Known now; then as it was 20 minutes ago, told with what is known now; then what was known then.
    let sql = "SELECT door_n_1h::BIGINT, door_n_1d::BIGINT, door_n_1d_status FROM features_at('resident_activity', \
               (SELECT 'r2', now()::TIMESTAMP - to_minutes(m) AS t, now()::TIMESTAMP - to_minutes(k) AS k, m \
               FROM (VALUES (0, 0), (20, 0), (20, 20)) v(m, k)), known_at := k, provenance := true)";
    let found = rows(node, index, sql).await;
    let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
    assert_eq!(
        found,
        [row(["2", "3", "present"]), row(["1", "2", "present"]), row(["0", "0", "not_found"])]
    );
    let current = "SELECT count(*) FROM feature_current WHERE known_at IS NOT NULL AND log_index > 0 \
                   AND entity_key = 'r2' AND view = 'resident_activity' AND feature = 'door_n_1d' AND value = 3";
    assert_eq!(number(node, index, current).await, 1);

    // Three events were seen on every node, by the log's stamp; here also from the door.
    for node in &cluster.nodes {
        eventually("the events are counted", async || {
            let status = node.status().await?;
            let log = status.visible.iter().find(|each| each.from == "log")?;
            (log.events == 3 && log.p99_us > 0 && log.goal_us == 100_000).then_some(())
        })
        .await;
    }
    let name = "hearth_event_visible_seconds_count{group=\"main\",from=\"door\"}";
    let (_, text) = node.get("/metrics").await;
    assert!(text.lines().any(|line| line == format!("{name} 3")), "{text}");
    let status = hearth(&["status"], &node.member.grpc).await;
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains("visible from door: 3 events in the last minute"), "{said}");
}
