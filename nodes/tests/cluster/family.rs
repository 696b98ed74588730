//! The relatives' feed: what consent allows, and not a second longer.

use crate::gather::reading;
use crate::local::Cluster;
use crate::people::{relate, settle};
use nodes::client::alerts_client;
use nodes::proto::hearth::{ActRequest, FamilyFeedRequest, FamilyUpdate};
use std::time::{Duration, Instant};
use tonic::{Code, Streaming};

const STOPS_WITHIN: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

async fn next(feed: &mut Streaming<FamilyUpdate>) -> FamilyUpdate {
    let next = tokio::time::timeout(PATIENCE, feed.message()).await.expect("no message");
    next.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relative_sees_what_consent_allows_and_stops_seeing_it_within_a_second() {
    let cluster = Cluster::start().await;
    settle(&cluster.nodes[0], 0..3).await;
    relate(&cluster.nodes[0], "r1", "daughter", "child", true).await;
    relate(&cluster.nodes[0], "r2", "son", "child", true).await;
    let client = cluster.client();
    let follower = &cluster.nodes[cluster.follower().await];
    let follow = async |relative: &str| {
        let request = FamilyFeedRequest { relative_key: relative.to_owned() };
        alerts_client(follower.channel()).family_feed(request).await
    };
    let stranger = follow("stranger").await.unwrap_err();
    assert_eq!(stranger.code(), Code::PermissionDenied);
    assert_eq!(follow("").await.unwrap_err().code(), Code::InvalidArgument);

    let mut daughters = follow("daughter").await.unwrap().into_inner();
    let mut sons = follow("son").await.unwrap().into_inner();
    for home in [0, 1, 2] {
        let id = format!("f{home}");
        let fall = reading("home", &id, &format!("pir{home}"), "fall", 1.0);
        client.append(vec![fall]).await.unwrap();
    }
    let seen = next(&mut daughters).await;
    assert_eq!((seen.resident_key.as_str(), seen.kind.as_str()), ("r1", "fall"));
    assert_eq!((seen.level, seen.state.as_str()), (1, "l1_notified"));
    assert_eq!(next(&mut sons).await.resident_key, "r2");
    let act = async |action: &str| {
        let request = ActRequest {
            alert_id: seen.alert_id.clone(),
            action: action.to_owned(),
            actor: "daughter".to_owned(),
            ..ActRequest::default()
        };
        alerts_client(follower.channel()).act(request).await.unwrap();
    };
    act("ack").await;
    assert_eq!(next(&mut daughters).await.state, "l1_ack");

    // Withdrawn: the open feed ends, and what happens from then on is not seen.
    let begun = Instant::now();
    relate(&cluster.nodes[0], "r1", "daughter", "child", false).await;
    let ended = tokio::time::timeout(PATIENCE, daughters.message()).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(ended.unwrap_err().code(), Code::PermissionDenied);
    assert!(took <= STOPS_WITHIN, "the feed went on for {took:?}");
    assert_eq!(follow("daughter").await.unwrap_err().code(), Code::PermissionDenied);
    act("dispatch").await;
    // The other feed goes on.
    let sos = reading("home", "s2", "pir2", "sos", 1.0);
    client.append(vec![sos]).await.unwrap();
    let seen = next(&mut sons).await;
    assert_eq!((seen.kind.as_str(), seen.level), ("sos", 3));
    // And consent that is given again opens it again, with what is open now.
    relate(&cluster.nodes[0], "r1", "daughter", "child", true).await;
    let mut again = follow("daughter").await.unwrap().into_inner();
    assert_eq!(next(&mut again).await.state, "dispatched");
}
