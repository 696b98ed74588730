//! A view that is pushed to a running cluster: every node serves it, also one that was restarted.

use crate::gather::reading;
use crate::local::Cluster;
use crate::people::settle;
use crate::tables::rows;
use nodes::client::{events_client, views_client};
use nodes::proto::hearth::{AppendRequest, GetViewRequest};

const BUSY: &str = "name = \"busy\"\nentity = \"device\"\nversion = 1\n[[feature]]\n\
                    name = \"spread\"\nkind = \"gas\"\naggregate = \"variance\"\nwindow = \"28d\"\n\
                    [[feature]]\nname = \"double\"\nexpression = \"2 * spread\"\ndefault = -1\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_view_is_served_by_every_node_from_its_entry_on() {
    let mut cluster = Cluster::start().await;
    let follower = cluster.follower().await;
    settle(&cluster.nodes[follower], 0..1).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("busy.toml");
    let file_name = file.to_str().unwrap().to_owned();
    std::fs::write(&file, BUSY).unwrap();
    let pushed = cluster.run(&["view", "push", &file_name, "--author", "ann"]).await;
    assert!(pushed.status.success(), "{pushed:?}");
    let pushed = String::from_utf8_lossy(&pushed.stdout).into_owned();
    assert!(pushed.contains("busy") && pushed.contains("current"), "{pushed}");

    let send = async |cluster: &Cluster, numbers: [u32; 2]| {
        let event =
            |number: u32| reading("home", &format!("e-{number}"), "g", "gas", f64::from(number));
        let request =
            AppendRequest { events: numbers.map(event).into(), request_id: String::new() };
        let mut client = events_client(cluster.nodes[follower].channel());
        client.append(request).await.unwrap().into_inner().log_index
    };
    let sql = "SELECT feature, value, status FROM feature_current \
               WHERE view = 'busy' AND entity_key = 'g' ORDER BY feature";
    let index = send(&cluster, [1, 3]).await;
    for node in &cluster.nodes {
        // Who had read nothing before knows everything that a new view asks for.
        let want = [["double", "4", "present"], ["spread", "2", "present"]];
        assert_eq!(rows(node, index, sql).await, want, "node {}", node.id);
        let request = GetViewRequest { name: "busy".to_owned(), version: 0 };
        let known = views_client(node.channel()).get(request).await.unwrap().into_inner();
        assert_eq!((known.version, known.author.as_str(), known.text.as_str()), (1, "ann", BUSY));
        assert!(known.features.iter().all(|feature| feature.since_us == 0));
    }
    let listed = "SELECT version, state, author FROM feature_view WHERE view = 'busy'";
    assert_eq!(rows(&cluster.nodes[0], index, listed).await, [["1", "current", "ann"]]);

    // The same version with other numbers, and a view that is none: one line that says what to do.
    for (text, want) in [
        (BUSY.replace("28d", "7d"), "push this one as version 2"),
        (BUSY.replace("2 * spread", "2 * spred"), "feature double: expression"),
    ] {
        std::fs::write(&file, text).unwrap();
        let refused = cluster.run(&["view", "push", &file_name]).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(want) && said.lines().count() == 1, "{said}");
        assert_eq!(refused.status.code(), Some(3), "{said}");
    }

    cluster.nodes[follower].kill();
    cluster.nodes[follower].start();
    cluster.nodes[follower].wait_up().await;
    let index = send(&cluster, [5, 7]).await;
    for node in &cluster.nodes {
        let spread = &rows(node, index, sql).await[1][1];
        assert!(spread.starts_with("6.66666"), "node {}: {spread}", node.id);
    }
    let retired = cluster.run(&["view", "retire", "busy", "1"]).await;
    assert!(retired.status.success(), "{retired:?}");
    cluster.same_state().await;
}
