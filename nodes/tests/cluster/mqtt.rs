//! Events from a real broker, while brokers and leaders are killed: nothing lost, nothing doubled.

use crate::gather::SECOND_US;
use crate::local::{Cluster, Process, Shape, eventually, within};
use crate::mosquitto::{Mosquitto, publish_batch};
use crate::tables::{event_counts, number, rows};
use nodes::config::Mqtt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Events in one batch of a gateway.
const BATCH: u64 = 40;
/// Batches that a gateway sends again when its broker lost its memory.
const JOURNAL: u64 = 25;
/// Events between one blow and the next.
const BETWEEN: u64 = 400;
const LONG: Duration = Duration::from_secs(90);

fn broker(text: &str, address: &str) -> Mqtt {
    toml::from_str(&format!("address = '{address}'\n{text}")).unwrap()
}

fn reading(source: &str, number: u64) -> String {
    let time_us = nodes::clock::now_us() - 60 * SECOND_US + number as i64;
    format!(
        r#"{{"event_id":"{number}","source":"{source}","device_id":"pir-{}","kind":"motion","event_time_us":{time_us},"value":1}}"#,
        number % 17
    )
}

/// A gateway that publishes numbered events, and never gives a batch up.
struct Gateway {
    version: u8,
    topic: &'static str,
    source: &'static str,
    /// Events that the broker has acknowledged.
    sent: AtomicU64,
    /// From this event on they are sent once more.
    again: AtomicU64,
    stop: AtomicBool,
}

impl Gateway {
    fn new(version: u8, topic: &'static str, source: &'static str) -> Arc<Self> {
        let (sent, again) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Arc::new(Self { version, topic, source, sent, again, stop: AtomicBool::new(false) })
    }

    fn start(self: &Arc<Self>, address: &str) -> JoinHandle<()> {
        let (gateway, address) = (Arc::clone(self), address.to_owned());
        tokio::spawn(async move {
            let mut next = 0;
            while !gateway.stop.load(Ordering::Relaxed)
                || gateway.again.load(Ordering::Relaxed) != u64::MAX
            {
                next = gateway.again.swap(u64::MAX, Ordering::Relaxed).min(next);
                let batch: Vec<_> = (next..next + BATCH)
                    .map(|number| {
                        let topic = format!("{}/{}", gateway.topic, number % 17);
                        (topic, reading(gateway.source, number))
                    })
                    .collect();
                publish_batch(&address, gateway.version, &batch).await;
                next += BATCH;
                gateway.sent.fetch_max(next, Ordering::Relaxed);
            }
        })
    }

    async fn goes_on(&self) {
        let until = self.sent.load(Ordering::Relaxed) + BETWEEN;
        within(LONG, "events between two blows", async || {
            (self.sent.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }

    fn repeat(&self) {
        let from = self.sent.load(Ordering::Relaxed).saturating_sub(JOURNAL * BATCH);
        self.again.store(from, Ordering::Relaxed);
    }
}

/// Waits until every node has so many events; gives an index at which all have.
async fn all_have(cluster: &Cluster, sent: u64) -> u64 {
    for node in &cluster.nodes {
        within(LONG, &format!("{sent} events on node {}", node.id), async || {
            (node.metric("hearth_events").await == sent).then_some(())
        })
        .await;
    }
    cluster.nodes[cluster.leader().await].status().await.unwrap().applied_index
}

/// Every event of a gateway is on the node once.
async fn every_event_once(node: &Process, gateway: &Gateway) {
    let sent = gateway.sent.load(Ordering::Relaxed);
    let counts = event_counts(node, 0, gateway.source).await;
    let twice: Vec<_> = counts.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "node {} {}: {twice:?}", node.id, gateway.source);
    let lost: Vec<_> = (0..sent).filter(|id| !counts.contains_key(&id.to_string())).collect();
    assert!(
        lost.is_empty(),
        "node {} {}: {} of {sent}: {lost:?}",
        node.id,
        gateway.source,
        lost.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_and_leaders_die_and_every_event_counts_once() {
    let mut mosquitto = Mosquitto::start().await;
    let address = mosquitto.address.clone();
    let mqtt = vec![
        // Not $share: Mosquitto 2.0.11 forgets shared subscriptions when it is restarted, and what is
        // published before their session is back.
        broker("name = 'five'\ntopics = ['five/#']", &address),
        broker("name = 'three'\nversion = '3.1.1'\ntopics = ['three/#']", &address),
    ];
    let mut cluster = Cluster::shaped(Shape { mqtt, ..Shape::default() }).await;
    let leader = cluster.leader().await;
    // A session must be there before the first message is, or the broker keeps nothing for it.
    subscribed(&cluster.nodes[leader]).await;
    let gateways = [Gateway::new(5, "five", "gw-5"), Gateway::new(4, "three", "gw-3")];
    let tasks: Vec<_> = gateways.iter().map(|gateway| gateway.start(&address)).collect();
    let go_on = async || {
        for gateway in &gateways {
            gateway.goes_on().await;
        }
    };
    go_on().await;
    let leader = cluster.leader().await;
    cluster.nodes[leader].kill();
    go_on().await;
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_up().await;
    mosquitto.stop();
    mosquitto.restart().await;
    go_on().await;
    for topic in ["five/x", "three/x"] {
        mosquitto.publish(topic, b"not an event", &[]);
    }
    go_on().await;
    let leader = cluster.leader().await;
    mosquitto.kill();
    cluster.nodes[leader].kill();
    mosquitto.restart().await;
    // What the broker had not written down is gone with it; its senders have it still.
    for gateway in &gateways {
        gateway.repeat();
    }
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_up().await;
    go_on().await;
    for gateway in &gateways {
        gateway.stop.store(true, Ordering::Relaxed);
    }
    for task in tasks {
        task.await.unwrap();
    }
    let sent: u64 = gateways.iter().map(|gateway| gateway.sent.load(Ordering::Relaxed)).sum();
    let index = all_have(&cluster, sent).await;
    for node in &cluster.nodes {
        node.wait_recorded(index).await;
        for gateway in &gateways {
            every_event_once(node, gateway).await;
        }
        let letters = rows(node, index, "SELECT source, reason FROM dead_letter ORDER BY source");
        let letters = letters.await;
        assert_eq!(letters.len(), 2, "{letters:?}");
        assert_eq!((letters[0][0].as_str(), letters[1][0].as_str()), ("five/x", "three/x"));
        assert!(letters[0][1].contains("JSON object"), "{letters:?}");
    }
    cluster.same_state().await;
    // Nothing is left at the broker: all that it sent is acknowledged.
    let leader = &cluster.nodes[cluster.leader().await];
    eventually("nothing is held", async || {
        (leader.metric("hearth_mqtt_held_messages").await == 0).then_some(())
    })
    .await;
    println!("{sent} events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_subscription_goes_on_with_the_next_leader() {
    let mosquitto = Mosquitto::start().await;
    let text = "name = 'shared'\ntopics = ['$share/hearth/shared/#']";
    let mqtt = vec![broker(text, &mosquitto.address)];
    let mut cluster = Cluster::shaped(Shape { mqtt, ..Shape::default() }).await;
    subscribed(&cluster.nodes[cluster.leader().await]).await;
    let gateway = Gateway::new(5, "shared", "gw-shared");
    let task = gateway.start(&mosquitto.address);
    for _ in 0..2 {
        gateway.goes_on().await;
        let leader = cluster.leader().await;
        cluster.nodes[leader].kill();
        gateway.goes_on().await;
        cluster.nodes[leader].start();
        cluster.nodes[leader].wait_up().await;
    }
    gateway.stop.store(true, Ordering::Relaxed);
    task.await.unwrap();
    let sent = gateway.sent.load(Ordering::Relaxed);
    let index = all_have(&cluster, sent).await;
    for node in &cluster.nodes {
        node.wait_recorded(index).await;
        every_event_once(node, &gateway).await;
    }
    cluster.same_state().await;
}

/// Waits until a node takes from each of its brokers.
async fn subscribed(node: &Process) {
    eventually(&format!("node {} subscribes", node.id), async || {
        let (_, text) = node.get("/metrics").await;
        let all: Vec<_> =
            text.lines().filter(|line| line.starts_with("hearth_mqtt_connected{")).collect();
        (!all.is_empty() && all.iter().all(|line| line.ends_with(" 1"))).then_some(())
    })
    .await;
}

const MAPPING: &str = r#"
format = "message"
topic = "map/{street}/{device}/{type}"
source = { template = "mqtt-{street}" }
[[event]]
when = { level = "type", is_not = "status" }
device_id = { level = "device" }
kind = { level = "type", map = { rq = "gas", mc = "door" } }
event_time = { pointer = "/ts", format = "unix_ms" }
value = { pointer = "/v" }
[[event]]
when = [{ level = "type", is = "status" }, { pointer = "", is = "offline" }]
device_id = { level = "device" }
kind = "offline"
event_time = "received"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_wills_retained_and_oversized_messages() {
    let mosquitto = Mosquitto::start().await;
    let address = mosquitto.address.clone();
    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("mapping.toml");
    std::fs::write(&mapping, MAPPING).unwrap();
    let mapped = format!(
        "name = 'mapped'\ntopics = ['map/#']\npayload = 'mapping'\nmapping = '{}'",
        mapping.display()
    );
    let mqtt = vec![
        broker(&mapped, &address),
        broker(
            "name = 'plain'\nversion = '3.1.1'\ntopics = ['plain/+']\nmessage_bytes = 65536",
            &address,
        ),
    ];
    let now_ms = nodes::clock::now_us() / 1_000 - 60_000;
    // A state that its device left behind, before anybody listened.
    let gas = format!(r#"{{"ts":{now_ms},"v":0.5}}"#);
    mosquitto.publish("map/nan/d1/rq", gas.as_bytes(), &["-r"]);
    let shape = Shape { nodes: 1, mqtt, ..Shape::default() };
    let mut cluster = Cluster::shaped(shape).await;
    subscribed(&cluster.nodes[0]).await;
    let retained = reading("", 1).replace("\"event_id\":\"1\",\"source\":\"\",", "");
    mosquitto.publish("plain/1", retained.as_bytes(), &["-r"]);
    let batch = format!("{}\n{}\n{{\"kind\":3}}\n", reading("nd", 1), reading("nd", 2));
    mosquitto.publish("plain/2", batch.as_bytes(), &["-V", "mqttv5"]);
    let cloud = format!(
        r#"{{"specversion":"1.0","id":"c1","source":"/cloud","time":"{}","data":{{"device_id":"c","kind":"door","value":1}}}}"#,
        nodes::clock::text(now_ms * 1_000)
    );
    mosquitto.publish("plain/3", cloud.as_bytes(), &[]);
    let senml = format!(
        r#"[{{"bn":"urn:dev:x:","bt":{},"n":"temperature","u":"Cel","v":21.5}}]"#,
        now_ms / 1_000
    );
    mosquitto.publish("plain/4", senml.as_bytes(), &[]);
    mosquitto.publish("plain/5", &vec![b'x'; 300_000], &[]);
    mosquitto.publish("plain/6", b"\xff\xfe", &[]);
    mosquitto.die_with_will("map/nan/d2/status", "offline").await;
    mosquitto.publish("map/nan/d2/status", b"online", &[]);
    let node = &cluster.nodes[0];
    eventually("seven events", async || (node.metric("hearth_events").await == 7).then_some(()))
        .await;
    eventually("four letters", async || {
        (node.metric("hearth_dead_letters_total").await == 4).then_some(())
    })
    .await;
    // Twice more: the retained ones come again, at least by 3.1.1, and are known.
    for _ in 0..2 {
        cluster.nodes[0].kill();
        cluster.nodes[0].start();
        cluster.nodes[0].wait_up().await;
        subscribed(&cluster.nodes[0]).await;
    }
    let node = &cluster.nodes[0];
    mosquitto.publish("plain/2", reading("nd", 3).as_bytes(), &[]);
    eventually("the eighth", async || (node.metric("hearth_events").await == 8).then_some(()))
        .await;
    let index = node.status().await.unwrap().applied_index;
    let events = "SELECT source, device_id, kind FROM sensor_event ORDER BY ALL";
    let events: Vec<String> =
        rows(node, index, events).await.into_iter().map(|row| row.join(" ")).collect();
    assert_eq!(
        events,
        [
            "/cloud c door",
            "mqtt-nan d1 gas",
            "mqtt-nan d2 offline",
            "nd pir-1 motion",
            "nd pir-2 motion",
            "nd pir-3 motion",
            "plain pir-1 motion",
            "plain urn:dev:x temperature",
        ]
    );
    let letters = "SELECT source, reason, bytes::BIGINT FROM dead_letter ORDER BY source";
    let letters = rows(node, index, letters).await;
    let said: Vec<_> = letters.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].0 == "map/nan/d2/status" && said[0].1.contains("no block"), "{said:?}");
    assert!(said[1].0 == "plain/2" && said[1].1.contains("invalid type"), "{said:?}");
    assert!(said[2].0 == "plain/5" && said[2].1.contains("300000"), "{said:?}");
    assert_eq!(letters[2][2], "300000");
    assert!(said[3].0 == "plain/6" && said[3].1.contains("UTF-8"), "{said:?}");
    let wills = number(node, index, "SELECT count(*) FROM sensor_event WHERE kind = 'offline'");
    assert_eq!(wills.await, 1);
}

/// CloudEvents in binary mode: attributes as user properties of MQTT 5, the event as payload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_event_names_itself_in_user_properties() {
    let mosquitto = Mosquitto::start().await;
    let mqtt = vec![broker("name = 'five'\ntopics = ['five/#']", &mosquitto.address)];
    let cluster = Cluster::shaped(Shape { nodes: 1, mqtt, ..Shape::default() }).await;
    let node = &cluster.nodes[0];
    subscribed(node).await;
    let time = nodes::clock::text(nodes::clock::now_us() - 60 * SECOND_US);
    let event = r#"{"device_id":"c","kind":"door","value":1}"#;
    let send = |topic: &str, payload: &str, attributes: &[(&str, &str)]| {
        let mut more = vec!["-V", "mqttv5", "-D", "publish", "content-type", "application/json"];
        for (name, value) in attributes {
            more.extend(["-D", "publish", "user-property", name, value]);
        }
        mosquitto.publish(topic, payload.as_bytes(), &more);
    };
    let [version, kind] = [("specversion", "1.0"), ("type", "reading")];
    let [id, source, at] = [("id", "b 1"), ("source", "/街道/7"), ("time", time.as_str())];
    // Twice, as a broker that was killed does; the second is known.
    for topic in ["five/1", "five/2"] {
        send(topic, event, &[version, kind, id, source, at]);
    }
    // Structured mode beside it, and properties that are nobody's attributes.
    let cloud = format!(
        r#"{{"specversion":"1.0","id":"s1","source":"/s","time":"{time}","data":{event}}}"#
    );
    send("five/3", &cloud, &[("trace", "7")]);
    send("five/4", &reading("plain", 1), &[("id", "not-mine"), ("trace", "7")]);
    send("five/5", event, &[version, source, at]);
    send("five/6", "door opened", &[version, id, source, at]);
    send("five/7", event, &[version, ("id", "b2"), source, ("time", "yesterday")]);
    eventually("three events", async || (node.metric("hearth_events").await == 3).then_some(()))
        .await;
    eventually("three letters", async || {
        (node.metric("hearth_dead_letters_total").await == 3).then_some(())
    })
    .await;
    let index = node.status().await.unwrap().applied_index;
    let events = "SELECT source, event_id, device_id FROM sensor_event ORDER BY ALL";
    let events: Vec<String> =
        rows(node, index, events).await.into_iter().map(|row| row.join(" ")).collect();
    assert_eq!(events, ["/s s1 c", "/街道/7 b 1 c", "plain 1 pir-1"]);
    let letters = rows(node, index, "SELECT source, reason FROM dead_letter ORDER BY source").await;
    for (letter, (topic, word)) in letters.iter().zip([
        ("five/5", "user property id"),
        ("five/6", "binary CloudEvent"),
        ("five/7", "yesterday"),
    ]) {
        assert!(letter[0] == topic && letter[1].contains(word), "{letters:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_under_tls_that_asks_for_a_password() {
    let Some(mosquitto) = Mosquitto::secured("hearth", "geheim:1").await else {
        eprintln!("skipped: there is no openssl here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::write(&credentials, "hearth:wrong\n").unwrap();
    let authority = mosquitto.authority();
    let text = |name: &str, version: &str| {
        format!(
            "name = '{name}'\nversion = '{version}'\ntopics = ['{name}/#']\ncredentials = '{}'\ntls = {{ ca = '{}' }}",
            credentials.display(),
            authority.display()
        )
    };
    let mqtt = vec![
        broker(&text("five", "5"), &mosquitto.address),
        broker(&text("three", "3.1.1"), &mosquitto.address),
    ];
    let cluster = Cluster::shaped(Shape { nodes: 1, mqtt, ..Shape::default() }).await;
    let node = &cluster.nodes[0];
    eventually("it is refused", async || {
        let log = node.log();
        (log.contains("refused the connection: NotAuthorized")).then_some(())
    })
    .await;
    std::fs::write(&credentials, "hearth:geheim:1\n").unwrap();
    subscribed(node).await;
    let authority = authority.to_str().unwrap().to_owned();
    let signed = ["--cafile", &authority, "-u", "hearth", "-P", "geheim:1"];
    for topic in ["five/1", "three/1"] {
        mosquitto.publish(topic, reading(topic, 1).as_bytes(), &signed);
    }
    eventually("two events", async || (node.metric("hearth_events").await == 2).then_some(()))
        .await;
}
