//! The numbers of a chart, taken out of an answer.

use crate::words::Label;
use crate::{Chart, Rendered};

/// The most positions along the axis; the rest are not drawn.
const LABELS_MAX: usize = 40;
/// The most series; what comes after shares the last one.
const SERIES_MAX: usize = 8;

/// One value per series and label; what has no number is absent, not zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plot {
    pub(crate) labels: Vec<String>,
    pub(crate) series: Vec<Series>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) values: Vec<Option<f64>>,
}

impl Plot {
    /// Rows with the same label and series add up, in the order of the answer.
    pub(crate) fn of(rendered: &Rendered<'_>, chart: &Chart) -> Option<Self> {
        let answer = rendered.answer;
        let position = |name: &str| answer.columns.iter().position(|(each, _)| each == name);
        let x = position(&chart.x)?;
        let split = match &chart.split {
            Some(name) => Some(position(name)?),
            None => None,
        };
        let mut plot = Self::default();
        for name in &chart.y {
            let y = position(name)?;
            let heading = rendered.headings().nth(y).unwrap_or(name).to_owned();
            let scale = if rendered.format(y) == crate::Format::Yuan { 0.01 } else { 1.0 };
            for row in &answer.rows {
                let Some(label) = plot.label(&rendered.text(x, &row[x])) else { continue };
                let series =
                    split.map_or_else(|| heading.clone(), |at| rendered.text(at, &row[at]));
                let series = plot.series_of(series, rendered);
                let value = row[y].as_number().map(|number| number * scale);
                plot.add(series, label, value);
            }
        }
        let width = plot.labels.len();
        for series in &mut plot.series {
            series.values.resize(width, None);
        }
        (width > 0).then_some(plot)
    }

    fn label(&mut self, text: &str) -> Option<usize> {
        if let Some(at) = self.labels.iter().position(|label| label == text) {
            return Some(at);
        }
        (self.labels.len() < LABELS_MAX).then(|| {
            self.labels.push(text.to_owned());
            self.labels.len() - 1
        })
    }

    fn series_of(&mut self, name: String, rendered: &Rendered<'_>) -> usize {
        if let Some(at) = self.series.iter().position(|series| series.name == name) {
            return at;
        }
        match self.series.len() {
            SERIES_MAX => return SERIES_MAX - 1,
            last if last == SERIES_MAX - 1 => {
                let name = Label::Other.of(rendered.language).to_owned();
                self.series.push(Series { name, values: Vec::new() });
            }
            _ => self.series.push(Series { name, values: Vec::new() }),
        }
        self.series.len() - 1
    }

    fn add(&mut self, series: usize, label: usize, value: Option<f64>) {
        let values = &mut self.series[series].values;
        if values.len() <= label {
            values.resize(label + 1, None);
        }
        if let Some(value) = value {
            values[label] = Some(values[label].unwrap_or(0.0) + value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendered::fixture::sample;
    use crate::{Language, Value};

    #[test]
    fn equal_labels_add_up_and_a_missing_number_is_no_zero() {
        let (report, binding, mut answer) = sample();
        let repeated = answer.rows[0].clone();
        answer.rows.push(repeated);
        answer.rows[1][1] = Value::Null;
        let rendered = Rendered::new(&report, &binding, &answer, Language::Zh).unwrap();
        let plot = Plot::of(&rendered, &report.charts[0]).unwrap();
        assert_eq!(plot.labels[0], "烟感");
        assert_eq!(plot.series[0].values, [Some(24_690.0), None]);
    }

    #[test]
    fn many_series_end_in_other() {
        let (mut report, binding, mut answer) = sample();
        report.charts[0].split = Some("seen".into());
        let row = answer.rows[0].clone();
        answer.rows = (0..20)
            .map(|minute| {
                let mut row = row.clone();
                row[1] = Value::Int(1);
                row[4] = Value::Time(minute * 60_000_000);
                row
            })
            .collect();
        let rendered = Rendered::new(&report, &binding, &answer, Language::En).unwrap();
        let plot = Plot::of(&rendered, &report.charts[0]).unwrap();
        assert_eq!(plot.series.len(), SERIES_MAX);
        assert_eq!((plot.series[7].name.as_str(), plot.series[7].values[0]), ("other", Some(13.0)));
    }
}
