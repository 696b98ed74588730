//! CSV that a spreadsheet opens in Chinese and never runs.

use crate::{Rendered, Value};

/// What makes a spreadsheet take a cell for a formula.
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

impl Rendered<'_> {
    /// UTF-8 with a byte order mark, lines ended by CRLF. Numbers stand bare, as they are stored.
    pub fn csv(&self) -> String {
        let mut out = String::from('\u{feff}');
        let headings: Vec<String> = self.headings().map(quote_text).collect();
        push_line(&mut out, &headings);
        for row in &self.answer.rows {
            let cells: Vec<String> =
                row.iter().enumerate().map(|(at, value)| self.csv_cell(at, value)).collect();
            push_line(&mut out, &cells);
        }
        out
    }

    fn csv_cell(&self, column: usize, value: &Value) -> String {
        match value {
            // A number is data, not text: no separators, and its own minus sign is no formula.
            Value::Int(_) | Value::Real(_) if self.format(column) == crate::Format::Yuan => {
                self.text(column, value).replace(',', "")
            }
            Value::Int(number) => number.to_string(),
            Value::Real(number) if number.is_finite() => number.to_string(),
            _ => quote_text(&self.text(column, value)),
        }
    }
}

fn push_line(out: &mut String, cells: &[String]) {
    out.push_str(&cells.join(","));
    out.push_str("\r\n");
}

fn quote_text(text: &str) -> String {
    let armed = text.trim_start_matches(' ').starts_with(FORMULA_STARTS);
    if armed {
        format!("\"'{}\"", text.replace('"', "\"\""))
    } else if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;
    use crate::rendered::fixture::sample;

    #[test]
    fn a_formula_stays_text() {
        let (report, binding, answer) = sample();
        let rendered = Rendered::new(&report, &binding, &answer, Language::Zh).unwrap();
        assert_eq!(
            rendered.csv(),
            "\u{feff}类别,数量,占比,金额（元）,seen\r\n\
             烟感,12345,0.5,-1.05,1970-01-01 08:00\r\n\
             \"'=HYPERLINK(\"\"x\"\"),<b>|&\n2\",7,,,\r\n"
        );
    }

    #[test]
    fn every_dangerous_start_is_disarmed() {
        for text in ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "  =1"] {
            assert!(quote_text(text).starts_with("\"'"), "{text:?}");
        }
        assert_eq!(quote_text("a-1"), "a-1");
    }
}
