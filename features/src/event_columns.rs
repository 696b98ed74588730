//! Rows of the table `sensor_event` as columns: there is one for every event, so no cell of them has
//! an allocation of its own.

use crate::table::Cell;

/// What one event leaves in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventRow<'a> {
    pub source: &'a str,
    pub event_id: &'a str,
    pub device_id: &'a str,
    /// Nothing where nobody knows where the device hangs.
    pub dwelling_id: Option<&'a str>,
    pub event_time_us: i64,
    pub kind: &'a str,
    pub value: f64,
    pub unit: &'a str,
    pub quality: &'a str,
    pub received_us: i64,
    pub boot_id: u32,
    pub seq: u64,
    pub log_index: u64,
}

/// Texts of one column, end to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    text: String,
    /// Where each text begins in `text`, and where the last one ends.
    offsets: Vec<i32>,
}

/// The columns of rows of `sensor_event`, in the order of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventColumns {
    pub source: Texts,
    pub event_id: Texts,
    pub device_id: Texts,
    /// Empty where `has_dwelling` is false.
    pub dwelling_id: Texts,
    pub has_dwelling: Vec<bool>,
    pub event_time_us: Vec<i64>,
    pub kind: Texts,
    pub value: Vec<f64>,
    pub unit: Texts,
    pub quality: Texts,
    pub received_us: Vec<i64>,
    pub boot_id: Vec<i64>,
    pub seq: Vec<i64>,
    pub log_index: Vec<i64>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { text: String::new(), offsets: vec![0] }
    }
}

impl Texts {
    fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { text: String::with_capacity(rows * bytes), offsets }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.offsets.push(self.text.len() as i32);
    }

    fn absorb(&mut self, other: &Self) {
        let base = self.text.len() as i32;
        self.text.push_str(&other.text);
        self.offsets.extend(other.offsets.iter().skip(1).map(|offset| base + offset));
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn offsets(&self) -> &[i32] {
        &self.offsets
    }

    pub fn get(&self, at: usize) -> Option<&str> {
        let (from, to) = (*self.offsets.get(at)?, *self.offsets.get(at + 1)?);
        self.text.get(from as usize..to as usize)
    }
}

impl EventColumns {
    /// The texts of one column have at most so many bytes; no offset is larger.
    pub const BYTES_MAX: usize = 1 << 30;

    /// Room for so many usual rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            source: Texts::with_capacity(rows, 20),
            event_id: Texts::with_capacity(rows, 24),
            device_id: Texts::with_capacity(rows, 20),
            dwelling_id: Texts::with_capacity(rows, 16),
            has_dwelling: Vec::with_capacity(rows),
            event_time_us: Vec::with_capacity(rows),
            kind: Texts::with_capacity(rows, 12),
            value: Vec::with_capacity(rows),
            unit: Texts::with_capacity(rows, 5),
            quality: Texts::with_capacity(rows, 8),
            received_us: Vec::with_capacity(rows),
            boot_id: Vec::with_capacity(rows),
            seq: Vec::with_capacity(rows),
            log_index: Vec::with_capacity(rows),
        }
    }

    pub fn len(&self) -> usize {
        self.value.len()
    }

    pub fn is_empty(&self) -> bool {
        self.value.is_empty()
    }

    /// About how many bytes these rows take in memory.
    pub fn bytes(&self) -> usize {
        let fixed = 6 * size_of::<i64>() + size_of::<bool>() + 7 * size_of::<i32>();
        let texts: usize = self.texts().iter().map(|column| column.text.len()).sum();
        self.len() * fixed + texts
    }

    fn texts(&self) -> [&Texts; 7] {
        [
            &self.source,
            &self.event_id,
            &self.device_id,
            &self.dwelling_id,
            &self.kind,
            &self.unit,
            &self.quality,
        ]
    }

    pub fn push(&mut self, row: &EventRow<'_>) {
        self.source.push(row.source);
        self.event_id.push(row.event_id);
        self.device_id.push(row.device_id);
        self.dwelling_id.push(row.dwelling_id.unwrap_or_default());
        self.has_dwelling.push(row.dwelling_id.is_some());
        self.event_time_us.push(row.event_time_us);
        self.kind.push(row.kind);
        self.value.push(row.value);
        self.unit.push(row.unit);
        self.quality.push(row.quality);
        self.received_us.push(row.received_us);
        self.boot_id.push(i64::from(row.boot_id));
        self.seq.push(row.seq as i64);
        self.log_index.push(row.log_index as i64);
    }

    /// Puts other rows behind these.
    pub fn absorb(&mut self, other: &Self) {
        self.source.absorb(&other.source);
        self.event_id.absorb(&other.event_id);
        self.device_id.absorb(&other.device_id);
        self.dwelling_id.absorb(&other.dwelling_id);
        self.has_dwelling.extend_from_slice(&other.has_dwelling);
        self.event_time_us.extend_from_slice(&other.event_time_us);
        self.kind.absorb(&other.kind);
        self.value.extend_from_slice(&other.value);
        self.unit.absorb(&other.unit);
        self.quality.absorb(&other.quality);
        self.received_us.extend_from_slice(&other.received_us);
        self.boot_id.extend_from_slice(&other.boot_id);
        self.seq.extend_from_slice(&other.seq);
        self.log_index.extend_from_slice(&other.log_index);
    }

    /// One row as cells, in the order of the table's columns.
    pub fn row(&self, at: usize) -> Option<Vec<Cell>> {
        let text = |column: &Texts| column.get(at).map(Cell::text);
        let int = |column: &[i64]| column.get(at).copied();
        let dwelling = if *self.has_dwelling.get(at)? { text(&self.dwelling_id) } else { None };
        Some(vec![
            text(&self.source)?,
            text(&self.event_id)?,
            text(&self.device_id)?,
            dwelling.unwrap_or(Cell::Null),
            Cell::Time(int(&self.event_time_us)?),
            text(&self.kind)?,
            Cell::Real(self.value.get(at).copied()?),
            text(&self.unit)?,
            text(&self.quality)?,
            Cell::Time(int(&self.received_us)?),
            Cell::Int(int(&self.boot_id)?),
            Cell::Int(int(&self.seq)?),
            Cell::Int(int(&self.log_index)?),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::civil;

    fn row(id: &str, dwelling_id: Option<&'static str>) -> EventColumns {
        let mut columns = EventColumns::default();
        columns.push(&EventRow {
            source: "网关",
            event_id: id,
            device_id: "d",
            dwelling_id,
            event_time_us: 1,
            kind: "door",
            value: 2.5,
            unit: "",
            quality: "good",
            received_us: 3,
            boot_id: 4,
            seq: u64::MAX,
            log_index: 6,
        });
        columns
    }

    #[test]
    fn rows_fit_the_table_and_stay_themselves_behind_others() {
        let table = civil::table("sensor_event").unwrap();
        let (one, two) = (row("e-1", Some("w")), row("e-22", None));
        let mut all = one.clone();
        all.absorb(&two);
        assert_eq!((all.len(), all.row(2)), (2, None));
        assert_eq!((all.row(0), all.row(1)), (one.row(0), two.row(0)));
        let cells = all.row(1).unwrap();
        assert_eq!(table.check(&cells), Ok(()));
        assert_eq!(cells[table.position("event_id").unwrap()], Cell::text("e-22"));
        assert_eq!(cells[table.position("dwelling_id").unwrap()], Cell::Null);
        assert_eq!(all.bytes(), one.bytes() + two.bytes());
    }
}
