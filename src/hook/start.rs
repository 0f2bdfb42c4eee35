//! `start`: the service runs. What a `stop` of the same config stopped needs none: that is started
//! as soon as the data is out.

use async_trait::async_trait;

use super::{Kind, Place, Ran};
use crate::{domain::failure::Failure, strategy::service};

pub(super) struct Start;

#[async_trait]
impl Kind for Start {
    fn name(&self) -> &'static str {
        "start"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["start_container"]
    }

    fn label(&self) -> &'static str {
        "Start the service"
    }

    fn starts_service(&self) -> bool {
        true
    }

    async fn run(&self, place: &Place<'_>) -> Result<Ran, Failure> {
        let Some(container) = place.containers.first().filter(|first| !first.running) else {
            return Ok(Ran::skipped("it ran already"));
        };
        let start = async { Ok(service::start(&**place.engine, &container.id).await?) };
        place.within(start).await?;
        Ok(Ran::done(format!("started {}", container.name)))
    }
}
