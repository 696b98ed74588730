//! A real house, replayed by the command line.

#[path = "../../src/real_data.rs"]
mod real_data;

use crate::local::{Cluster, Shape};
use crate::tables::rows;
use std::collections::BTreeMap;

const EVENTS: usize = 19_075;
/// The sensors of the file that sit on the front door.
const DOORS: [&str; 2] = ["4", "7"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn house_b_counts_once_and_its_doors_are_those_of_the_file() {
    let Some(file) = real_data::real("kasteren/houseB.sensors") else { return };
    let cluster = Cluster::shaped(Shape { nodes: 1, ..Shape::default() }).await;
    let replay = ["replay", file.to_str().unwrap(), "--mapping", "kasteren-houseB"];
    let mut log_index = 0;
    for (accepted, duplicates) in [(EVENTS, 0), (0, EVENTS)] {
        let output = cluster.run(&replay).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let wanted =
            format!("{accepted} accepted, {duplicates} duplicates, 0 rejected, 0 bad lines;");
        assert!(said.starts_with(&wanted), "{said}");
        log_index = said.trim().rsplit(' ').next().unwrap().parse().unwrap();
    }
    let mut of_file: BTreeMap<String, usize> = BTreeMap::new();
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        if DOORS.contains(&cells[2]) {
            let day = cells[0].parse::<i64>().unwrap() / 86_400;
            *of_file.entry(day.to_string()).or_default() += 1;
        }
    }
    assert!(of_file.len() > 14, "{} days", of_file.len());
    let node = &cluster.nodes[0];
    let sql = "SELECT epoch_us(ts) // 86400000000 AS day, count(*) FROM sensor_event
         WHERE kind = 'door' GROUP BY day";
    let of_table: BTreeMap<String, usize> = rows(node, log_index, sql)
        .await
        .into_iter()
        .map(|row| (row[0].clone(), row[1].parse().unwrap()))
        .collect();
    assert_eq!(of_table, of_file);
    let all = rows(node, log_index, "SELECT count(*), count(DISTINCT event_id) FROM sensor_event");
    assert_eq!(all.await, [[EVENTS.to_string(), EVENTS.to_string()]]);
}
