//! A plugin that answers with a status, so that tests need no plugin of the product.

use portcullis_plugin_sdk::{BuildError, Fault, Filter, Flow, Hooks, Plugin, Reply, RequestView};
use schemars::JsonSchema;
use serde::Deserialize;

/// `answer: { status: 503 }`.
pub(crate) struct Answer(http::StatusCode);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerSettings {
    #[serde(default = "unavailable")]
    status: u16,
}

const fn unavailable() -> u16 {
    503
}

impl Plugin for Answer {
    const NAME: &'static str = "answer";
    type Settings = AnswerSettings;

    fn build(settings: AnswerSettings) -> Result<Box<dyn Filter>, BuildError> {
        let status = http::StatusCode::from_u16(settings.status)
            .map_err(|_| BuildError::new("/status", format!("{} is not a status", settings.status)))?;
        Ok(Box::new(Self(status)))
    }
}

impl Filter for Answer {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    fn on_request(&self, _: &mut RequestView<'_>) -> Result<Flow, Fault> {
        Ok(Flow::Respond(Reply::new(self.0)))
    }
}
