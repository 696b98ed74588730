//! The reports that come with the product.

use crate::error::nearest_hint;
use crate::{Error, Report};
use std::sync::LazyLock;

const DEFINITIONS: &[&str] = &[
    include_str!("../catalogue/elder-pyramid.toml"),
    include_str!("../catalogue/alone-unguarded.toml"),
    include_str!("../catalogue/hazard-funnel.toml"),
    include_str!("../catalogue/living-environment.toml"),
    include_str!("../catalogue/alert-response.toml"),
    include_str!("../catalogue/alert-sla.toml"),
    include_str!("../catalogue/service-gap.toml"),
    include_str!("../catalogue/events-daily.toml"),
    include_str!("../catalogue/fall-risk.toml"),
    include_str!("../catalogue/device-health.toml"),
    include_str!("../catalogue/subsidy-match.toml"),
];

// A definition that does not parse would be missing here; a test holds that none is.
static CATALOGUE: LazyLock<Vec<Report>> =
    LazyLock::new(|| DEFINITIONS.iter().filter_map(|text| Report::parse(text).ok()).collect());

/// Every report, in the order of the catalogue.
pub fn catalogue() -> &'static [Report] {
    &CATALOGUE
}

/// The report of that id, or the nearest name in the error.
pub fn find(id: &str) -> Result<&'static Report, Error> {
    catalogue().iter().find(|report| report.id == id).ok_or_else(|| Error::UnknownReport {
        asked: id.to_owned(),
        hint: nearest_hint(id, catalogue().iter().map(|report| report.id.as_str())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_definition_parses_and_binds_its_defaults() {
        for text in DEFINITIONS {
            let report = Report::parse(text).unwrap();
            let binding = report.bind(&BTreeMap::new(), 1_800_000_000_000_000).unwrap();
            assert_eq!(binding.values.len(), report.parameters.len());
            assert!(!report.charts.is_empty() && !report.sql.contains('{'), "{}", report.id);
        }
        assert_eq!(catalogue().len(), DEFINITIONS.len());
    }

    #[test]
    fn ids_are_unique_and_the_nearest_is_named() {
        for (at, report) in catalogue().iter().enumerate() {
            assert!(catalogue()[..at].iter().all(|other| other.id != report.id));
        }
        let said = find("elder-pyramide").unwrap_err().to_string();
        assert_eq!(said, "no report is called `elder-pyramide`: did you mean `elder-pyramid`?");
    }
}
