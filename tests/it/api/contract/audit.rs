//! What an admin asks of the log as evidence, beyond looking at it.

use serde_json::json;

use super::desk::Desk;

impl Desk<'_> {
    pub async fn detail(&mut self) {
        let path = "/audit/pruning";
        let dry = json!({ "older_than_days": 365, "dry_run": true });
        let told = self.ask("POST", path, dry, 200).await;
        assert_eq!(
            (&told["events"], &told["dry_run"]),
            (&json!(0), &json!(true))
        );
        let wet = json!({ "older_than_days": 365 });
        let told = self.ask("POST", path, wet, 200).await;
        assert_eq!((&told["segments"], &told["kept"]), (&json!([]), &json!([])));
        for nonsense in [
            json!({ "older_than_days": 0 }),
            json!({ "older_than_days": "x" }),
        ] {
            let told = self.ask("POST", path, nonsense, 400).await;
            assert!(told["fields"]["older_than_days"].is_string(), "{told}");
        }
    }
}
