//! What the registers of a district take, and that every row of it comes back.

use super::Rows;
use crate::simulate::{District, Plan};
use features::table::{Mode, encode_row};
use std::collections::BTreeMap;

/// Bytes a resident, with four devices each; in a district of 416,000 words are learnt better, and it is
/// less.
const BYTES_MAX: usize = 1_060;
const PEOPLE: u32 = 3_000;

#[test]
fn the_registers_of_a_district_are_small_and_whole() {
    let plan = Plan { people: PEOPLE, days: 0, homes_monitored: 1.0, ..Plan::default() };
    let district = District::generate(&plan).unwrap();
    let (mut rows, mut plain, mut count) = (Rows::default(), 0, 0);
    let mut held = rows.heap_bytes();
    for table in District::tables().filter(|table| table.mode == Mode::Reference) {
        let all = district.rows(table.name).unwrap();
        let mut want = BTreeMap::new();
        for row in &all {
            assert!(rows.upsert(table, row).unwrap(), "{row:?}");
            assert!(!rows.upsert(table, row).unwrap(), "{row:?}");
            plain += encode_row(row).unwrap().len();
            want.insert(table.key_of(row).unwrap(), row);
        }
        count += all.len();
        let before = std::mem::replace(&mut held, rows.heap_bytes());
        println!("{:16} {:6} rows, {:8} bytes", table.name, all.len(), held - before);
        assert_eq!(rows.count(table.name), want.len());
        assert!(rows.scan(table.name).eq(want.values().map(|row| (*row).clone())));
        for (key, row) in &want {
            assert_eq!(rows.get(table.name, key).as_ref(), Some(*row));
        }
    }
    let bytes = rows.heap_bytes();
    let each = bytes / PEOPLE as usize;
    println!(
        "{count} rows, {plain} bytes as they are sent, {bytes} in memory with what finds them: \
         {each} a resident"
    );
    assert!(each < BYTES_MAX, "{each} bytes a resident");
}
