//! A server that answers what it is told to: only for errors that no real bitcoind makes to order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use lastword_chain::BitcoindSource;
use lastword_ports::ChainError;
use serde_json::{Value, json};
use tempfile::TempDir;

/// One answer, to one request on one connection.
pub(crate) enum Reply {
    /// A result, wrapped for the request that came.
    Result(Value),
    /// An error of the node, wrapped for the request that came.
    Error(i32, &'static str),
    /// A status and a body.
    Http(u16, Vec<u8>),
    /// A status and half of the body that its length promises.
    Cut(Vec<u8>),
    /// Nothing, until the client has lost patience.
    Hang,
    /// Nothing, at once.
    Close,
}

/// A running server, and the cookie file that belongs to it.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) cookie_file: PathBuf,
    _folder: TempDir,
    thread: JoinHandle<Vec<Seen>>,
}

/// What a client asked.
pub(crate) struct Seen {
    pub(crate) authorization: String,
    pub(crate) method: String,
}

/// The least answer that lets a client connect.
pub(crate) fn hello() -> Reply {
    let hash = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
    Reply::Result(json!({ "blocks": 0, "bestblockhash": hash }))
}

/// How long clients of these servers wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Answers that many requests and stops.
pub(crate) fn scripted(replies: Vec<Reply>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let folder = tempfile::tempdir().expect("there is room");
    let cookie_file = folder.path().join(".cookie");
    std::fs::write(&cookie_file, "__cookie__:first").expect("there is room");
    let thread = std::thread::spawn(move || {
        replies
            .iter()
            .map(|reply| {
                let (stream, _) = listener.accept().expect("a client comes");
                answer(stream, reply)
            })
            .collect()
    });
    Server { url, cookie_file, _folder: folder, thread }
}

impl Server {
    pub(crate) fn connect(&self) -> Result<BitcoindSource, ChainError> {
        BitcoindSource::with_timeout(&self.url, &self.cookie_file, PATIENCE)
    }

    /// Waits until all is answered.
    pub(crate) fn finish(self) -> Vec<Seen> {
        self.thread.join().expect("every request came")
    }
}

fn answer(stream: TcpStream, reply: &Reply) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut authorization = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("the client is there");
        if line.trim_end().is_empty() {
            break;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.clone_into(&mut authorization),
            "content-length" => length = value.parse().expect("a number"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the client is there");
    let request: Value = serde_json::from_slice(&body).expect("the client speaks JSON");
    let method = request["method"].as_str().expect("a name").to_owned();
    send(reader.into_inner(), reply, &request["id"]);
    Seen { authorization, method }
}

fn send(mut stream: TcpStream, reply: &Reply, id: &Value) {
    let (status, body, promised) = match reply {
        Reply::Result(result) => {
            let body = json!({ "result": result, "error": null, "id": id }).to_string();
            (200, body.clone().into_bytes(), body.len())
        }
        Reply::Error(code, message) => {
            let error = json!({ "code": code, "message": message });
            let body = json!({ "result": null, "error": error, "id": id }).to_string();
            (500, body.clone().into_bytes(), body.len())
        }
        Reply::Http(status, body) => (*status, body.clone(), body.len()),
        Reply::Cut(body) => (200, body.clone(), 2 * body.len()),
        Reply::Hang => {
            std::thread::sleep(PATIENCE + Duration::from_millis(500));
            return;
        }
        Reply::Close => return,
    };
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {promised}\r\nConnection: close\r\n\r\n"
    );
    // A client that does not wait for the end has its reasons.
    drop(stream.write_all(&[head.as_bytes(), &body].concat()));
}
