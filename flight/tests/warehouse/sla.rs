//! How well the linkage keeps its times: by street, month, kind and level.

use crate::folder::*;
use arrow::util::pretty::pretty_format_batches;
use features::table::Cell;
use flight::{Recording, Warehouse};

const MINUTE_US: i64 = 60_000_000;
/// 2026-02-01T00:00:00+08:00.
const FEBRUARY_US: i64 = 1_769_875_200_000_000;

fn alert(id: &str, region: &str, raised_us: i64, cells: &[(&str, Cell)]) -> Vec<Cell> {
    let table = table("alert");
    let mut row = vec![Cell::Null; table.columns.len()];
    let plain = [
        ("alert_id", Cell::text(id)),
        ("region", Cell::text(region)),
        ("kind", Cell::text("smoke")),
        ("severity", Cell::text("critical")),
        ("level", Cell::Int(3)),
        ("raised_ts", Cell::Time(raised_us)),
        ("opened_ts", Cell::Time(raised_us)),
        ("state", Cell::text("closed")),
        ("closed_as", Cell::text("handled")),
    ];
    for (name, cell) in plain.iter().chain(cells) {
        row[table.position(name).unwrap()] = cell.clone();
    }
    row
}

fn record(warehouse: &Warehouse, rows: Vec<Vec<Cell>>) {
    let recording =
        Recording { through: 1, upserts: vec![(table("alert"), rows)], ..Recording::default() };
    warehouse.record(&recording).unwrap();
}

async fn text(warehouse: &Warehouse, sql: &str) -> String {
    pretty_format_batches(&ask(warehouse, sql).await.unwrap()).unwrap().to_string()
}

#[tokio::test]
async fn a_month_ends_at_local_midnight_and_what_was_silenced_or_double_is_no_service() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let at = |us: i64| Cell::Time(us);
    let (late, early) = (FEBRUARY_US - 1, FEBRUARY_US);
    record(
        &warehouse,
        vec![
            alert(
                "a1",
                "330106001004",
                late,
                &[("ack_ts", at(late + MINUTE_US)), ("closed_ts", at(late + 30 * MINUTE_US))],
            ),
            alert(
                "a2",
                "330106001999",
                early,
                &[
                    // Reopened after an hour, and acknowledged two minutes later.
                    ("opened_ts", at(early + 60 * MINUTE_US)),
                    ("ack_ts", at(early + 62 * MINUTE_US)),
                    ("closed_ts", at(early + 70 * MINUTE_US)),
                    ("missed", Cell::Texts(vec!["ack".to_owned()])),
                    ("reopened", Cell::Int(1)),
                    ("escalations", Cell::Int(2)),
                ],
            ),
            alert(
                "a3",
                "330106001999",
                early,
                &[("closed_as", Cell::text("duplicate")), ("merged_into", Cell::text("a2"))],
            ),
            // Recorded under a silence, and over with it: nobody was told, so nobody was slow.
            alert(
                "a4",
                "330106001999",
                early,
                &[("suppressed_by", Cell::text("s1")), ("closed_ts", at(early + MINUTE_US))],
            ),
            alert("a5", "330106002001", early, &[("closed_as", Cell::text("false_alarm"))]),
            alert(
                "a6",
                "330106002001",
                early,
                &[("state", Cell::text("l1_notified")), ("closed_as", Cell::Null)],
            ),
        ],
    );
    let sql =
        "SELECT street, month, alerts, closed, ack_in_time, ack_p50_s, close_p50_s, escalations,
        reopened, false_alarm_share FROM v_alert_sla ORDER BY street, month";
    let said = text(&warehouse, sql).await;
    let rows: Vec<Vec<&str>> = said
        .lines()
        .filter(|line| line.contains("330106"))
        .map(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(
        rows,
        [
            vec!["330106001", "2026-01", "1", "1", "1.0", "60.0", "1800.0", "0", "0", "0.0"],
            vec!["330106001", "2026-02", "1", "1", "0.0", "120.0", "600.0", "2", "1", "0.0"],
            vec!["330106002", "2026-02", "2", "1", "0", "0", "1.0"],
        ],
        "{said}"
    );
}
