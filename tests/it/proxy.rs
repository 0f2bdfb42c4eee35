//! A socket in front of the real engine's: it can go away, come back, and cut a program's stream.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

const ENGINE: &str = "/var/run/docker.sock";

/// Listens until dropped.
pub struct Proxy {
    socket: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// `through` is how many bytes of a program's stream get through before the connection is
    /// closed in good order, as a proxy does that was told to stop.
    pub fn listen(socket: &Path, through: Option<usize>) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, through, seen.clone()));
            }
        });
        Self {
            socket: socket.to_owned(),
            requests,
            accepting,
        }
    }

    /// First lines of the requests, one a connection.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_file(&self.socket);
    }
}

async fn pass(mut client: UnixStream, through: Option<usize>, seen: Arc<Mutex<Vec<String>>>) {
    let mut engine = UnixStream::connect(ENGINE).await.unwrap();
    let mut request = vec![0; 64 * 1024];
    let count = client.read(&mut request).await.unwrap_or(0);
    let first = String::from_utf8_lossy(&request[..count]);
    let line = first.lines().next().unwrap_or("").to_owned();
    seen.lock().unwrap().push(line.clone());
    engine.write_all(&request[..count]).await.unwrap();
    match through {
        Some(through) if line.contains("/start ") => cut(client, engine, through).await,
        _ => {
            let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
        }
    }
}

/// Passes the head of the answer on, waits for the whole stream, gives away the first of it.
async fn cut(mut client: UnixStream, mut engine: UnixStream, through: usize) {
    let mut answer = Vec::new();
    engine.read_to_end(&mut answer).await.unwrap();
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    client.write_all(&answer[..head]).await.unwrap();
    client.write_all(&answer[head..][..through]).await.unwrap();
}
