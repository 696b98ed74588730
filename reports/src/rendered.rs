//! An answer made ready for a reader: checked once, then written in any of the four forms.

use crate::calendar::{show_date, show_time};
use crate::words::{Label, term};
use crate::{Answer, Binding, Column, Error, Format, Kind, Language, Report, Value};

/// The most rows a rendered report may have.
pub const ROWS_MAX: usize = 100_000;

/// A form that a report can be had in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Html,
    Xlsx,
    Csv,
    Markdown,
}

impl Output {
    /// For the `Content-Type` header.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Markdown => "text/markdown; charset=utf-8",
        }
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Xlsx => "xlsx",
            Self::Csv => "csv",
            Self::Markdown => "md",
        }
    }
}

impl std::str::FromStr for Output {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "html" => Ok(Self::Html),
            "xlsx" => Ok(Self::Xlsx),
            "csv" => Ok(Self::Csv),
            "md" | "markdown" => Ok(Self::Markdown),
            _ => Err(Error::Choice {
                what: "report format",
                asked: text.to_owned(),
                choices: "html, xlsx, csv, md",
            }),
        }
    }
}

/// A report, what it was asked with, and its answer. Every form is a function of these: the same
/// three give the same bytes.
#[derive(Clone, Copy, Debug)]
pub struct Rendered<'a> {
    pub(crate) report: &'a Report,
    pub(crate) binding: &'a Binding,
    pub(crate) answer: &'a Answer,
    pub(crate) language: Language,
}

impl<'a> Rendered<'a> {
    pub fn new(
        report: &'a Report,
        binding: &'a Binding,
        answer: &'a Answer,
        language: Language,
    ) -> Result<Self, Error> {
        if answer.rows.len() > ROWS_MAX {
            return Err(Error::TooManyRows { got: answer.rows.len(), max: ROWS_MAX });
        }
        let want = answer.columns.len();
        match answer.rows.iter().position(|row| row.len() != want) {
            Some(row) => Err(Error::Ragged { row, want, got: answer.rows[row].len() }),
            None => Ok(Self { report, binding, answer, language }),
        }
    }

    pub fn write(&self, output: Output) -> Result<Vec<u8>, Error> {
        match output {
            Output::Html => Ok(self.html().into_bytes()),
            Output::Xlsx => self.xlsx(),
            Output::Csv => Ok(self.csv().into_bytes()),
            Output::Markdown => Ok(self.markdown().into_bytes()),
        }
    }

    /// A name for the file: the report, the index it shows, the form.
    pub fn file_name(&self, output: Output) -> String {
        format!("{}-{}.{}", self.report.id, self.answer.log_index, output.extension())
    }

    pub(crate) fn title(&self) -> &str {
        self.report.title.of(self.language)
    }

    /// Titles of the answer's columns, in its order.
    pub(crate) fn headings(&self) -> impl Iterator<Item = &str> {
        self.answer.columns.iter().map(|(name, _)| match self.report.column(name) {
            Some(column) => column.title.of(self.language),
            None => name,
        })
    }

    pub(crate) fn format(&self, column: usize) -> Format {
        let named = self.answer.columns.get(column).and_then(|(name, _)| self.report.column(name));
        named.map_or(Format::Plain, |Column { format, .. }| *format)
    }

    /// Numbers stand to the right.
    pub(crate) fn is_numeric(&self, column: usize) -> bool {
        matches!(self.answer.columns.get(column), Some((_, Kind::Int | Kind::Real)))
    }

    /// Parameters, time, index and definition, as pairs of label and text.
    pub(crate) fn facts(&self) -> Vec<(&str, String)> {
        let language = self.language;
        let mut facts: Vec<(&str, String)> = Vec::new();
        for (name, text) in &self.binding.shown {
            let label = self.report.parameter(name).map_or(name.as_str(), |p| p.help.of(language));
            let shown = if text.is_empty() { Label::All.of(language) } else { text };
            facts.push((label, format!("{name} = {shown}")));
        }
        facts.push((
            Label::AskedAt.of(language),
            format!("{} +08:00", show_time(self.answer.asked_us)),
        ));
        facts.push((Label::LogIndex.of(language), self.answer.log_index.to_string()));
        let short = self.report.sha256.get(..12).unwrap_or_default();
        facts.push((Label::Definition.of(language), format!("{} @ {short}", self.report.id)));
        facts.push((Label::Rows.of(language), self.answer.rows.len().to_string()));
        facts
    }

    /// A cell as a person reads it.
    pub(crate) fn text(&self, column: usize, value: &Value) -> String {
        show(value, self.format(column), self.language)
    }
}

pub(crate) fn show(value: &Value, format: Format, language: Language) -> String {
    match (value, format) {
        (Value::Null, _) => String::new(),
        (Value::Real(number), _) if !number.is_finite() => String::new(),
        (Value::Bool(true), _) => Label::Yes.of(language).to_owned(),
        (Value::Bool(false), _) => Label::No.of(language).to_owned(),
        (Value::Text(code), Format::Term) => term(code, language).to_owned(),
        (Value::Text(text), _) => text.clone(),
        (Value::Time(time_us), _) => show_time(*time_us),
        (Value::Date(days), _) => show_date(*days),
        (Value::List(items), _) => {
            let items: Vec<String> =
                items.iter().map(|item| show(item, format, language)).collect();
            items.join("、")
        }
        (Value::Int(fen), Format::Yuan) => {
            let sign = if *fen < 0 { "-" } else { "" };
            let fen = fen.unsigned_abs();
            format!("{sign}{}.{:02}", separate(&(fen / 100).to_string()), fen % 100)
        }
        (Value::Int(number), Format::Count) => separate(&number.to_string()),
        (Value::Int(number), Format::Plain | Format::Term) => number.to_string(),
        (Value::Int(number), _) => show_real(*number as f64, format),
        (Value::Real(number), _) => show_real(*number, format),
    }
}

fn show_real(number: f64, format: Format) -> String {
    match format {
        Format::Percent => format!("{:.1}%", number * 100.0),
        Format::Number => separate(&format!("{number:.1}")),
        Format::Count => separate(&format!("{number:.0}")),
        Format::Yuan => separate(&format!("{:.2}", number / 100.0)),
        Format::Plain | Format::Term => number.to_string(),
    }
}

/// Commas between thousands.
fn separate(number: &str) -> String {
    let (whole, fraction) = number.split_at(number.find('.').unwrap_or(number.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut out = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;
    use std::collections::BTreeMap;

    /// A small report and an answer with everything that can go wrong in text.
    pub(crate) fn sample() -> (Report, Binding, Answer) {
        let report = Report::parse(
            "id='alerts'\ntitle={zh='预警<一>',en='Alerts'}\nquestion={zh='多少？',en='How many?'}\n\
             domain='safety'\nsql='SELECT $region'\n\
             parameters=[{name='region',type='region',default='',help={zh='区划',en='region'}}]\n\
             columns=[{name='kind',title={zh='类别',en='Kind'},format='term'},\n\
             {name='n',title={zh='数量',en='Count'},format='count'},\n\
             {name='share',title={zh='占比',en='Share'},format='percent'},\n\
             {name='fen',title={zh='金额（元）',en='Yuan'},format='yuan'}]\n\
             charts=[{kind='bar',title={zh='图',en='Chart'},x='kind',y=['n']}]",
        )
        .unwrap();
        let binding = report.bind(&BTreeMap::new(), 0).unwrap();
        let columns = [
            ("kind", Kind::Text),
            ("n", Kind::Int),
            ("share", Kind::Real),
            ("fen", Kind::Int),
            ("seen", Kind::Time),
        ];
        let answer = Answer {
            columns: columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec(),
            rows: vec![
                vec![
                    Value::Text("smoke".into()),
                    Value::Int(12_345),
                    Value::Real(0.5),
                    Value::Int(-105),
                    Value::Time(0),
                ],
                vec![
                    Value::Text("=HYPERLINK(\"x\"),<b>|&\n2".into()),
                    Value::Int(7),
                    Value::Real(f64::NAN),
                    Value::Null,
                    Value::Null,
                ],
            ],
            log_index: 42,
            asked_us: 1_795_000_000_000_000,
        };
        (report, binding, answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_read_as_people_write_them() {
        let zh = |value, format| show(&value, format, Language::Zh);
        assert_eq!(zh(Value::Int(1_234_567), Format::Count), "1,234,567");
        assert_eq!(zh(Value::Int(-1_234_567), Format::Yuan), "-12,345.67");
        assert_eq!(zh(Value::Int(-5), Format::Yuan), "-0.05");
        assert_eq!(zh(Value::Real(0.123_45), Format::Percent), "12.3%");
        assert_eq!(zh(Value::Real(-1234.56), Format::Number), "-1,234.6");
        assert_eq!(zh(Value::Real(f64::INFINITY), Format::Number), "");
        assert_eq!(zh(Value::Int(2026), Format::Plain), "2026");
        assert_eq!(zh(Value::Bool(true), Format::Plain), "是");
        assert_eq!(zh(Value::Int(100), Format::Count), "100");
        let list = Value::List(vec![Value::Text("甲".into()), Value::Text("gas".into())]);
        assert_eq!(zh(list, Format::Term), "甲、燃气");
    }

    #[test]
    fn a_ragged_or_endless_answer_is_refused() {
        let (report, binding, mut answer) = fixture::sample();
        answer.rows[1].pop();
        let ragged = Rendered::new(&report, &binding, &answer, Language::Zh).unwrap_err();
        assert_eq!(ragged, Error::Ragged { row: 1, want: 5, got: 4 });
        answer.rows = vec![Vec::new(); ROWS_MAX + 1];
        let many = Rendered::new(&report, &binding, &answer, Language::Zh).unwrap_err();
        assert!(many.to_string().contains("100000"), "{many}");
    }

    #[test]
    fn outputs_are_named() {
        assert_eq!("xlsx".parse(), Ok(Output::Xlsx));
        let said = "pdf".parse::<Output>().unwrap_err().to_string();
        assert_eq!(said, "`pdf` is no report format: use one of html, xlsx, csv, md");
        let (report, binding, answer) = fixture::sample();
        let rendered = Rendered::new(&report, &binding, &answer, Language::Zh).unwrap();
        assert_eq!(rendered.file_name(Output::Csv), "alerts-42.csv");
    }
}
