//! A Flight SQL server over a small warehouse, to try clients against. Name `ada`, password `love`;
//! with the argument `open` nobody is asked. Prints its address and serves until its input ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "an example may stop at once"
)]

#[path = "../tests/server/fake_node.rs"]
mod fake_node;

use std::{io::Read, sync::Arc};

use fake_node::{FakeNode, blank_row};
use features::{civil, table::Cell};
use flight::{Live, incoming, server_builder, service};

const DWELLINGS: i64 = 1000;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let node = FakeNode::new(folder.path(), std::env::args().any(|each| each == "open"));
    let row = |at: i64| {
        let mut row = blank_row("dwelling", &format!("w{at}"));
        row[4] = Cell::Int(at % 7);
        row[5] = Cell::Real(at as f64);
        row
    };
    node.write(civil::table("dwelling").unwrap(), (1..=DWELLINGS).map(row).collect());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let live: Arc<dyn Live> = Arc::clone(&node) as Arc<dyn Live>;
    let serving = server_builder()
        .add_service(service(Arc::clone(&node.warehouse), live))
        .serve_with_incoming_shutdown(incoming(listener), async {
            let ended =
                tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
            drop(ended.await);
        });
    println!("{address}");
    serving.await.unwrap();
}
