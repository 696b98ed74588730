//! The seam between what the machine sees and what people do: a finding becomes a case, or joins one.

use crate::state::Severity;

/// Something that must be told, as a rule found it. Whom it is told, and how it goes on, is the work
/// axis' business.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    /// The kind of alert.
    pub(crate) kind: String,
    pub(crate) severity: Severity,
    /// The level that is told first, 1 to 3.
    pub(crate) level: u32,
    /// What the case is about: a dwelling, a device, a group such as `building:b1`. One open case a
    /// kind and place.
    pub(crate) place: String,
    /// The home that it concerns, where it concerns one.
    pub(crate) dwelling: Option<String>,
    /// The community that it lies in; empty where that is not known.
    pub(crate) region: String,
    /// Ids of the events that led to it, the oldest first.
    pub(crate) evidence: Vec<String>,
    pub(crate) reason: String,
    pub(crate) rules_version: u32,
}
