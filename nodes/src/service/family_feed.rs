//! What a relative sees: the alerts of those who consent, with the minimum of fields.
//!
//! Nothing waits in a queue of ours: each message is made when the connection takes it, from the consent
//! of that moment. So a withdrawal stops an open feed, a slow one too.

use crate::node::Node;
use crate::proto::hearth::FamilyUpdate;
use crate::state::{Alert, RULES, State};
use futures::stream::{Stream, unfold};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;

const KEY_BYTES_MAX: usize = 256;
/// The least time between two looks at the state: thousands of feeds may be open.
const PAUSE: Duration = Duration::from_millis(50);

struct Feed {
    node: Arc<Node>,
    relative: String,
    residents: Vec<String>,
    applied: watch::Receiver<u64>,
    /// The state of consents and of alerts that was looked at last.
    seen: Option<(u64, u64)>,
    /// What was sent of each alert that is not over: resident, state and level.
    sent: BTreeMap<String, (String, String, u32)>,
    /// Found and not sent yet.
    pending: VecDeque<FamilyUpdate>,
    is_over: bool,
}

/// The feed of one relative, if anybody consents.
pub(super) fn open(
    node: &Arc<Node>,
    relative: String,
) -> Result<impl Stream<Item = Result<FamilyUpdate, Status>> + Send + use<>, Status> {
    if relative.is_empty() || relative.len() > KEY_BYTES_MAX {
        let said = format!("relative_key has 1 to {KEY_BYTES_MAX} bytes: relation.other_key");
        return Err(Status::invalid_argument(said));
    }
    let residents = node.machine().read().rows.residents_of_relative(&relative);
    if residents.is_empty() {
        return Err(no_consent());
    }
    let feed = Feed {
        applied: node.machine().watch_applied(),
        node: Arc::clone(node),
        relative,
        residents,
        seen: None,
        sent: BTreeMap::new(),
        pending: VecDeque::new(),
        is_over: false,
    };
    Ok(unfold(feed, |mut feed| async move {
        let next = feed.next().await?;
        Some((next, feed))
    }))
}

fn no_consent() -> Status {
    Status::permission_denied("nobody consents to this relative following their alerts")
}

impl Feed {
    /// The next message; waits for one.
    async fn next(&mut self) -> Option<Result<FamilyUpdate, Status>> {
        loop {
            if self.is_over {
                return None;
            }
            if let Err(status) = self.look() {
                self.is_over = true;
                return Some(Err(status));
            }
            if let Some(update) = self.pending.pop_front() {
                return Some(Ok(update));
            }
            if self.applied.changed().await.is_err() || self.node.quarantined().is_some() {
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Holds what is to be sent against the consent of this moment.
    fn look(&mut self) -> Result<(), Status> {
        let node = Arc::clone(&self.node);
        let state = node.machine().read();
        let now = (state.rows.relation_changes(), state.alerts.changed_index());
        if self.seen == Some(now) {
            return Ok(());
        }
        if self.seen.is_none_or(|(changes, _)| changes != now.0) {
            self.residents = state.rows.residents_of_relative(&self.relative);
            if self.residents.is_empty() {
                return Err(no_consent());
            }
            let residents = &self.residents;
            self.pending.retain(|update| residents.contains(&update.resident_key));
            self.sent.retain(|_, (resident, _, _)| residents.contains(resident));
        }
        self.seen = Some(now);
        for resident in self.residents.clone() {
            self.look_at(&state, &resident);
        }
        Ok(())
    }

    /// Queues what has changed of the alerts at one resident's home.
    fn look_at(&mut self, state: &State, resident: &str) {
        let place = state.homes().dwelling_of_resident(resident).unwrap_or(resident);
        let open = state.alerts.open_of(place).chain(state.alerts.open_of(resident));
        for alert in open {
            // A finding about one of those who live there is not the others' relatives' to see.
            let is_of_home = alert.model.is_empty() || alert.model == RULES;
            // What an outage or a silence suppresses is told to nobody.
            let is_told = alert.suppressed_by.is_empty();
            if is_told && (is_of_home || alert.resident_key == resident) {
                self.queue(alert, resident);
            }
        }
        let known: Vec<String> = self
            .sent
            .iter()
            .filter(|(_, (of, _, _))| of == resident)
            .map(|(id, _)| id.clone())
            .collect();
        for id in known {
            match state.alerts.get(&id) {
                Some(alert) if !alert.is_open() => {
                    self.queue(alert, resident);
                    self.sent.remove(&id);
                }
                Some(_) => {}
                None => drop(self.sent.remove(&id)),
            }
        }
    }

    fn queue(&mut self, alert: &Alert, resident: &str) {
        let now = (resident.to_owned(), alert.work.as_str().to_owned(), alert.level);
        // Two who live together are one case, told once.
        let before = self.sent.get(&alert.alert_id);
        if before.is_some_and(|before| before.0 != resident || *before == now) {
            return;
        }
        self.sent.insert(alert.alert_id.clone(), now);
        self.pending.push_back(FamilyUpdate {
            alert_id: alert.alert_id.clone(),
            resident_key: resident.to_owned(),
            kind: alert.kind.clone(),
            level: alert.level,
            state: alert.work.as_str().to_owned(),
            at_us: alert.history.last().map_or(alert.raised_us, |last| last.at_us),
            log_index: alert.log_index,
        });
    }
}
