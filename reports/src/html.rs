//! A page that reads on a screen and prints on A4, with nothing from outside it.

use crate::chart::Plot;
use crate::svg::draw;
use crate::words::Label;
use crate::{Language, Rendered};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

impl Rendered<'_> {
    pub fn html(&self) -> String {
        let lang = if self.language == Language::Zh { "zh-CN" } else { "en" };
        let title = escape(self.title());
        let mut out = format!(
            "<!doctype html>\n<html lang=\"{lang}\"><head><meta charset=\"utf-8\">\
             <title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n<p class=\"q\">{}</p>\n",
            escape(self.report.question.of(self.language))
        );
        out.push_str("<dl>\n");
        for (label, text) in self.facts() {
            let _ =
                writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(label), escape(&text));
        }
        out.push_str("</dl>\n");
        for chart in &self.report.charts {
            if let Some(plot) = Plot::of(self, chart) {
                let title = chart.title.of(self.language);
                let picture = draw(chart.kind, title, &plot);
                let _ = writeln!(
                    out,
                    "<figure><figcaption>{}</figcaption>\n{picture}</figure>",
                    escape(title)
                );
            }
        }
        self.push_table(&mut out);
        out + "</body></html>\n"
    }

    fn push_table(&self, out: &mut String) {
        if self.answer.rows.is_empty() {
            let _ = writeln!(out, "<p class=\"none\">{}</p>", Label::NoRows.of(self.language));
            return;
        }
        out.push_str("<table><thead><tr>");
        for heading in self.headings() {
            let _ = write!(out, "<th>{}</th>", escape(heading));
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.answer.rows {
            out.push_str("<tr>");
            for (at, value) in row.iter().enumerate() {
                let class = if self.is_numeric(at) { " class=\"n\"" } else { "" };
                let _ = write!(out, "<td{class}>{}</td>", escape(&self.text(at, value)));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table>\n");
    }
}

/// Text that stays text, inside an element and inside a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() && letter != '\n' && letter != '\t' => {
                out.push('\u{fffd}');
            }
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::rendered::fixture::sample;

    #[test]
    fn the_page_says_what_it_shows() {
        let (report, binding, answer) = sample();
        let page = Rendered::new(&report, &binding, &answer, Language::Zh).unwrap().html();
        for part in [
            "<html lang=\"zh-CN\">",
            "<h1>预警&lt;一&gt;</h1>",
            "<div><dt>区划</dt><dd>region = 全部</dd></div>",
            "<div><dt>日志序号</dt><dd>42</dd></div>",
            "<div><dt>查询时间</dt><dd>2026-11-18 19:06 +08:00</dd></div>",
            "<tr><th>类别</th><th>数量</th><th>占比</th><th>金额（元）</th><th>seen</th></tr></thead>",
            "<tr><td>烟感</td><td class=\"n\">12,345</td><td class=\"n\">50.0%</td>\
             <td class=\"n\">-1.05</td><td>1970-01-01 08:00</td></tr>",
            "<figcaption>图</figcaption>",
            "thead{display:table-header-group}",
            "size:A4 landscape",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("src=") && !page.contains("url("));
    }

    #[test]
    fn nothing_from_a_table_becomes_markup() {
        let (report, binding, mut answer) = sample();
        let attack = "<script>alert(1)</script>\"'><img onerror=x>\u{0}";
        answer.rows[0][0] = Value::Text(attack.into());
        answer.columns[4].0 = attack.into();
        let page = Rendered::new(&report, &binding, &answer, Language::En).unwrap().html();
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{0}'));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;"), "{page}");
        // Every angle bracket that is left opens or closes a tag of ours.
        assert_eq!(page.matches('<').count(), page.matches('>').count());
    }

    #[test]
    fn an_empty_answer_says_so() {
        let (report, binding, mut answer) = sample();
        answer.rows.clear();
        let page = Rendered::new(&report, &binding, &answer, Language::En).unwrap().html();
        assert!(page.contains("Nothing matches these parameters") && !page.contains("<svg"));
    }
}
