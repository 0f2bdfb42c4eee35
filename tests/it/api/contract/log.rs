//! The log of a run that is over.

use holdfast::domain::access::Role;

use super::desk::Desk;

impl Desk<'_> {
    pub async fn logged(&mut self, run: i64) {
        let path = format!("/backups/runs/{run}/log");
        let request = self.api.request("GET", &path);
        let request = request.bearer_auth(self.api.token(Role::Admin));
        let again = request.try_clone().unwrap();
        let told = self.seen.ask(request, None, 200).await.text;
        for part in ["event: entry", "\"run.succeeded\"", "event: end"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let last = again.header("Last-Event-ID", i64::MAX);
        self.seen.ask(last, None, 204).await;
    }
}
