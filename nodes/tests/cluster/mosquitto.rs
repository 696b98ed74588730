//! A real Mosquitto on a free port, and real clients that publish there.

use crate::local::eventually;
use rumqttc::v5;
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// How long a batch waits for its acknowledgements before it is sent again from its beginning.
const BATCH_WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Debian's package, fetched once if this machine has none.
fn installed() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let fetched = Command::new(root.join("deploy/peers/fetch-mosquitto")).status().unwrap();
        assert!(fetched.success(), "no Mosquitto: run deploy/peers/fetch-mosquitto to see why");
        root.join(".native/peers")
    })
}

fn program(name: &str) -> Command {
    let root = installed();
    let unpacked = ["usr/sbin", "usr/bin"].map(|folder| root.join(folder).join(name));
    let found = unpacked.into_iter().find(|path| path.exists());
    let mut command = Command::new(found.unwrap_or_else(|| PathBuf::from(name)));
    let folders = std::fs::read_dir(root.join("usr/lib")).into_iter().flatten();
    let folders = folders.filter_map(Result::ok).map(|entry| entry.path());
    let mut libraries: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    if let Some(known) = std::env::var_os("LD_LIBRARY_PATH") {
        libraries.extend(std::env::split_paths(&known));
    }
    command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap());
    command
}

#[derive(Debug)]
pub(crate) struct Mosquitto {
    pub(crate) address: String,
    dir: TempDir,
    child: Option<Child>,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Mosquitto {
    /// A broker that keeps what it has on disk.
    pub(crate) async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location {}/\nautosave_on_changes true\nautosave_interval 1\n\
             max_inflight_messages 500\nmax_queued_messages 100000\nlog_dest none\n{}",
            dir.path().display(),
            // Started by root it would become another user, who cannot write there.
            if rustix::process::getuid().is_root() { "user root\n" } else { "" },
        );
        std::fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
        let mut broker = Self { address: format!("127.0.0.1:{port}"), dir, child: None };
        broker.restart().await;
        broker
    }

    /// A broker that speaks TLS and asks for a name and a password; nothing where this machine has no
    /// openssl to make certificates with.
    pub(crate) async fn secured(user: &str, password: &str) -> Option<Self> {
        let mut broker = Self::start().await;
        broker.stop();
        let folder = broker.dir.path().to_owned();
        let made = |arguments: &str| {
            let mut openssl = Command::new("openssl");
            openssl.current_dir(&folder).args(arguments.split_whitespace());
            openssl.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
            openssl.status().is_ok_and(|status| status.success())
        };
        std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
        let key = "-newkey rsa:2048 -nodes -keyout";
        let is_made = made(&format!("req -x509 {key} ca.key -out ca.pem -days 2 -subj /CN=ca"))
            && made(&format!("req {key} broker.key -out broker.csr -subj /CN=broker"))
            && made(
                "x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                 -extfile names -out broker.pem",
            );
        if !is_made {
            return None;
        }
        let mut passwords = program("mosquitto_passwd");
        passwords.args(["-b", "-c"]).arg(folder.join("passwords")).args([user, password]);
        assert!(passwords.status().unwrap().success());
        let conf = folder.join("mosquitto.conf");
        let text = std::fs::read_to_string(&conf).unwrap();
        let text = text.replace("allow_anonymous true", "allow_anonymous false");
        let at = |name: &str| folder.join(name).display().to_string();
        let tls = format!(
            "password_file {}\ncafile {}\ncertfile {}\nkeyfile {}\n",
            at("passwords"),
            at("ca.pem"),
            at("broker.pem"),
            at("broker.key")
        );
        std::fs::write(&conf, text + &tls).unwrap();
        broker.restart().await;
        Some(broker)
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) async fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let mut command = program("mosquitto");
        command.arg("-c").arg(self.dir.path().join("mosquitto.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        eventually("Mosquitto listens", async || {
            tokio::net::TcpStream::connect(&self.address).await.ok()
        })
        .await;
    }

    /// As a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// As an administrator would: what it has is written down.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        child.wait().unwrap();
    }

    /// Publishes one message by Mosquitto's own client.
    pub(crate) fn publish(&self, topic: &str, payload: &[u8], more: &[&str]) {
        let file = self.dir.path().join("payload");
        std::fs::write(&file, payload).unwrap();
        let (host, port) = self.address.rsplit_once(':').unwrap();
        let mut command = program("mosquitto_pub");
        command.args(["-h", host, "-p", port, "-q", "1", "-t", topic, "-f"]).arg(&file).args(more);
        assert!(command.status().unwrap().success(), "{topic}");
    }

    /// A client with a last will that dies without a word.
    pub(crate) async fn die_with_will(&self, topic: &str, will: &str) {
        let (host, port) = self.address.rsplit_once(':').unwrap();
        let mut options = rumqttc::MqttOptions::new("mortal", host, port.parse().unwrap());
        options.set_last_will(rumqttc::LastWill::new(
            topic,
            will,
            rumqttc::QoS::AtLeastOnce,
            false,
        ));
        let (_client, mut events) = rumqttc::AsyncClient::new(options, 1);
        events.poll().await.unwrap();
    }
}

/// Publishes a batch until the broker has acknowledged all of it, over one connection after another:
/// what is not acknowledged is sent again, as a gateway with a store of its own does.
pub(crate) async fn publish_batch(address: &str, version: u8, batch: &[(String, String)]) {
    loop {
        let sent = async {
            match version {
                5 => over_v5(address, batch).await,
                _ => over_v311(address, batch).await,
            }
        };
        if tokio::time::timeout(BATCH_WITHIN, sent).await == Ok(true) {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn host(address: &str) -> (&str, u16) {
    let (host, port) = address.rsplit_once(':').unwrap();
    (host, port.parse().unwrap())
}

async fn over_v311(address: &str, batch: &[(String, String)]) -> bool {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let (host, port) = host(address);
    let options = MqttOptions::new(format!("gateway-{}", rand::random::<u32>()), host, port);
    let (client, mut events) = AsyncClient::new(options, batch.len());
    for (topic, payload) in batch {
        client.publish(topic, QoS::AtLeastOnce, false, payload.as_bytes()).await.unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < batch.len() {
        match events.poll().await {
            Ok(Event::Incoming(Packet::PubAck(_))) => acknowledged += 1,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    true
}

async fn over_v5(address: &str, batch: &[(String, String)]) -> bool {
    use v5::mqttbytes::QoS;
    use v5::mqttbytes::v5::Packet;
    use v5::{AsyncClient, Event, MqttOptions};
    let (host, port) = host(address);
    let options = MqttOptions::new(format!("gateway-{}", rand::random::<u32>()), host, port);
    let (client, mut events) = AsyncClient::new(options, batch.len());
    for (topic, payload) in batch {
        client.publish(topic, QoS::AtLeastOnce, false, payload.clone()).await.unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < batch.len() {
        match events.poll().await {
            Ok(Event::Incoming(Packet::PubAck(_))) => acknowledged += 1,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    true
}
