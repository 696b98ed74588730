//! A notice as the JSON that a webhook gets. The same notice gives the same bytes, at every attempt.

use crate::clock::text;
use crate::state::Notice;
use serde_json::{Map, Value, json};

/// The level that gets the minimum: no address, no reasons.
const FAMILY: u32 = 1;

pub(super) fn body(notice: &Notice) -> String {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    put("id", json!(notice.notice_id));
    put("alert_id", json!(notice.alert_id));
    put("recipient", json!({ "person": notice.person, "role": notice.role }));
    put("what", json!(notice.what));
    put("kind", json!(notice.kind));
    put("severity", json!(notice.severity.as_str()));
    put("level", json!(notice.level));
    put("state", json!(notice.work));
    put("resident_key", json!(notice.resident_key));
    put("raised", json!(text(notice.raised_us)));
    put("at", json!(text(notice.at_us)));
    if notice.level > FAMILY {
        put("dwelling_id", json!(notice.dwelling_id));
        put("region", json!(notice.region));
        put("reason", json!(notice.reason));
        if notice.due_us > 0 {
            put("due", json!(text(notice.due_us)));
        }
    }
    Value::Object(fields).to_string()
}
