//! Department feeds from the outside: declared, loaded twice, late, refused, looked at.

use crate::gather::{DAY_US, SECOND_US};
use crate::local::Cluster;
use crate::tables::{number, rows};
use std::fmt::Write as _;
use std::path::Path;

const HOUR_US: i64 = 3_600 * SECOND_US;

const SPEC: &str = r#"
feed = "disabled-persons"
version = 1
department = "残联"
table = "resident"
columns = ["disab_type", "disab_level"]
lateness_h = 24
"#;

const CHECKS: &str = r#"
feed = "supervision"
version = 1
department = "养老监管"
table = "supervision_event"
"#;

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

async fn run(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.run(arguments).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_is_loaded_twice_late_and_wrong() {
    let mut cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spec = write(folder.path(), "feed.toml", SPEC);
    run(&cluster, &["feed", "push", &spec]).await;
    run(&cluster, &["feed", "push", &spec]).await;
    let now_us = nodes::clock::now_us();
    let line = |seq: u64, time_us: i64, key: &str, level: i64| {
        format!(
            "{{\"seq\":{seq},\"time_us\":{time_us},\"row\":{{\"resident_key\":\"{key}\",\"disab_type\":\"视力\",\"disab_level\":{level}}}}}\n"
        )
    };
    let mut text: String =
        (1..=500).map(|seq| line(seq, now_us - HOUR_US, &format!("r{seq}"), 1)).collect();
    // Older than what stands there, and later than was declared.
    text.push_str(&line(501, now_us - 2 * DAY_US, "r1", 4));
    text.push_str(&line(502, now_us, "r2", 3));
    text.push_str("{\"seq\":503,\"row\":{}}\n");
    text.push_str(&line(504, now_us, "r3", 2).replace("\"disab_level\":2", "\"living\":\"alone\""));
    let file = write(folder.path(), "rows.ndjson", &text);
    let loaded = run(&cluster, &["feed", "load", "disabled-persons", &file]).await;
    assert!(
        loaded.starts_with("504 rows: 501 applied, 1 superseded, 0 duplicates, 1 late, 2 rejected"),
        "{loaded}"
    );
    let leader = cluster.leader().await;
    cluster.nodes[leader].kill();
    let again = run(&cluster, &["feed", "load", "disabled-persons", &file]).await;
    assert!(again.contains(" 0 applied, 0 superseded, 502 duplicates"), "{again}");
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_up().await;
    let index = cluster.nodes[cluster.leader().await].status().await.unwrap().applied_index;
    for node in &cluster.nodes {
        node.wait_recorded(index).await;
        let sql = "SELECT resident_key, disab_level, src_dept, epoch_us(as_of) FROM resident \
                   WHERE resident_key IN ('r1', 'r2') ORDER BY 1";
        let stood = rows(node, index, sql).await;
        let r1 = ["r1", "1", "残联", &(now_us - HOUR_US).to_string()].map(str::to_owned);
        let r2 = ["r2", "3", "残联", &now_us.to_string()].map(str::to_owned);
        assert_eq!(stood, [r1, r2]);
        let sql = "SELECT rows, applied, superseded, duplicates, late, rejected, missing, \
                   epoch_us(last_event_time), epoch_us(watermark), stale::INT, lag_s >= 0 AND \
                   lag_s < 3600 FROM (SELECT * REPLACE (lag_s::DOUBLE AS lag_s) FROM feed_status)";
        let sql = sql.replace("lag_s >= 0 AND lag_s < 3600", "(lag_s >= 0 AND lag_s < 3600)::INT");
        let status = rows(node, index, &sql).await;
        let told = ["1004", "501", "1", "502", "1", "4", "0"];
        assert_eq!(status[0][..7], told, "node {}", node.id);
        assert_eq!(status[0][7], now_us.to_string());
        assert_eq!(status[0][8], (now_us - DAY_US).to_string());
        assert_eq!(status[0][9..], ["0", "1"]);
        let provenance = "SELECT count(*) FROM row_provenance WHERE feed = 'disabled-persons'";
        assert_eq!(number(node, index, provenance).await, 501);
        let letters = "SELECT count(*), sum(times)::BIGINT FROM dead_letter WHERE door = 'feed'";
        let letters = rows(node, index, letters).await;
        assert_eq!(letters[0], ["2", "4"], "each is there once, and came twice");
        let (_, metrics) = node.get("/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with("hearth_feed_rows_total{"));
        assert!(line.unwrap().ends_with("feed=\"disabled-persons\",department=\"残联\"} 1004"));
    }
    let letters = run(&cluster, &["events", "dead-letters", "--format", "json"]).await;
    assert!(letters.contains("does not own resident.living"), "{letters}");
    // Once the department owns the column, what was refused can be sent again.
    let wider = SPEC
        .replace("version = 1", "version = 2")
        .replace("\"disab_level\"]", "\"disab_level\", \"living\"]");
    let wider = write(folder.path(), "wider.toml", &wider);
    run(&cluster, &["feed", "push", &wider]).await;
    let sent = run(&cluster, &["events", "dead-letters", "--retry"]).await;
    let told = "feed disabled-persons: 1 applied, 0 superseded, 0 duplicates, 1 rejected of 2";
    assert!(sent.starts_with(told), "{sent}");
    let listed = run(&cluster, &["feed", "show", "disabled-persons"]).await;
    assert!(listed.contains("lateness_h = 24"), "{listed}");
    cluster.same_state().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_of_institutions_are_history_from_a_csv_file() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spec = write(folder.path(), "feed.toml", CHECKS);
    run(&cluster, &["feed", "push", &spec]).await;
    let mut text = "n,org_id,check_id,kind,ts,result,next_due,as_of\n".to_owned();
    for check in 0..3_000 {
        let (org, day) = (check % 437, check % 28 + 1);
        let _ = writeln!(
            text,
            "{},org-{org},c{check},video,2026-02-{day:02}T08:00:00Z,ok,2026-03-{day:02},2026-02-{day:02}T09:00:00Z",
            check + 1
        );
    }
    let file = write(folder.path(), "checks.csv", &text);
    let load = ["feed", "load", "supervision", &file, "--seq", "n"];
    assert!(run(&cluster, &load).await.starts_with("3000 rows: 3000 applied"));
    assert!(run(&cluster, &load).await.contains("3000 duplicates"));
    let index = cluster.nodes[cluster.leader().await].status().await.unwrap().applied_index;
    for node in &cluster.nodes {
        let sql = "SELECT count(*) FROM supervision_event WHERE src_dept = '养老监管'";
        assert_eq!(number(node, index, sql).await, 3_000);
        // Who was due before the 20th of March and not checked since.
        let overdue = "SELECT count(*) FROM (SELECT org_id, max_by(next_due, ts) AS due \
                       FROM supervision_event GROUP BY org_id) WHERE due < DATE '2026-03-20'";
        let mut newest = [0; 437];
        for check in 0..3_000 {
            newest[check % 437] = newest[check % 437].max(check % 28 + 1);
        }
        let want = newest.iter().filter(|day| **day < 20).count() as i64;
        assert_eq!(number(node, index, overdue).await, want);
    }
    let refused = cluster.run(&["feed", "load", "nobody", &file]).await;
    assert_eq!(refused.status.code(), Some(3));
}

const RECORDS: &str = r#"
feed = "registry"
version = 1
department = "民政"
table = "resident"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_taken_back_is_gone_and_its_past_is_not() {
    let mut cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spec = write(folder.path(), "feed.toml", RECORDS);
    run(&cluster, &["feed", "push", &spec]).await;
    let begun_us = nodes::clock::now_us();
    let line = |seq: u64, at: i64, key: &str, deleted: bool| {
        format!(
            "{{\"seq\":{seq},\"time_us\":{},\"deleted\":{deleted},\"row\":{{\"resident_key\":\"{key}\",\"disab_level\":3}}}}\n",
            begun_us - HOUR_US + at
        )
    };
    let load = async |cluster: &Cluster, text: &str| {
        let file = write(folder.path(), "rows.ndjson", text);
        run(cluster, &["feed", "load", "registry", &file]).await
    };
    let text: String = (1..=3).map(|seq| line(seq, 0, &format!("r{seq}"), false)).collect();
    load(&cluster, &text).await;
    let stood_us = nodes::clock::now_us();
    // One is taken back, one before its own row has come, one twice and then told again.
    let text = [
        line(4, 9, "r1", true),
        line(6, 9, "r4", true),
        line(5, 1, "r4", false),
        line(7, 9, "r2", true),
        line(7, 9, "r2", true),
        line(8, 10, "r2", false),
    ]
    .concat();
    let said = load(&cluster, &text).await;
    assert!(
        said.starts_with("6 rows: 4 applied (3 withdrawn), 1 superseded, 1 duplicates"),
        "{said}"
    );
    let leader = cluster.leader().await;
    cluster.nodes[leader].kill();
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_up().await;
    let again = load(&cluster, &text).await;
    assert!(again.starts_with("6 rows: 0 applied"), "{again}");
    let index = cluster.nodes[cluster.leader().await].status().await.unwrap().applied_index;
    let now_us = nodes::clock::now_us();
    for node in &cluster.nodes {
        node.wait_recorded(index).await;
        let keys = "SELECT resident_key FROM resident ORDER BY 1";
        assert_eq!(rows(node, index, keys).await, [["r2"], ["r3"]], "node {}", node.id);
        let at = |time_us: i64| {
            format!(
                "SELECT disab_level::INT, disab_level_status FROM features_at('subsidy', \
                 (SELECT 'r1', make_timestamp({time_us}::BIGINT)), provenance := true)"
            )
        };
        assert_eq!(rows(node, index, &at(stood_us)).await, [["3", "present"]]);
        assert_eq!(rows(node, index, &at(now_us)).await[0][1], "not_found");
        let provenance = "SELECT row_key, seq FROM row_provenance WHERE withdrawn ORDER BY seq";
        assert_eq!(rows(node, index, provenance).await, [["r1", "4"], ["r4", "6"], ["r2", "7"]]);
        let status = "SELECT withdrawn, applied, rows FROM feed_status";
        assert_eq!(rows(node, index, status).await, [["3", "7", "15"]]);
        let gone = node.get("/v1/portrait/r1").await;
        assert!(gone.1.contains("no resident"), "{gone:?}");
    }
    let held = cluster.run(&["verify-parity", "--view", "subsidy"]).await;
    let said = String::from_utf8_lossy(&held.stdout).into_owned();
    assert!(held.status.success() && said.contains(" 0 differ"), "{said}");
    cluster.same_state().await;
}
