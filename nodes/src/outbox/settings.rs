//! Where notices go, as one node's configuration says it. The same on every node: whichever leads delivers.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const IN_FLIGHT_MAX: usize = 256;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxSettings {
    /// Takes every notice as a signed POST. Without one notices wait until they are given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Holds the key of the signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Certificates (PEM) to trust instead of the well-known ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long one attempt may take.
    pub timeout_ms: u64,
    /// Attempts at once.
    pub in_flight: usize,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self { webhook: None, secret_file: None, ca_file: None, timeout_ms: 10_000, in_flight: 16 }
    }
}

impl OutboxSettings {
    /// Refuses what would send notices about people in the clear, or never.
    pub(crate) fn check(&self, insecure: bool) -> Result<(), String> {
        if !(1..=IN_FLIGHT_MAX).contains(&self.in_flight) || self.timeout_ms == 0 {
            return Err(format!(
                "outbox.in_flight must be 1 to {IN_FLIGHT_MAX}, outbox.timeout_ms 1 or more"
            ));
        }
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let address = webhook.parse::<http::Uri>().ok();
        let parts =
            address.as_ref().and_then(|address| Some((address.scheme_str()?, address.host()?)));
        let Some((scheme, host)) = parts else {
            return Err(format!(
                "outbox.webhook {webhook:?} is no address: write https://host/path"
            ));
        };
        let is_near = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        if scheme != "https" && !(scheme == "http" && (is_near || insecure)) {
            return Err(format!(
                "outbox.webhook {webhook}: notices about people go over https, or over http to this machine"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_do_not_leave_the_machine_in_the_clear() {
        let check = |webhook: &str, insecure| {
            let webhook = Some(webhook.to_owned());
            OutboxSettings { webhook, ..OutboxSettings::default() }.check(insecure)
        };
        assert_eq!(check("https://notify.example/hearth", false), Ok(()));
        assert_eq!(check("http://127.0.0.1:9000/hearth", false), Ok(()));
        assert_eq!(check("http://10.0.0.1/hearth", true), Ok(()));
        assert!(check("http://10.0.0.1/hearth", false).unwrap_err().contains("https"));
        assert!(check("10.0.0.1", false).unwrap_err().contains("no address"));
        assert!(check("ftp://127.0.0.1/", true).is_err());
    }
}
