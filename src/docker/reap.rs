//! Ends programs that nobody waits for any more.
//!
//! An engine has no call for it, and closing a program's streams does not do it: its output is
//! then thrown away, its input looks complete to it, and it goes on. A dump would hold its locks
//! to the end, a restore would commit the half that it got. So each program gets a mark in its
//! environment, by which a second program finds and ends it, before the streams are closed.

use std::time::Duration;

use futures_util::future::{self, BoxFuture};
use tokio::{io, runtime::Handle, time::timeout};

use super::{Command, hijack::Wire};

/// How long ending a program may take, until its streams are closed all the same.
const LIMIT: Duration = Duration::from_secs(20);

/// The variable that holds the mark.
pub(super) const MARK: &str = "HOLDFAST_EXEC";

/// SIGINT, because on it clients cancel their query in the server (psql does on no other); SIGTERM
/// soon after, before a client goes on with its next statement; SIGKILL two seconds later. No
/// `grep -F`: that of busybox looks into the first variable only.
const SCRIPT: &str = r#"
signal() {
  none=1
  for f in $(grep -sl "$mark" /proc/[0-9]*/environ); do
    p=${f#/proc/}
    kill -"$1" "${p%/environ}" && none=0
  done
  return $none
}
mark=$1
signal INT || exit 0
sleep 0.2 || sleep 1
signal TERM || exit 0
for i in 1 2 3 4 5 6 7 8 9 10; do
  signal 0 || exit 0
  sleep 0.2 || sleep 1
done
signal KILL
"#;

/// Ends the program with this mark, or every marked one. Only a program of the same user is found.
pub(super) fn command(mark: Option<&str>, user: Option<String>) -> Command {
    let pattern = format!("{MARK}={}", mark.unwrap_or_default());
    let mut command = Command::new(["sh", "-c", SCRIPT, "sh", &pattern]);
    command.user = user;
    command
}

/// Ends the program when it is dropped armed, then closes its connection.
///
/// Meanwhile the connection is read, or it would never get there: an engine that cannot get rid of
/// a dead program's output tells nothing more about any program of that container.
pub(super) struct Guard {
    pub wire: Wire,
    pub end: Option<BoxFuture<'static, ()>>,
}

impl Guard {
    pub(super) fn disarm(&mut self) {
        self.end = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let (Some(end), Ok(runtime)) = (self.end.take(), Handle::try_current()) {
            let mut wire = self.wire.clone();
            runtime.spawn(async move {
                let drain = async {
                    let _ = io::copy(&mut wire, &mut io::sink()).await;
                    future::pending::<()>().await;
                };
                tokio::select! {
                    _ = timeout(LIMIT, end) => {}
                    () = drain => {}
                }
            });
        }
    }
}
