//! Pings of a config's dead man's switch: rows among the deliveries, so that the newest outcome arrives at
//! least once. An older one that has not arrived by then is dropped: it would contradict the newer.

use sea_orm::{ActiveValue::Set, entity::prelude::*};

use super::{
    AppError, Holdfast, Result,
    deliveries::{Told, row},
};
use crate::{
    domain::{event::Event, ids::ConfigId, run::RunEvent},
    log::{LogError, Recorded, Unit},
    notify::{self, Address, Message, SendError, ping::Ping},
    readmodel::configs,
};

impl Holdfast {
    /// Writes down what the event is to the switch of its config, if it has one.
    pub(super) async fn note_ping(
        &self,
        unit: &mut Unit,
        event: &Recorded,
    ) -> Result<(), LogError> {
        let (Some(ping), Some(config)) = (ping_of(&event.event), event.scope.config) else {
            return Ok(());
        };
        let row = configs::get(unit.tx(), config).await?;
        if !row.is_some_and(|row| row.removed_at.is_none() && row.spec().ping.is_some()) {
            return Ok(());
        }
        let mut obsolete = row::Entity::update_many()
            .col_expr(row::Column::Status, Expr::value("failed"))
            .col_expr(
                row::Column::LastError,
                Expr::value("a newer one took its place"),
            )
            .filter(row::Column::ConfigId.eq(config.0))
            .filter(row::Column::Status.eq("pending"));
        if ping == Ping::Start {
            obsolete = obsolete.filter(row::Column::Ping.eq(Ping::Start.name()));
        }
        obsolete.exec(unit.tx()).await?;
        let told = Told {
            topic: ping.name(),
            title: match ping {
                Ping::Start => "Backup started",
                Ping::Success => "Backup succeeded",
                Ping::Fail => "Backup failed",
            },
            urgent: ping == Ping::Fail,
        };
        let message = self.message_of(unit, event, told).await?;
        let delivery = row::ActiveModel {
            config_id: Set(Some(config.0)),
            ping: Set(Some(ping.name().to_owned())),
            ..row::new(0, &message, unit.now())?
        };
        row::Entity::insert(delivery)
            .exec_without_returning(unit.tx())
            .await?;
        Ok(())
    }

    /// One attempt. `Err`: the log or the vault failed, not the receiver.
    pub(super) async fn ping(
        &self,
        config: ConfigId,
        ping: &str,
        message: &Message,
    ) -> Result<std::result::Result<u16, SendError>> {
        let row = configs::get(self.db(), config).await?;
        let spec = row.and_then(|row| row.spec().ping);
        let (Some(spec), Some(ping)) = (spec, Ping::parse(ping)) else {
            return Err(AppError::NotFound("the address to ping".into()));
        };
        let url = self.0.vault.get(self.db(), &spec.url).await?;
        let address = match Address::parse(url.expose()) {
            Ok(address) => address,
            Err(error) => return Ok(Err(error.into())),
        };
        let letter = ping.letter(&address, &message.text);
        Ok(notify::send(&letter, self.settings().private_webhooks).await)
    }
}

fn ping_of(event: &Event) -> Option<Ping> {
    let Event::Run(change) = event else {
        return None;
    };
    match change {
        RunEvent::Started { attempt: 1, .. } => Some(Ping::Start),
        RunEvent::Succeeded { .. } => Some(Ping::Success),
        RunEvent::Failed { .. } => Some(Ping::Fail),
        _ => None,
    }
}
