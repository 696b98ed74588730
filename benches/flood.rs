//! A hundred clients that score satisfaction without a pause, in a process of their own, beside one that
//! asks for fall risk: what the second one waits then, by what it waits without them.

use crate::cluster::{Cluster, HOMES};
use crate::latency::Taken;
use crate::messages::by_entity;
use crate::{INFER_CALLS, Table, WARM_UP_CALLS, connect, infer, middle, p50, p99, rate, time};
use anyhow::Context as _;
use benches::{resident_key, rng};
use nodes::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use rand::Rng as _;
use std::cell::Cell;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tonic::Code;

/// The argument that makes this program the flood; behind it the address.
pub(crate) const ROLE: &str = "--flood";
const CLIENTS: usize = 100;
const REPETITIONS: usize = 3;
/// Until the flood is in full spate.
const SPATE: Duration = Duration::from_secs(1);
/// The model of the flood: a linear one of the zoo under another name, of the lowest priority.
const MODEL: &str = "satisfaction";
const LIKE: &str = "subsidy_triage";

/// Quiet and flooded in turn, so that both have the same machine.
pub(crate) async fn measure(
    table: &mut Table,
    cluster: &Cluster,
    folder: &Path,
) -> anyhow::Result<()> {
    ship(cluster, folder)?;
    let (mut quiet, mut flooded, mut rates) = (vec![], vec![], vec![]);
    infer(&cluster.grpc, 1, 1, WARM_UP_CALLS).await?;
    for _ in 0..REPETITIONS {
        quiet.push(infer(&cluster.grpc, 1, 1, INFER_CALLS).await?);
        let flood = Flood::start(&cluster.grpc)?;
        tokio::time::sleep(SPATE).await;
        flooded.push(infer(&cluster.grpc, 1, 1, INFER_CALLS).await?);
        rates.push(flood.stop()?);
    }
    lines(table, &quiet, &flooded, &rates);
    Ok(())
}

fn lines(table: &mut Table, quiet: &[Taken], flooded: &[Taken], rates: &[[f64; 2]]) {
    let what = format!("fall_risk, 1 in flight, beside {CLIENTS} clients of {MODEL}");
    table.line(&format!("{what}, p50"), time, p50(flooded), "without them", p50(quiet));
    table.line(&format!("{what}, p99"), time, p99(flooded), "without them", p99(quiet));
    let [answered, refused] =
        [0, 1].map(|at| middle(rates.iter().map(|rates| rates[at]).collect()));
    table.add(&format!(
        "| the {CLIENTS} clients meanwhile: answered | {} | refused: {} | |\n",
        rate(answered),
        rate(refused)
    ));
}

/// Puts the model of the flood into the cluster.
fn ship(cluster: &Cluster, folder: &Path) -> anyhow::Result<()> {
    let from = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/zoo")).join(LIKE);
    let to = folder.join(MODEL);
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    let manifest = fs::read_to_string(to.join("manifest.toml"))?;
    let name = format!("name = {LIKE:?}");
    anyhow::ensure!(manifest.starts_with(&name), "another manifest than was expected");
    let renamed = manifest.replacen(&name, &format!("name = {MODEL:?}\npriority = \"batch\""), 1);
    fs::write(to.join("manifest.toml"), renamed)?;
    let to = to.to_str().context("a folder with a name that is no text")?;
    cluster.run(&["model", "push", to, "--author", "li"])?;
    cluster.run(&["model", "approve", MODEL, "1", "--actor", "wang"])?;
    cluster.run(&["model", "activate", MODEL, "1", "--actor", "wang"])
}

/// The running clients; end with this.
struct Flood(Child);

impl Flood {
    fn start(address: &str) -> anyhow::Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args([ROLE, address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    /// Calls a second that were answered, and that were refused.
    fn stop(mut self) -> anyhow::Result<[f64; 2]> {
        drop(self.0.stdin.take());
        let mut line = String::new();
        let said = self.0.stdout.take().context("the flood says nothing")?;
        BufReader::new(said).read_line(&mut line)?;
        let mut rates = line.split_whitespace().map(str::parse);
        let mut next = || anyhow::Ok(rates.next().context("a rate is missing")??);
        Ok([next()?, next()?])
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The side of the flood: asks until its standard input ends, then says how often.
pub(crate) fn pour(address: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let local = tokio::task::LocalSet::new();
    let answered = Rc::new(Cell::new(0_u64));
    let refused = Rc::new(Cell::new(0_u64));
    let begun = Instant::now();
    local.block_on(&runtime, async {
        for client in 0..CLIENTS {
            let channel = connect(address).await?;
            let (answered, refused) = (Rc::clone(&answered), Rc::clone(&refused));
            tokio::task::spawn_local(async move {
                let mut client_of = GrpcInferenceServiceClient::new(channel);
                let mut rng = rng(client as u64);
                loop {
                    let key = resident_key(rng.random_range(0..HOMES));
                    match client_of.model_infer(by_entity(MODEL, &key)).await {
                        Ok(_) => answered.set(answered.get() + 1),
                        Err(status) if status.code() == Code::ResourceExhausted => {
                            refused.set(refused.get() + 1);
                        }
                        Err(status) => {
                            eprintln!("the flood: {status}");
                            return;
                        }
                    }
                }
            });
        }
        ended.await??;
        anyhow::Ok(())
    })?;
    let each = |count: &Cell<u64>| count.get() as f64 / begun.elapsed().as_secs_f64();
    println!("{} {}", each(&answered), each(&refused));
    Ok(())
}
