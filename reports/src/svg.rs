//! Charts as inline SVG: plain shapes, the same text for the same numbers.
//!
//! Coordinates are whole pixels of a 760 × 300 picture, so that no platform prints them otherwise.

use crate::ChartKind;
use crate::chart::{Plot, Series};
use crate::html::escape;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
/// The plotting area inside the picture.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 745.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 240.0;
/// Distinct in print and for the colour-blind.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6b6b6b", "#b8a800"];
const LABEL_CHARS_MAX: usize = 10;

/// The picture; empty where there is nothing above nought to draw.
pub(crate) fn draw(kind: ChartKind, title: &str, plot: &Plot) -> String {
    let top = nice_top(highest(kind, plot));
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\"><title>{0}</title>\n",
        escape(title)
    );
    legend(&mut out, &plot.series);
    match kind {
        ChartKind::Pyramid => pyramid(&mut out, plot, top),
        ChartKind::Bar | ChartKind::Stack | ChartKind::Line => {
            axis(&mut out, plot, top);
            match kind {
                ChartKind::Line => lines(&mut out, plot, top),
                _ => bars(&mut out, plot, top, kind == ChartKind::Stack),
            }
        }
    }
    out + "</svg>\n"
}

/// Bars begin at nought, so what is below nought is drawn as nought.
fn amount(series: &Series, at: usize) -> f64 {
    series.values.get(at).copied().flatten().unwrap_or(0.0).max(0.0)
}

fn highest(kind: ChartKind, plot: &Plot) -> f64 {
    let at_label = |at: usize| {
        let amounts = plot.series.iter().map(|series| amount(series, at));
        if kind == ChartKind::Stack { amounts.sum() } else { amounts.fold(0.0, f64::max) }
    };
    (0..plot.labels.len()).map(at_label).fold(0.0, f64::max)
}

/// The next number with one digit before its noughts, or one and a half.
fn nice_top(highest: f64) -> f64 {
    let mut step = 1e-6;
    while step < highest && step < 1e15 {
        for times in [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0] {
            if step * times >= highest {
                return step * times;
            }
        }
        step *= 10.0;
    }
    if highest > 0.0 { step } else { 1.0 }
}

fn legend(out: &mut String, series: &[Series]) {
    let step = ((RIGHT - LEFT) / series.len().max(1) as f64).min(150.0);
    for (at, each) in series.iter().enumerate() {
        let x = LEFT + step * at as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{x:.0}\" y=\"8\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{:.0}\" y=\"19\">{}</text>",
            COLOURS[at % COLOURS.len()],
            x + 17.0,
            escape(&shorten(&each.name, (step / 9.0) as usize))
        );
    }
}

fn axis(out: &mut String, plot: &Plot, top: f64) {
    for quarter in 0..=4 {
        let y = BOTTOM - (BOTTOM - TOP) * f64::from(quarter) / 4.0;
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.0}H{RIGHT}\" class=\"g\"/><text x=\"{:.0}\" y=\"{:.0}\" class=\"e\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short_number(top * f64::from(quarter) / 4.0)
        );
    }
    let step = (RIGHT - LEFT) / plot.labels.len() as f64;
    // Turned when they would touch each other.
    let turned = step < 60.0;
    for (at, label) in plot.labels.iter().enumerate() {
        let x = LEFT + step * (at as f64 + 0.5);
        let text =
            escape(&shorten(label, if turned { LABEL_CHARS_MAX } else { (step / 9.0) as usize }));
        let _ = if turned {
            writeln!(
                out,
                "<text x=\"{x:.0}\" y=\"252\" class=\"e\" transform=\"rotate(-45 {x:.0} 252)\">{text}</text>"
            )
        } else {
            writeln!(out, "<text x=\"{x:.0}\" y=\"256\" class=\"m\">{text}</text>")
        };
    }
}

fn bars(out: &mut String, plot: &Plot, top: f64, stacked: bool) {
    let step = (RIGHT - LEFT) / plot.labels.len() as f64;
    let width = if stacked { step * 0.7 } else { step * 0.8 / plot.series.len().max(1) as f64 };
    for (label_at, label) in plot.labels.iter().enumerate() {
        let mut base = 0.0;
        for (at, series) in plot.series.iter().enumerate() {
            let value = amount(series, label_at);
            let beside = if stacked { 0.0 } else { width * at as f64 };
            let x = LEFT + step * (label_at as f64 + if stacked { 0.15 } else { 0.1 }) + beside;
            let height = (BOTTOM - TOP) * value / top;
            let y = BOTTOM - (BOTTOM - TOP) * base / top - height;
            if value > 0.0 {
                let name = format!("{label} {} {}", series.name, short_number(value));
                bar(out, (x, y, width.max(1.0), height), at, &name);
            }
            if stacked {
                base += value;
            }
        }
    }
}

fn bar(out: &mut String, (x, y, width, height): (f64, f64, f64, f64), colour: usize, name: &str) {
    let _ = writeln!(
        out,
        "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" fill=\"{}\"><title>{}</title></rect>",
        COLOURS[colour % COLOURS.len()],
        escape(name)
    );
}

fn lines(out: &mut String, plot: &Plot, top: f64) {
    let step = (RIGHT - LEFT) / plot.labels.len() as f64;
    for (at, series) in plot.series.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let mut path = String::new();
        let mut broken = true;
        for (label_at, value) in series.values.iter().enumerate() {
            let Some(value) = value else {
                broken = true;
                continue;
            };
            let x = LEFT + step * (label_at as f64 + 0.5);
            let y = BOTTOM - (BOTTOM - TOP) * (value.max(0.0) / top).min(1.0);
            let _ = write!(path, "{}{x:.0} {y:.0}", if broken { 'M' } else { 'L' });
            broken = false;
            let _ =
                writeln!(out, "<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"2\" fill=\"{colour}\"/>");
        }
        let _ = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
    }
}

fn pyramid(out: &mut String, plot: &Plot, top: f64) {
    let middle = f64::midpoint(LEFT, RIGHT);
    let half = (RIGHT - LEFT) / 2.0 - 30.0;
    let step = (BOTTOM + 40.0 - TOP) / plot.labels.len() as f64;
    for (label_at, label) in plot.labels.iter().enumerate() {
        let y = TOP + step * label_at as f64;
        let _ = writeln!(
            out,
            "<text x=\"{middle:.0}\" y=\"{:.0}\" class=\"m\">{}</text>",
            y + step * 0.5 + 4.0,
            escape(&shorten(label, LABEL_CHARS_MAX))
        );
        for (at, series) in plot.series.iter().take(2).enumerate() {
            let value = amount(series, label_at);
            let width = half * value / top;
            let x = if at == 0 { middle - 30.0 - width } else { middle + 30.0 };
            let name = format!("{label} {} {}", series.name, short_number(value));
            bar(out, (x, y + 1.0, width, (step - 2.0).max(1.0)), at, &name);
        }
    }
    for (x, class) in [(LEFT, "s"), (RIGHT, "e")] {
        let _ = writeln!(
            out,
            "<text x=\"{x:.0}\" y=\"295\" class=\"{class}\">{}</text>",
            short_number(top)
        );
    }
}

fn short_number(value: f64) -> String {
    let text = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn shorten(text: &str, chars: usize) -> String {
    let chars = chars.max(3);
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(values: &[&[Option<f64>]]) -> Plot {
        Plot {
            labels: (0..values[0].len()).map(|at| format!("<{at}>")).collect(),
            series: values
                .iter()
                .map(|values| Series { name: "甲&乙".into(), values: values.to_vec() })
                .collect(),
        }
    }

    #[test]
    fn a_stack_is_as_high_as_its_sum() {
        let drawn = draw(ChartKind::Stack, "t", &plot(&[&[Some(60.0)], &[Some(40.0)]]));
        assert!(
            drawn.contains("y=\"118\" width=\"472\" height=\"122\" fill=\"#0072b2\""),
            "{drawn}"
        );
        assert!(drawn.contains("y=\"36\" width=\"472\" height=\"82\" fill=\"#d55e00\""), "{drawn}");
        assert!(
            drawn.contains("&lt;0&gt;") && drawn.contains("甲&amp;乙") && !drawn.contains("<0>")
        );
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let drawn = draw(ChartKind::Line, "t", &plot(&[&[Some(1.0), None, Some(2.0), Some(1.0)]]));
        assert!(drawn.contains("d=\"M154 138M492 36L661 138\""), "{drawn}");
    }

    #[test]
    fn a_pyramid_goes_both_ways() {
        let drawn = draw(ChartKind::Pyramid, "t", &plot(&[&[Some(10.0)], &[Some(5.0)]]));
        assert!(drawn.contains("x=\"70\" y=\"37\" width=\"308\""), "{drawn}");
        assert!(drawn.contains("x=\"438\" y=\"37\" width=\"154\""), "{drawn}");
    }

    #[test]
    fn odd_numbers_draw_something_finite() {
        for value in [0.0, -5.0, 1e300, 1e-300] {
            for kind in [ChartKind::Bar, ChartKind::Stack, ChartKind::Line, ChartKind::Pyramid] {
                let drawn = draw(kind, "t", &plot(&[&[Some(value), None], &[None, Some(value)]]));
                assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{value} {drawn}");
            }
        }
        for (highest, top) in [(0.0, 1.0), (0.3, 0.3), (7.0, 8.0), (100.0, 100.0), (101.0, 150.0)] {
            assert!((nice_top(highest) - top).abs() < 1e-9, "{highest}");
        }
    }
}
