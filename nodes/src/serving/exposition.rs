//! Versions and shadows as Prometheus text. Names of models and versions need no escaping: they are
//! plain by the registry's rule.

use crate::node::Node;
use std::fmt::Write as _;

/// Name, help, type, and a value for each set of labels.
type Series<'a> = (&'a str, &'a str, &'a str, Vec<(String, f64)>);

/// What this node has in memory and has compared, and what the registry says.
pub(crate) fn expose(node: &Node) -> String {
    let group = &node.config().node.group;
    let mut series: Vec<Series<'_>> = Vec::new();
    {
        let state = node.machine().read();
        let (mut states, mut ready, mut killed) = (Vec::new(), Vec::new(), Vec::new());
        for (name, known) in state.registry.versions().filter(|(_, known)| known.status.is_live()) {
            let stage = format!(",state=\"{}\"", known.status.name());
            states.push((label(group, name, &known.version, &stage), 1.0));
            let loaded = node.serving().is_loaded(name, &known.version);
            ready.push((label(group, name, &known.version, ""), f64::from(u8::from(loaded))));
        }
        for name in state.registry.names() {
            let off = state.registry.is_killed(name);
            let labels = format!("group=\"{group}\",model=\"{name}\"");
            killed.push((labels, f64::from(u8::from(off))));
        }
        series.push((
            "hearth_model_state",
            "1 for the state that a version is in.",
            "gauge",
            states,
        ));
        series.push((
            "hearth_model_ready",
            "1 where the version is in memory here.",
            "gauge",
            ready,
        ));
        series.push(("hearth_model_killed", "1 where a model is switched off.", "gauge", killed));
    }
    series.extend(shadows(node));
    text(&series)
}

/// What was compared in shadow here.
fn shadows(node: &Node) -> Vec<Series<'static>> {
    let group = &node.config().node.group;
    let totals = node.serving().shadows.totals();
    let of = |value: fn(&models::Compared) -> f64| -> Vec<(String, f64)> {
        totals
            .iter()
            .map(|((name, version), seen)| (label(group, name, version, ""), value(seen)))
            .collect()
    };
    vec![
        (
            "hearth_model_shadow_rows_total",
            "Rows that this node has compared in shadow.",
            "counter",
            of(|seen| seen.rows as f64),
        ),
        (
            "hearth_model_shadow_difference_total",
            "Absolute differences of their scores, summed.",
            "counter",
            of(|seen| seen.difference_nano as f64 / models::NANO),
        ),
        (
            "hearth_model_shadow_difference_max",
            "The largest of them.",
            "gauge",
            of(models::Compared::max_difference),
        ),
        (
            "hearth_model_shadow_band_changes_total",
            "Rows that fell into another band.",
            "counter",
            of(|seen| seen.band_changes as f64),
        ),
        (
            "hearth_model_shadow_errors_total",
            "Rows that the shadow could not score.",
            "counter",
            of(|seen| seen.errors as f64),
        ),
        (
            "hearth_model_shadow_dropped_total",
            "Rows left out because the queue was full.",
            "counter",
            of(|seen| seen.dropped as f64),
        ),
        (
            "hearth_model_shadow_seconds_total",
            "Time in the shadow.",
            "counter",
            of(|seen| seen.shadow_ns as f64 / 1e9),
        ),
        (
            "hearth_model_shadow_active_seconds_total",
            "Time of the active version for the same rows.",
            "counter",
            of(|seen| seen.active_ns as f64 / 1e9),
        ),
    ]
}

fn label(group: &str, model: &str, version: &str, more: &str) -> String {
    format!("group=\"{group}\",model=\"{model}\",version=\"{version}\"{more}")
}

fn text(series: &[Series<'_>]) -> String {
    let mut text = String::new();
    for (name, help, kind, values) in series.iter().filter(|(.., values)| !values.is_empty()) {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    }
    text
}
