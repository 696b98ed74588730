//! Markdown for a terminal, a mail or a ticket: one table and what it was asked with.

use crate::Rendered;
use crate::words::Label;
use std::fmt::Write;

impl Rendered<'_> {
    pub fn markdown(&self) -> String {
        let mut out = format!(
            "# {}\n\n{}\n\n",
            escape(self.title()),
            escape(self.report.question.of(self.language))
        );
        for (label, text) in self.facts() {
            let _ = writeln!(out, "- {}: {}", escape(label), escape(&text));
        }
        out.push('\n');
        if self.answer.rows.is_empty() {
            let _ = writeln!(out, "{}", Label::NoRows.of(self.language));
            return out;
        }
        let headings: Vec<String> = self.headings().map(escape).collect();
        let _ = write!(out, "| {} |\n|", headings.join(" | "));
        for column in 0..headings.len() {
            out += if self.is_numeric(column) { " ---: |" } else { " --- |" };
        }
        out.push('\n');
        for row in &self.answer.rows {
            let cells: Vec<String> =
                row.iter().enumerate().map(|(at, value)| escape(&self.text(at, value))).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        out
    }
}

/// Text that neither leaves its cell nor becomes markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '[' | ']' => {
                out.push('\\');
                out.push(letter);
            }
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::rendered::fixture::sample;
    use crate::{Language, Rendered};

    #[test]
    fn the_whole_page() {
        let (report, binding, mut answer) = sample();
        let short = &report.sha256[..12];
        let rendered = Rendered::new(&report, &binding, &answer, Language::En).unwrap();
        assert_eq!(
            rendered.markdown(),
            format!(
                "# Alerts\n\nHow many?\n\n- region: region = all\n- Asked at: 2026-11-18 19:06 +08:00\n\
                 - Log index: 42\n- Definition: alerts @ {short}\n- Rows: 2\n\n\
                 | Kind | Count | Share | Yuan | seen |\n| --- | ---: | ---: | ---: | --- |\n\
                 | smoke | 12,345 | 50.0% | -1.05 | 1970-01-01 08:00 |\n\
                 | =HYPERLINK(\"x\"),&lt;b&gt;\\|&amp; 2 | 7 |  |  |  |\n"
            )
        );
        answer.rows.clear();
        let empty = Rendered::new(&report, &binding, &answer, Language::En).unwrap().markdown();
        assert!(empty.ends_with("Nothing matches these parameters\n"), "{empty}");
    }
}
