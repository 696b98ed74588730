//! A small street in the registers: who lives where, with which devices.

use crate::local::Process;
use features::table::Cell;
use features::{civil, table::Table};

/// A row by the names of its columns; the rest is empty.
fn row(table: &Table, cells: &[(&str, Cell)]) -> Vec<Cell> {
    let mut row = vec![Cell::Null; table.columns.len()];
    for (name, cell) in cells {
        row[table.position(name).unwrap()] = cell.clone();
    }
    row
}

/// Resident `r{n}` in dwelling `d{n}` with devices `gas{n}`, `door{n}`, `pir{n}`.
pub(crate) async fn settle(node: &Process, numbers: std::ops::Range<u32>) {
    let as_of = Cell::Time(nodes::clock::now_us() - 3_600_000_000);
    let mut tables: Vec<(&str, Vec<Vec<Cell>>)> = Vec::new();
    let mut put = |name: &'static str, cells: &[(&str, Cell)]| {
        let mut cells = cells.to_vec();
        cells.push(("src_dept", Cell::text("civil affairs")));
        cells.push(("as_of", as_of.clone()));
        let filled = row(civil::table(name).unwrap(), &cells);
        match tables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, rows)) => rows.push(filled),
            None => tables.push((name, vec![filled])),
        }
    };
    for n in numbers {
        let text = |prefix: &str| Cell::Text(format!("{prefix}{n}"));
        put("dwelling", &[("dwelling_id", text("d")), ("floor", Cell::Int(i64::from(n % 7)))]);
        put("household", &[("household_id", text("h")), ("dwelling_id", text("d"))]);
        put(
            "resident",
            &[
                ("resident_key", text("r")),
                ("household_id", text("h")),
                ("sex", Cell::text(if n % 2 == 0 { "F" } else { "M" })),
                ("birth_ym", Cell::Text(format!("{}-03", 1930 + n % 25))),
            ],
        );
        put(
            "health_summary",
            &[
                ("resident_key", text("r")),
                ("drugs_n", Cell::Int(i64::from(n % 9))),
                ("falls_12m", Cell::Int(i64::from(n % 3))),
                ("gait_aid", Cell::Bool(n % 2 == 1)),
            ],
        );
        for kind in ["gas", "door", "pir"] {
            put("device", &[("device_id", text(kind)), ("dwelling_id", text("d"))]);
        }
    }
    let address = format!("http://{}", node.member.flight);
    let mut client = flight::Client::connect(&address).await.unwrap();
    for (name, rows) in tables {
        let taken = client.ingest_rows(name, &rows).await.unwrap();
        assert_eq!(taken, rows.len() as i64, "{name}");
    }
}

/// Puts dwelling `d{n}` into a community.
pub(crate) async fn place(node: &Process, n: u32, community: &str) {
    let own = |prefix: &str| Cell::Text(format!("{prefix}{n}"));
    let tables = [
        ("grid", vec![("grid_id", own("g")), ("community", Cell::text(community))]),
        ("building", vec![("building_id", own("b")), ("grid_id", own("g"))]),
        ("dwelling", vec![("dwelling_id", own("d")), ("building_id", own("b"))]),
    ];
    let address = format!("http://{}", node.member.flight);
    let mut client = flight::Client::connect(&address).await.unwrap();
    for (name, mut cells) in tables {
        cells.push(("src_dept", Cell::text("civil affairs")));
        cells.push(("as_of", Cell::Time(nodes::clock::now_us())));
        let filled = row(civil::table(name).unwrap(), &cells);
        assert_eq!(client.ingest_rows(name, &[filled]).await.unwrap(), 1, "{name}");
    }
}

/// Somebody's relative or neighbour, with or without consent to their being told.
pub(crate) async fn relate(node: &Process, resident: &str, other: &str, kind: &str, consent: bool) {
    let cells = [
        ("resident_key", Cell::text(resident)),
        ("other_key", Cell::text(other)),
        ("kind", Cell::text(kind)),
        ("consent", Cell::Bool(consent)),
        ("src_dept", Cell::text("civil affairs")),
        ("as_of", Cell::Time(nodes::clock::now_us())),
    ];
    let filled = row(civil::table("relation").unwrap(), &cells);
    let address = format!("http://{}", node.member.flight);
    let mut client = flight::Client::connect(&address).await.unwrap();
    assert_eq!(client.ingest_rows("relation", &[filled]).await.unwrap(), 1);
}
