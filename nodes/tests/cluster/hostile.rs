//! Files that mean harm: each hurts the process that validates it, and nothing else.

use crate::lifecycle::{model, refused};
use crate::local::{Cluster, Shape, eventually};
use crate::models::{score, ship};
use crate::people::settle;
use nodes::config::{Models, ValidatorLimits};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Instant;

/// File, and what the one line about it says. `hostile/make.py` says what is in them.
const FILES: [(&str, &[&str]); 6] = [
    ("loop.onnx", &["operator `Loop`", "unrolled"]),
    ("random.onnx", &["RandomUniformLike", "random"]),
    ("giant.onnx", &["memory", "512 MiB"]),
    ("count.onnx", &["memory", "512 MiB"]),
    // By its processor time, or on a busy machine by the clock.
    ("slow.onnx", &["its validation", "was stopped"]),
    ("crash.onnx", &["`Div` of whole numbers", "cast to float"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_file_hurts_only_the_process_that_looks_at_it() {
    let models =
        Models { validator: ValidatorLimits { memory_mib: 512, seconds: 2 }, ..Models::default() };
    let cluster = Cluster::shaped(Shape { nodes: 1, models, ..Shape::default() }).await;
    let node = &cluster.nodes[0];
    settle(node, 0..2).await;
    ship(&cluster, "fall_risk").await;
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/hostile");
    let before = node.status().await.unwrap();
    for (file, words) in FILES {
        let path = files.join(file);
        let arguments = ["push", path.to_str().unwrap(), "--name", "hostile", "--author", "li"];
        let (cluster, begun) = (&cluster, Instant::now());
        let push = async {
            refused(cluster, &arguments, words).await;
            false
        };
        // It answers all the while.
        let serve = async {
            loop {
                score(node, "fall_risk", "r1", false).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            served_only = push => assert!(!served_only),
            () = serve => {}
        }
        println!("{file}: refused after {} ms", begun.elapsed().as_millis());
    }
    // Whatever else could break it: here it is a signal from outside, one that no handler swallows.
    let path = files.join("slow.onnx");
    let arguments = ["push", path.to_str().unwrap(), "--name", "hostile", "--author", "li"];
    let broken = eventually("a validator at work", async || {
        let validator = validator_of(node.process_id())?;
        kill_process(validator, Signal::ILL).ok()
    });
    tokio::join!(refused(&cluster, &arguments, &["signal 4"]), broken);
    let files = node.home.join("not_onnx.onnx");
    std::fs::write(&files, "PK not a model").unwrap();
    refused(
        &cluster,
        &["push", files.to_str().unwrap(), "--name", "hostile"],
        &["not an ONNX model"],
    )
    .await;
    refused(&cluster, &["show", "hostile"], &["hostile"]).await;
    let after = node.status().await.unwrap();
    assert_eq!(after.term, before.term, "the node stood still or was started again");
    assert!(model(&cluster, &["list"]).await.contains("fall_risk"));
}

/// The process in which the node validates something.
fn validator_of(node: u32) -> Option<Pid> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes.into_iter().find_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()?;
        (parent == node && line.contains("validate-model")).then(|| Pid::from_raw(id))?
    })
}
