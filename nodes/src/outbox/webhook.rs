//! One POST a notice, signed as the Standard Webhooks specification says, so that its libraries verify it.
//!
//! `webhook-id` is the notice's id and the key by which a repeat is known; it comes as `idempotency-key`
//! too. `webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.

use super::message::body;
use super::settings::OutboxSettings;
use crate::state::Notice;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Shortest key, in bytes, as the specification recommends.
const KEY_BYTES_MIN: usize = 24;
/// How much of an answer is read.
const ANSWER_BYTES_MAX: u64 = 4_096;
/// What the specification writes before a key in base64.
const KEY_PREFIX: &str = "whsec_";

/// What is sent beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
}

/// Signs a body at a time.
pub fn sign(key: &[u8], id: &str, at_us: i64, body: &str) -> Signed {
    let timestamp = (at_us / 1_000_000).to_string();
    let signature = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            for part in [id, ".", &timestamp, ".", body] {
                mac.update(part.as_bytes());
            }
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        }
        // HMAC takes keys of any length.
        Err(_) => String::new(),
    };
    Signed { id: id.to_owned(), timestamp, signature }
}

/// What a provider may answer.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    message_id: String,
}

/// Where notices go.
pub(crate) struct Webhook {
    agent: Agent,
    url: String,
    key: Vec<u8>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({})", self.url)
    }
}

impl Webhook {
    /// The configured webhook, if there is one; the error is one line for whoever configured it.
    pub(crate) fn open(config: &OutboxSettings) -> Result<Option<Self>, String> {
        let Some(url) = &config.webhook else { return Ok(None) };
        let Some(file) = &config.secret_file else {
            return Err("outbox.webhook needs outbox.secret_file".to_owned());
        };
        let read = |file: &std::path::Path| {
            std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
        };
        let key = key_of(&String::from_utf8_lossy(&read(file)?))
            .map_err(|said| format!("outbox.secret_file {}: {said}", file.display()))?;
        let roots = match &config.ca_file {
            None => RootCerts::WebPki,
            Some(file) => {
                let pem = read(file)?;
                let certificates: Vec<_> = parse_pem(&pem)
                    .filter_map(|item| match item {
                        Ok(PemItem::Certificate(certificate)) => Some(certificate),
                        _ => None,
                    })
                    .collect();
                if certificates.is_empty() {
                    return Err(format!("outbox.ca_file {}: no certificate", file.display()));
                }
                RootCerts::new_with_certs(&certificates)
            }
        };
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(config.timeout_ms)))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("hearth/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build()
            .new_agent();
        Ok(Some(Self { agent, url: url.clone(), key }))
    }

    /// One attempt; gives the provider's id of the message. Blocks for as long as the timeout allows.
    pub(crate) fn send(&self, notice: &Notice, now_us: i64) -> Result<String, String> {
        let body = body(notice);
        let signed = sign(&self.key, &notice.notice_id, now_us, &body);
        let request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", &signed.id)
            .header("idempotency-key", &signed.id)
            .header("webhook-timestamp", &signed.timestamp)
            .header("webhook-signature", &signed.signature);
        let mut answer = request.send(&body).map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("the webhook answered {}", answer.status()));
        }
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        // An answer that says nothing we read is as good: it was taken.
        let said: Answer = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        Ok(said.message_id)
    }
}

/// The key as it stands in its file: `whsec_` and base64, or any text.
fn key_of(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    let key = match text.strip_prefix(KEY_PREFIX) {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| format!("what stands behind {KEY_PREFIX} is no base64"))?,
        None => text.as_bytes().to_vec(),
    };
    if key.len() < KEY_BYTES_MIN {
        return Err(format!(
            "the key has {} bytes, it needs {KEY_BYTES_MIN}: openssl rand -base64 32",
            key.len()
        ));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, <https://www.standardwebhooks.com>.
    #[test]
    fn a_signature_is_the_specifications() {
        let key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signed = sign(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330_000_000,
            "{\"test\": 2432232314}",
        );
        assert_eq!(signed.timestamp, "1614265330");
        assert_eq!(signed.signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_short_key_is_refused_with_how_to_make_one() {
        assert!(key_of("short").unwrap_err().contains("openssl"));
        assert!(key_of("whsec_%%%").unwrap_err().contains("base64"));
        assert_eq!(key_of(" 0123456789abcdef01234567 \n").unwrap().len(), 24);
    }
}
