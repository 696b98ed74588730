//! A workbook: one sheet of typed cells that prints well, one sheet that says what it is.

use crate::calendar::LOCAL_OFFSET_US;
use crate::words::Label;
use crate::{Error, Format as CellFormat, Rendered, Value};
use rust_xlsxwriter::{
    Color, DocProperties, ExcelDateTime, Format, FormatAlign, FormatBorder, Workbook, Worksheet,
    XlsxError,
};

/// Column widths in characters; a Han character takes two.
const WIDTH_MIN: usize = 8;
const WIDTH_MAX: usize = 48;
/// Rows that are looked at to find a column's width.
const WIDTH_ROWS_MAX: usize = 500;
/// The most characters a cell can hold.
const CELL_CHARS_MAX: usize = 32_767;
/// Days between 1899-12-30, where a sheet's dates begin, and 1970-01-01.
const SHEET_EPOCH_DAYS: f64 = 25_569.0;

impl Rendered<'_> {
    pub fn xlsx(&self) -> Result<Vec<u8>, Error> {
        self.workbook().map_err(|error| Error::Workbook { reason: error.to_string() })
    }

    fn workbook(&self) -> Result<Vec<u8>, XlsxError> {
        let mut workbook = Workbook::new();
        // The time of the question, not of the writing: the same answer gives the same bytes.
        let asked = ExcelDateTime::from_timestamp(self.answer.asked_us.div_euclid(1_000_000))?;
        let properties = DocProperties::new().set_title(self.title()).set_creation_datetime(&asked);
        workbook.set_properties(&properties);
        self.data_sheet(workbook.add_worksheet())?;
        self.about_sheet(workbook.add_worksheet())?;
        workbook.save_to_buffer()
    }

    fn data_sheet(&self, sheet: &mut Worksheet) -> Result<(), XlsxError> {
        sheet.set_name(Label::Data.of(self.language))?;
        let heading = Format::new()
            .set_bold()
            .set_text_wrap()
            .set_align(FormatAlign::VerticalCenter)
            .set_background_color(Color::RGB(0x00DC_E6F1))
            .set_border_bottom(FormatBorder::Thin);
        for (at, text) in self.headings().enumerate() {
            let column = at as u16;
            sheet.write_string_with_format(0, column, text, &heading)?;
            sheet.set_column_width(column, self.width(at, text) as f64)?;
            let format = column_format(self.format(at));
            for (below, row) in self.answer.rows.iter().enumerate() {
                self.cell(sheet, (below as u32 + 1, column), &row[at], &format)?;
            }
        }
        let last_column = self.answer.columns.len().saturating_sub(1) as u16;
        sheet.set_freeze_panes(1, 0)?;
        sheet.autofilter(0, 0, self.answer.rows.len() as u32, last_column)?;
        sheet.set_repeat_rows(0, 0)?;
        sheet.set_paper_size(9).set_landscape().set_print_fit_to_pages(1, 0);
        sheet.set_footer(format!(
            "&L{} {}&R&P / &N",
            Label::LogIndex.of(self.language),
            self.answer.log_index
        ));
        Ok(())
    }

    fn about_sheet(&self, sheet: &mut Worksheet) -> Result<(), XlsxError> {
        sheet.set_name(Label::About.of(self.language))?;
        sheet.set_column_width(0, 40)?.set_column_width(1, 60)?;
        sheet.write_string_with_format(0, 0, self.title(), &Format::new().set_bold())?;
        sheet.write_string(1, 0, Label::Question.of(self.language))?;
        sheet.write_string(1, 1, self.report.question.of(self.language))?;
        for (at, (label, text)) in self.facts().into_iter().enumerate() {
            sheet.write_string(at as u32 + 2, 0, label)?;
            sheet.write_string(at as u32 + 2, 1, text)?;
        }
        Ok(())
    }

    fn cell(
        &self,
        sheet: &mut Worksheet,
        (row, column): (u32, u16),
        value: &Value,
        format: &Format,
    ) -> Result<(), XlsxError> {
        match value {
            Value::Null => {}
            Value::Int(_) | Value::Real(_) => {
                if let Some(number) = value.as_number() {
                    let yuan = self.format(usize::from(column)) == CellFormat::Yuan;
                    let number = if yuan { number / 100.0 } else { number };
                    sheet.write_number_with_format(row, column, number, format)?;
                }
            }
            Value::Bool(value) => {
                sheet.write_boolean(row, column, *value)?;
            }
            Value::Date(days) => {
                let serial = f64::from(*days) + SHEET_EPOCH_DAYS;
                let format = Format::new().set_num_format("yyyy-mm-dd");
                sheet.write_number_with_format(row, column, serial, &format)?;
            }
            Value::Time(time_us) => {
                let local_us = time_us.saturating_add(LOCAL_OFFSET_US);
                let serial = local_us as f64 / 86_400e6 + SHEET_EPOCH_DAYS;
                let format = Format::new().set_num_format("yyyy-mm-dd hh:mm:ss");
                sheet.write_number_with_format(row, column, serial, &format)?;
            }
            Value::Text(_) | Value::List(_) => {
                // Written as a string, a leading `=` stays text.
                let text = self.text(usize::from(column), value);
                let text: String = text.chars().take(CELL_CHARS_MAX).collect();
                sheet.write_string(row, column, text)?;
            }
        }
        Ok(())
    }

    fn width(&self, column: usize, heading: &str) -> usize {
        let cells = self.answer.rows.iter().take(WIDTH_ROWS_MAX);
        let widest = cells.map(|row| width_of(&self.text(column, &row[column]))).max();
        (widest.unwrap_or(0).max(width_of(heading)) + 2).clamp(WIDTH_MIN, WIDTH_MAX)
    }
}

/// Characters across: two for Han, kana, Hangul and full-width forms.
fn width_of(text: &str) -> usize {
    text.chars()
        .map(|letter| match u32::from(letter) {
            0x1100..=0x115F
            | 0x2E80..=0xA4CF
            | 0xAC00..=0xD7A3
            | 0xF900..=0xFAFF
            | 0xFE30..=0xFE6F
            | 0xFF00..=0xFF60
            | 0xFFE0..=0xFFE6
            | 0x2_0000..=0x3_FFFD => 2,
            _ => 1,
        })
        .sum()
}

fn column_format(format: CellFormat) -> Format {
    Format::new().set_num_format(match format {
        CellFormat::Plain | CellFormat::Term => "General",
        CellFormat::Count => "#,##0",
        CellFormat::Number => "#,##0.0",
        CellFormat::Percent => "0.0%",
        CellFormat::Yuan => "#,##0.00",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;
    use crate::rendered::fixture::sample;

    #[test]
    fn the_same_answer_gives_the_same_bytes() {
        let (report, binding, mut answer) = sample();
        let write = |answer: &crate::Answer| {
            Rendered::new(&report, &binding, answer, Language::Zh).unwrap().xlsx().unwrap()
        };
        let first = write(&answer);
        assert_eq!(first, write(&answer.clone()));
        assert!(first.starts_with(b"PK"));
        answer.log_index += 1;
        assert_ne!(first, write(&answer));
    }

    #[test]
    fn no_rows_make_a_sheet_of_headings() {
        let (report, binding, mut answer) = sample();
        answer.rows.clear();
        assert!(Rendered::new(&report, &binding, &answer, Language::En).unwrap().xlsx().is_ok());
    }

    #[test]
    fn a_han_character_is_two_wide() {
        assert_eq!(width_of("ab"), 2);
        assert_eq!(width_of("金额（元）"), 10);
        let (report, binding, answer) = sample();
        let rendered = Rendered::new(&report, &binding, &answer, Language::Zh).unwrap();
        assert_eq!(rendered.width(3, "金额（元）"), 12);
        assert_eq!(rendered.width(1, "x"), 8);
    }
}
