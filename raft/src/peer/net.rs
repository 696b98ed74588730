//! The sockets under the peer port: TCP, or in a simulation turmoil's.

#[cfg(not(feature = "sim"))]
pub(crate) use tcp::{TcpListener, connect, incoming};

#[cfg(feature = "sim")]
pub(crate) use crate::sim::{TcpListener, connect, incoming};

#[cfg(not(feature = "sim"))]
mod tcp {
    pub(crate) use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::{Channel, Endpoint};

    pub(crate) fn connect(endpoint: &Endpoint) -> Channel {
        endpoint.connect_lazy()
    }

    pub(crate) fn incoming(listener: TcpListener) -> TcpListenerStream {
        TcpListenerStream::new(listener)
    }
}
