//! The sockets under the peer port: TCP, or in a simulation turmoil's.

#[cfg(not(feature = "sim"))]
pub(crate) use tcp::{TcpListener, connect, incoming};

#[cfg(feature = "sim")]
pub(crate) use crate::sim::{TcpListener, connect, incoming};

#[cfg(not(feature = "sim"))]
mod tcp {
    pub(crate) use tokio::net::TcpListener;
    use tonic::transport::server::TcpIncoming;
    use tonic::transport::{Channel, Endpoint};

    pub(crate) fn connect(endpoint: &Endpoint) -> Channel {
        endpoint.connect_lazy()
    }

    /// Without delay: an answer that waits for the acknowledgement of the one before waits for 40 ms.
    pub(crate) fn incoming(listener: TcpListener) -> TcpIncoming {
        TcpIncoming::from(listener).with_nodelay(Some(true))
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use tokio_stream::StreamExt as _;

        #[tokio::test]
        async fn answers_of_a_peer_are_not_held_back() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut incoming = incoming(listener);
            let asking = tokio::net::TcpStream::connect(address);
            let (answering, _asking) = tokio::join!(incoming.next(), asking);
            assert!(answering.unwrap().unwrap().nodelay().unwrap());
        }
    }
}
