//! Talk between nodes.

mod channel;
mod frame;
mod incoming;
mod link;
mod net;
mod receive;
mod send;
mod server;
mod stream;

pub(crate) use channel::{Client, Lane, Peers};
pub(crate) use frame::{Kind, meaning, pack, plain, unpack};
pub(crate) use incoming::Incoming;
pub(crate) use link::Links;
pub(crate) use net::TcpListener;
pub(crate) use proto::Frame;
pub(crate) use receive::receive_file;
pub(crate) use server::{Service, serve};

#[allow(clippy::pedantic, unreachable_pub, unused_qualifications, missing_debug_implementations)] // generated
pub(crate) mod proto {
    tonic::include_proto!("hearth.raft.v1");
}
