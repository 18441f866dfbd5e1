//! One call to a bitcoind over HTTP, and what its failure means.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jsonrpc::bitreq;
use jsonrpc::bitreq_http::{BitreqHttpTransport, Error as HttpError};
use jsonrpc::error::RpcError;
use lastword_ports::{ChainError, ChainErrorKind};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::to_raw_value;
use thiserror::Error;

/// How long one call may take, unless [`BitcoindSource::with_timeout`] says otherwise.
///
/// [`BitcoindSource::with_timeout`]: crate::BitcoindSource::with_timeout
pub const RPC_TIMEOUT: Duration = Duration::from_secs(30);

/// A bitcoind's own words for why it did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message} (code {code})")]
pub struct RpcRefusal {
    /// The number of the reason, of Bitcoin Core's `RPCErrorCode`.
    pub code: i32,
    /// The reason.
    pub message: String,
}

/// Why a call gave nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The node understood and said no.
    Refusal(RpcRefusal),
    /// Everything else.
    Chain(ChainError),
}

impl Failure {
    /// Takes any refusal as one that contradicts the interface.
    pub(crate) fn into_chain_error(self) -> ChainError {
        match self {
            Self::Chain(error) => error,
            Self::Refusal(refusal) => {
                ChainError::new(ChainErrorKind::Nonsense, "bitcoind does not know this call")
                    .with_source(refusal)
            }
        }
    }
}

/// A bitcoind, by URL and cookie.
#[derive(Debug, Clone)]
pub(crate) struct Rpc {
    url: String,
    cookie_file: PathBuf,
    cookie: String,
    timeout: Duration,
    client: Arc<jsonrpc::Client>,
}

impl Rpc {
    pub(crate) fn new(
        url: &str,
        cookie_file: &Path,
        timeout: Duration,
    ) -> Result<Self, ChainError> {
        let cookie = read_cookie(cookie_file)?;
        let client = client(url, &cookie, timeout)?;
        let (url, cookie_file) = (url.to_owned(), cookie_file.to_owned());
        Ok(Self { url, cookie_file, cookie, timeout, client })
    }

    /// Calls a method; a node that was restarted since has another cookie, which is read again.
    pub(crate) fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: &[Value],
    ) -> Result<T, Failure> {
        match self.call_once(method, parameters) {
            Err(Failure::Chain(error)) if error.kind == ChainErrorKind::Refused => {
                let cookie = read_cookie(&self.cookie_file).map_err(Failure::Chain)?;
                if cookie == self.cookie {
                    return Err(Failure::Chain(error));
                }
                self.client = client(&self.url, &cookie, self.timeout).map_err(Failure::Chain)?;
                self.cookie = cookie;
                self.call_once(method, parameters)
            }
            other => other,
        }
    }

    fn call_once<T: DeserializeOwned>(
        &self,
        method: &str,
        parameters: &[Value],
    ) -> Result<T, Failure> {
        let parameters = to_raw_value(parameters).map_err(|error| failure(error.into()))?;
        let request = self.client.build_request(method, Some(&parameters));
        let response = self.client.send_request(request).map_err(failure)?;
        response.result().map_err(failure)
    }
}

fn client(url: &str, cookie: &str, timeout: Duration) -> Result<Arc<jsonrpc::Client>, ChainError> {
    let builder = BitreqHttpTransport::builder().timeout(timeout).cookie_auth(cookie);
    let builder = builder
        .url(url)
        .map_err(|error| ChainError::new(ChainErrorKind::Refused, NOT_A_URL).with_source(error))?;
    Ok(Arc::new(jsonrpc::Client::with_transport(builder.build())))
}

/// Reads the cookie; a node that is down has removed the file.
fn read_cookie(path: &Path) -> Result<String, ChainError> {
    let cookie = std::fs::read_to_string(path).map_err(|error| {
        ChainError::new(ChainErrorKind::Retry, "bitcoind's cookie file cannot be read")
            .with_source(error)
    })?;
    Ok(cookie.trim_end().to_owned())
}

/// Sorts what went wrong by what the caller should do.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open and not ours")]
fn failure(error: jsonrpc::Error) -> Failure {
    let (kind, detail) = match &error {
        jsonrpc::Error::Rpc(RpcError { code, message, .. }) => {
            let refusal = RpcRefusal { code: *code, message: message.clone() };
            if *code != RPC_IN_WARMUP {
                return Failure::Refusal(refusal);
            }
            (ChainErrorKind::Retry, "bitcoind is starting")
        }
        jsonrpc::Error::Transport(error) => match error.downcast_ref::<HttpError>() {
            Some(error) => transport_kind(error),
            None => (ChainErrorKind::Retry, "bitcoind is away"),
        },
        _ => (ChainErrorKind::Nonsense, "bitcoind's answer is not what was asked for"),
    };
    Failure::Chain(ChainError::new(kind, detail).with_source(error))
}

/// Says what a failed exchange means.
fn transport_kind(error: &HttpError) -> (ChainErrorKind, &'static str) {
    if let HttpError::Http(answer) = error {
        return match answer.status_code {
            401 | 403 => (ChainErrorKind::Refused, "bitcoind refuses the cookie"),
            500.. => (ChainErrorKind::Retry, "bitcoind is busy"),
            _ => (ChainErrorKind::Nonsense, "there is something else than a bitcoind"),
        };
    }
    let HttpError::Bitreq(error) = error else {
        return (ChainErrorKind::Nonsense, "bitcoind's answer is not JSON");
    };
    let is_away = matches!(error, bitreq::Error::IoError(_) | bitreq::Error::AddressNotFound);
    let is_url =
        matches!(error, bitreq::Error::InvalidUrl(_) | bitreq::Error::HttpsFeatureNotEnabled);
    if is_away {
        (ChainErrorKind::Retry, "bitcoind is away")
    } else if is_url {
        (ChainErrorKind::Refused, NOT_A_URL)
    } else {
        (ChainErrorKind::Nonsense, "bitcoind's answer is damaged")
    }
}

/// What is said of a URL that cannot be used.
const NOT_A_URL: &str = "the URL of bitcoind is not a plain http one";
/// The node is still loading its chain.
const RPC_IN_WARMUP: i32 = -28;
