//! What each broker's intake counts, as Prometheus text.

use super::config::Mqtt;
use crate::node::Node;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One broker's counters since the node started.
#[derive(Debug, Default)]
pub(crate) struct Figure {
    pub(crate) name: String,
    /// 1 while connected and subscribed.
    pub(crate) connected: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) letters: AtomicU64,
    /// Times that the log did not take a batch, which was proposed again.
    pub(crate) retries: AtomicU64,
    /// Messages and bytes in hand.
    pub(crate) held: AtomicU64,
    pub(crate) held_bytes: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// The counters of every broker, in the order of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    brokers: Vec<Arc<Figure>>,
}

impl Figures {
    pub(crate) fn new(brokers: &[Mqtt]) -> Self {
        let figure =
            |broker: &Mqtt| Arc::new(Figure { name: broker.name.clone(), ..Figure::default() });
        Self { brokers: brokers.iter().map(figure).collect() }
    }

    pub(crate) fn of(&self, at: usize) -> Option<&Arc<Figure>> {
        self.brokers.get(at)
    }
}

type Shown = (&'static str, &'static str, &'static str, fn(&Figure) -> &AtomicU64);

const SHOWN: &[Shown] = &[
    ("hearth_mqtt_connected", "1 while subscribed there.", "gauge", |f| &f.connected),
    ("hearth_mqtt_connections_total", "Connections made.", "counter", |f| &f.connections),
    ("hearth_mqtt_messages_total", "Messages received.", "counter", |f| &f.messages),
    ("hearth_mqtt_acknowledged_total", "Messages acknowledged.", "counter", |f| &f.acknowledged),
    ("hearth_mqtt_events_total", "Events taken in.", "counter", |f| &f.events),
    ("hearth_mqtt_duplicates_total", "Events that had come before.", "counter", |f| &f.duplicates),
    ("hearth_mqtt_letters_total", "Messages or lines that became dead letters.", "counter", |f| {
        &f.letters
    }),
    ("hearth_mqtt_retries_total", "Batches proposed again.", "counter", |f| &f.retries),
    ("hearth_mqtt_held_messages", "Messages not acknowledged yet.", "gauge", |f| &f.held),
    ("hearth_mqtt_held_bytes", "Bytes of those.", "gauge", |f| &f.held_bytes),
];

pub(crate) fn expose(node: &Node) -> String {
    let group = &node.config().node.group;
    let mut text = String::new();
    for (name, help, kind, of) in SHOWN {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for figure in &node.mqtt().brokers {
            let value = of(figure).load(Ordering::Relaxed);
            let _ =
                writeln!(text, "{name}{{group=\"{group}\",broker=\"{}\"}} {value}", figure.name);
        }
    }
    text
}
