//! Rows in a snapshot: by table and key, in the form of [`features::table::encode_row`]. How they lie in
//! memory is not in it: two nodes that hold the same rows write the same bytes.

use super::rows::Rows;
use super::shelf::Shelf;
use features::civil;
use features::{Cells, Key, RowSource};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

/// The rows as they were at one moment. They share everything with the registers, which copy the pages
/// that they change from then on.
#[derive(Clone, Debug)]
pub struct FrozenRows {
    pub(super) shelves: Vec<Shelf>,
}

impl FrozenRows {
    /// The keys of a table whose key is one text, in their order.
    pub(crate) fn keys(&self, table: &str) -> impl Iterator<Item = &str> {
        let shelf = self.shelves.iter().find(|shelf| shelf.table().name == table);
        shelf.into_iter().flat_map(|shelf| {
            let keys = shelf.rows().filter_map(move |row| shelf.cells(row).next_text());
            keys.filter_map(|key| std::str::from_utf8(key).ok())
        })
    }
}

impl RowSource for FrozenRows {
    fn row(&self, table: usize, key: Key<'_>) -> Option<Cells<'_>> {
        let shelf = self.shelves.get(table)?;
        shelf.get(key.bytes()).map(|row| shelf.cells(row))
    }
}

impl Serialize for FrozenRows {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut shelves: Vec<&Shelf> = self.shelves.iter().filter(|it| it.len() > 0).collect();
        shelves.sort_by_key(|shelf| shelf.table().name);
        let mut map = to.serialize_map(Some(shelves.len()))?;
        for shelf in shelves {
            map.serialize_entry(shelf.table().name, &ByKey(shelf))?;
        }
        map.end()
    }
}

struct ByKey<'a>(&'a Shelf);

impl Serialize for ByKey<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        let mut scratch = Vec::new();
        for row in self.0.rows() {
            let key = self.0.key_of(row, &mut scratch);
            map.serialize_entry(&Bytes(key), &Bytes(&self.0.stored(row)))?;
        }
        map.end()
    }
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

struct Read(Vec<u8>);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ReadBytes;
        impl Visitor<'_> for ReadBytes {
            type Value = Read;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Read, E> {
                Ok(Read(bytes.to_vec()))
            }
        }
        from.deserialize_bytes(ReadBytes)
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Tables;
        impl<'de> Visitor<'de> for Tables {
            type Value = Rows;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("tables and their rows")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Rows, A::Error> {
                let mut rows = Rows::default();
                while let Some(name) = from.next_key::<String>()? {
                    let table = civil::table(&name)
                        .ok_or_else(|| A::Error::custom(format!("there is no table {name}")))?;
                    from.next_value_seed(Table { rows: &mut rows, table })?;
                }
                Ok(rows)
            }
        }
        from.deserialize_map(Tables)
    }
}

/// One table on its way into the rows.
struct Table<'a> {
    rows: &'a mut Rows,
    table: &'static features::table::Table,
}

impl<'de> serde::de::DeserializeSeed<'de> for Table<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Table<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("rows by key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        while let Some((key, row)) = from.next_entry::<Read, Read>()? {
            let put = self.rows.put_stored(self.table, &key.0, &row.0);
            put.map_err(|error| A::Error::custom(format!("{}: {error}", self.table.name)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::table::{Cell, Mode, encode_row};
    use std::collections::BTreeMap;

    /// Rows of several tables, in an order that is not that of their keys; some of them twice.
    fn rows(shift: usize) -> Rows {
        let mut rows = Rows::default();
        for (name, count) in [("tag", 900), ("resident", 700), ("grid", 3), ("device", 0)] {
            let table = civil::table(name).unwrap();
            for at in 0..count {
                let number = (at + shift) * 7_919 % count;
                let mut row = vec![Cell::Null; table.columns.len()];
                row[0] = Cell::text(format!("居民-{}", number / 3));
                row[1] = Cell::text(format!("{}", number % 3));
                if name == "tag" {
                    row[2] = Cell::Int(1);
                } else {
                    row[0] = Cell::text(format!("k{number}"));
                }
                let long = if number == 5 { 9_000 } else { number % 40 };
                row[3] = match row[3].clone() {
                    _ if name == "grid" => Cell::Int(number as i64),
                    _ => Cell::text("长".repeat(long)),
                };
                rows.upsert(table, &row).unwrap();
                rows.upsert(table, &row).unwrap();
            }
        }
        rows
    }

    /// As snapshots have had it since their version 5.
    fn as_ever(rows: &Rows) -> BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut tables = BTreeMap::new();
        for table in civil::TABLES.iter().filter(|table| table.mode == Mode::Reference) {
            let keyed = |row: Vec<Cell>| (table.key_of(&row).unwrap(), encode_row(&row).unwrap());
            let all: BTreeMap<_, _> = rows.scan(table.name).map(keyed).collect();
            if !all.is_empty() {
                tables.insert(table.name.to_owned(), all);
            }
        }
        tables
    }

    #[test]
    fn a_snapshot_says_what_it_always_said_however_the_rows_lie() {
        let (one, other) = (rows(0), rows(311));
        let bytes = postcard::to_stdvec(&one.freeze()).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(&other.freeze()).unwrap());
        assert_eq!(bytes, postcard::to_stdvec(&as_ever(&one)).unwrap());
        let again: Rows = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(postcard::to_stdvec(&again.freeze()).unwrap(), bytes);
        // Rows that come in the order of their keys fill their pages.
        assert!(again.heap_bytes() < one.heap_bytes());
        for key in ["k0", "k5", "k699", "k700", ""] {
            let want = one.get("resident", key.as_bytes());
            assert_eq!(again.get("resident", key.as_bytes()), want, "{key}");
            let cells = |rows: &dyn RowSource| {
                let at = civil::TABLES.iter().position(|table| table.name == "resident").unwrap();
                rows.row(at, Key::of(key)).map(|cells| format!("{:?}", cells.collect::<Vec<_>>()))
            };
            assert_eq!(cells(&one), cells(&one.freeze()), "{key}");
            assert_eq!(cells(&one).is_some(), want.is_some(), "{key}");
        }
    }

    #[test]
    fn a_frozen_row_stays_while_the_log_goes_on() {
        let mut live = rows(0);
        let bytes = postcard::to_stdvec(&live.freeze()).unwrap();
        let frozen = live.freeze();
        let table = civil::table("resident").unwrap();
        for at in 0..700 {
            let mut row = live.get("resident", format!("k{at}").as_bytes()).unwrap();
            row[7] = Cell::text(format!("h{}", at % 200));
            assert!(live.upsert(table, &row).unwrap());
        }
        assert_eq!(postcard::to_stdvec(&frozen).unwrap(), bytes);
        assert_ne!(postcard::to_stdvec(&live.freeze()).unwrap(), bytes);
    }

    #[test]
    fn damage_is_refused_with_a_word() {
        let bytes = postcard::to_stdvec(&rows(0).freeze()).unwrap();
        for at in (0..bytes.len()).step_by(1_999) {
            assert!(postcard::from_bytes::<Rows>(&bytes[..at]).is_err());
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x55;
            // Read or refused; a key that is not its row's is refused.
            let _ = postcard::from_bytes::<Rows>(&wrong);
        }
        let table = civil::table("grid").unwrap();
        let row = encode_row(&vec![Cell::text("g"); table.columns.len()]).unwrap();
        let foreign = BTreeMap::from([("grid", BTreeMap::from([("g", row)]))]);
        let said = postcard::from_bytes::<Rows>(&postcard::to_stdvec(&foreign).unwrap());
        assert!(said.is_err());
        let unknown = BTreeMap::from([("no_table", BTreeMap::<&str, &str>::new())]);
        assert!(postcard::from_bytes::<Rows>(&postcard::to_stdvec(&unknown).unwrap()).is_err());
    }
}
