//! What people put in front of a daemon that others reach: a proxy that speaks
//! TLS, with a certificate of an authority of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// Who vouches for certificates.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One that nobody trusts yet.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// Writes down what it takes to trust it.
    pub fn write(&self, file: &Path) -> anyhow::Result<PathBuf> {
        std::fs::write(file, &self.pem)?;
        Ok(file.to_owned())
    }

    /// What a server shows as `localhost`.
    fn server(&self) -> anyhow::Result<TlsAcceptor> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(["localhost".to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// The proxy; it ends when it is dropped.
pub struct TlsProxy {
    port: u16,
    connections: Arc<Mutex<JoinSet<()>>>,
    listens: AbortHandle,
}

impl TlsProxy {
    /// Passes on to `behind` what comes over TLS.
    pub async fn start(behind: SocketAddr, authority: &Authority) -> anyhow::Result<Self> {
        let acceptor = authority.server()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let all = Arc::clone(&connections);
        let listens = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                let connection = async move {
                    // Whoever does not trust it goes away.
                    let Ok(mut near) = acceptor.accept(near).await else { return };
                    let Ok(mut far) = TcpStream::connect(behind).await else { return };
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                };
                all.lock().unwrap_or_else(PoisonError::into_inner).spawn(connection);
            }
        });
        Ok(Self { port, connections, listens: listens.abort_handle() })
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Breaks every connection; the next one is welcome.
    pub fn cut(&self) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.listens.abort();
        self.cut();
    }
}
