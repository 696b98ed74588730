//! A file of a feed's rows, whatever it is written as, as the lines that the doors take.

use super::output::Failure;
use super::sql::failure;
use super::text_lines::TextLines;
use crate::feeds::cell_text;
use features::civil;
use features::table::Cell;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Where a CSV row says when it was and which it is.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) time: String,
    pub(crate) seq: Option<String>,
    pub(crate) deleted: Option<String>,
}

/// Rows one after the other.
pub(crate) struct Lines {
    name: String,
    rows: Box<dyn Iterator<Item = anyhow::Result<String>> + Send>,
    /// One that did not fit into the last part.
    kept: Option<String>,
}

impl Lines {
    pub(crate) fn open(file: &Path, table: &str, numbers: &Numbers) -> anyhow::Result<Self> {
        let name = file.display().to_string();
        let plain = name.strip_suffix(".gz").unwrap_or(&name).to_owned();
        let rows: Box<dyn Iterator<Item = _> + Send> =
            match plain.rsplit_once('.').map(|(_, extension)| extension) {
                Some("ndjson" | "jsonl" | "json") => Box::new(
                    TextLines::open(file)?
                        .map(|line| Ok(line?.1))
                        .filter(|line| line.as_ref().map_or(true, |line| !line.trim().is_empty())),
                ),
                Some("csv") => Box::new(csv(TextLines::open(file)?, numbers)?),
                Some("parquet") if plain == name => Box::new(parquet(file, table)?),
                _ => {
                    let said = format!("{name}: give a .ndjson, .csv or .parquet file");
                    return Err(Failure::usage(said).into());
                }
            };
        Ok(Self { name, rows, kept: None })
    }

    /// The next rows, at most so many and so many bytes of them; none at the end.
    pub(crate) fn take(&mut self, rows: usize, bytes: usize) -> anyhow::Result<Vec<String>> {
        let (mut part, mut size) = (Vec::new(), 0);
        while part.len() < rows {
            let next = match self.kept.take() {
                Some(line) => Some(line),
                None => self
                    .rows
                    .next()
                    .transpose()
                    .map_err(|error| Failure::refused(format!("{}: {error}", self.name)))?,
            };
            let Some(line) = next else { break };
            if size + line.len() > bytes && !part.is_empty() {
                self.kept = Some(line);
                break;
            }
            size += line.len();
            part.push(line);
        }
        Ok(part)
    }
}

/// Rows of a CSV file with a header, quoted as RFC 4180 says, each on a line of its own.
fn csv(
    mut lines: TextLines,
    numbers: &Numbers,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<String>> + Send + use<>> {
    let (_, header) = lines.next().transpose()?.unwrap_or_default();
    let names = crate::replay::cells(&header).map_err(Failure::refused)?;
    let find = |name: &str| {
        let found = names.iter().position(|each| each == name);
        found.ok_or_else(|| {
            Failure::usage(format!("the file has no column {name}; it has {}", names.join(", ")))
        })
    };
    let time = find(&numbers.time)?;
    let seq = numbers.seq.as_deref().map(find).transpose()?;
    let deleted = numbers.deleted.as_deref().map(find).transpose()?;
    let filled =
        lines.filter(|line| line.as_ref().map_or(true, |(_, text)| !text.trim().is_empty()));
    Ok(filled.zip(1_u64..).map(move |(line, at)| {
        let cells =
            crate::replay::cells(&line?.1).map_err(|said| anyhow::anyhow!("row {at}: {said}"))?;
        let told = |at: usize| cells.get(at).map_or("", String::as_str);
        let number = match seq {
            Some(column) => told(column)
                .parse()
                .map_err(|_| anyhow::anyhow!("row {at}: {:?} is no number", told(column)))?,
            None => at,
        };
        let row: Map<String, Value> = names
            .iter()
            .zip(&cells)
            .enumerate()
            .filter(|(at, (_, cell))| {
                *at != time && ![seq, deleted].contains(&Some(*at)) && !cell.is_empty()
            })
            .map(|(_, (name, cell))| (name.clone(), json!(cell)))
            .collect();
        let mut line = json!({ "seq": number, "time": told(time), "row": row });
        if let Some(column) = deleted {
            line["deleted"] = match told(column).trim() {
                "true" | "1" => json!(true),
                "" | "false" | "0" => json!(false),
                other => anyhow::bail!("row {at}: {other:?} is neither true nor false"),
            };
        }
        Ok(line.to_string())
    }))
}

/// Rows of a table's own layout; `as_of` says when.
fn parquet(
    file: &Path,
    table: &str,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<String>> + Send + use<>> {
    let Some(table) = civil::table(table) else {
        return Err(Failure::refused(format!("there is no table {table:?}")).into());
    };
    let rows = flight::read_parquet(file, table).map_err(|error| failure(&error))?;
    let kept = ["src_dept", "as_of", "log_index"];
    let as_of = table.position("as_of");
    Ok(rows.into_iter().zip(1_u64..).map(move |(cells, seq)| {
        let Some(Cell::Time(time_us)) = as_of.and_then(|at| cells.get(at)) else {
            anyhow::bail!("row {seq} has no as_of");
        };
        let named = table.columns.iter().zip(&cells);
        let row: Map<String, Value> = named
            .filter(|(column, cell)| **cell != Cell::Null && !kept.contains(&column.name))
            .map(|(column, cell)| (column.name.to_owned(), cell_text(cell)))
            .collect();
        Ok(json!({ "seq": seq, "time_us": time_us, "row": row }).to_string())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, content: &str, seq: Option<&str>) -> anyhow::Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        let numbers = Numbers {
            time: "when".to_owned(),
            seq: seq.map(str::to_owned),
            deleted: content.contains("gone").then(|| "gone".to_owned()),
        };
        let mut lines = Lines::open(&file, "resident", &numbers)?;
        let mut all = Vec::new();
        loop {
            let part = lines.take(2, 40)?;
            if part.is_empty() {
                return Ok(all);
            }
            all.extend(part);
        }
    }

    #[test]
    fn a_csv_file_becomes_lines() {
        let csv = "\u{feff}resident_key,living,when,n\nr1,\"alone, mostly\",2026-01-01T00:00:00Z,9\n\nr2,,2026-01-02T00:00:00Z,10\n";
        let numbered = lines("a.csv", csv, Some("n")).unwrap();
        let first: Value = serde_json::from_str(&numbered[0]).unwrap();
        let row = json!({ "resident_key": "r1", "living": "alone, mostly" });
        assert_eq!(first, json!({ "seq": 9, "time": "2026-01-01T00:00:00Z", "row": row }));
        let counted: Value = serde_json::from_str(&lines("a.csv", csv, None).unwrap()[1]).unwrap();
        assert_eq!(counted["seq"], 2);
        assert_eq!(counted["row"], json!({ "resident_key": "r2", "n": "10" }));
        assert!(lines("a.csv", "x,y\n", None).unwrap_err().to_string().contains("when"));
    }

    #[test]
    fn a_csv_column_says_what_was_taken_back() {
        let csv =
            "resident_key,when,gone\nr1,2026-01-01T00:00:00Z,1\nr2,2026-01-01T00:00:00Z,\nr3,x,y\n";
        let numbers = lines("a.csv", csv, None).unwrap_err().to_string();
        assert!(numbers.contains("row 3") && numbers.contains("\"y\""), "{numbers}");
        let all = lines("a.csv", csv.rsplit_once("r3").unwrap().0, None).unwrap();
        let told: Vec<Value> = all
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["deleted"].clone())
            .collect();
        assert_eq!(told, [json!(true), json!(false)]);
    }

    #[test]
    fn ndjson_is_passed_on_and_other_files_are_refused() {
        assert_eq!(lines("a.ndjson", "{1}\n\n{2}\n{3}", None).unwrap(), ["{1}", "{2}", "{3}"]);
        assert!(lines("a.xml", "", None).unwrap_err().to_string().contains(".csv"));
    }
}
