//! A connection to a broker under TLS. The broker has to show a certificate of the named authority.

use super::config::Tls;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What of the files and the broker does not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("tls {file}: {said}")]
    File { file: String, said: String },
    #[error("tls: {0}")]
    Config(String),
    #[error("tls: {0}")]
    Handshake(#[from] std::io::Error),
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |said: String| TlsError::File { file: file.display().to_string(), said };
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| refuse(error.to_string()))?.collect();
    let found = found.map_err(|error| refuse(error.to_string()))?;
    if found.is_empty() {
        return Err(refuse("there is no certificate in it".to_owned()));
    }
    Ok(found)
}

/// The files as they are now: a renewed certificate counts from the next connection on.
pub(crate) fn connector(tls: &Tls) -> Result<TlsConnector, TlsError> {
    let wrong = |said: String| TlsError::Config(said);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots);
    let config = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
                file: key.display().to_string(),
                said: error.to_string(),
            })?;
            config
                .with_client_auth_cert(certificates(certificate)?, private)
                .map_err(|error| wrong(error.to_string()))?
        }
        _ => config.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Shakes hands with the broker of that address.
pub(crate) async fn secure(
    tls: &Tls,
    address: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, TlsError> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| TlsError::Config(error.to_string()))?;
    Ok(connector(tls)?.connect(name, stream).await?)
}
