//! Which connection each task has.

use std::{sync::Arc, time::Duration};

use aws_sdk_apigatewaymanagement::{
    Client as Gateway, operation::post_to_connection::PostToConnectionError, primitives::Blob,
};
use aws_sdk_dynamodb::{Client, error::ProvideErrorMetadata, types::AttributeValue};
use aws_types::SdkConfig;
use domain::{
    TaskId, Timestamp,
    ports::{BackendError, Clock, Compute},
    task::TaskStatus,
};
use link::frame::ToRunner;

use super::{Claims, Connection};
use crate::store::{
    error::StoreError,
    keys::{self, Key, TTL},
    table::Table,
};

const CONNECTION: &str = "connection";
const STARTED_BY: &str = "startedBy";
const LAUNCH: &str = "launch";
const GENERATION: &str = "generation";
/// How long an item is kept after the last connection: longer than any session without one.
const KEEP: Duration = Duration::from_hours(24 * 7);

/// Whether a frame was given to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posted {
    Posted,
    /// The task has no connection, so the frame was certainly not received.
    NotConnected,
}

/// Whether a connection is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    /// The token was not made for this task, or a later one is in use.
    Refused,
}

/// The connections of tasks, in a table.
#[derive(Clone)]
pub struct Connections {
    table: Table,
    gateway: Gateway,
    clock: Arc<dyn Clock>,
}

impl Connections {
    /// Connections to the WebSocket API that is managed at this URL.
    pub fn new(
        config: &SdkConfig,
        (client, name): (Client, String),
        endpoint: &str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let gateway = aws_sdk_apigatewaymanagement::config::Builder::from(config);
        let gateway = Gateway::from_conf(gateway.endpoint_url(endpoint).build());
        Self { table: Table { client, name }, gateway, clock }
    }

    /// Makes this the task's connection, if the task is the one that the token was made for.
    ///
    /// # Errors
    /// The provider or the table does not answer.
    pub async fn admit(
        &self,
        compute: &dyn Compute,
        claims: &Claims,
        task: &TaskId,
        connection: &str,
    ) -> Result<Admission, BackendError> {
        let action = "admitting a connection";
        let known = self
            .table
            .get(&Key::link(task))
            .await
            .map_err(|error| BackendError::new(action, error))?;
        let is_known = known.is_some_and(|item| {
            keys::text(&item, STARTED_BY) == Some(&claims.started_by)
                && keys::text(&item, LAUNCH) == Some(&claims.launch)
        });
        if !is_known {
            let found = compute.describe(std::slice::from_ref(task)).await?;
            let is_its = found.iter().any(|facts| {
                facts.started_by == claims.started_by && facts.status != TaskStatus::Stopped
            });
            if !is_its {
                return Ok(Admission::Refused);
            }
        }
        self.put(claims, task, connection).await.map_err(|error| BackendError::new(action, error))
    }

    /// The connection was closed. Another one may have taken its place before.
    ///
    /// # Errors
    /// The table does not answer.
    pub async fn remove(&self, task: &TaskId, connection: &str) -> Result<(), BackendError> {
        let call = self.table.client.update_item().table_name(&self.table.name);
        let call = call
            .set_key(Some(Key::link(task).attributes()))
            .update_expression("REMOVE #c")
            .condition_expression("#c = :c")
            .expression_attribute_names("#c", CONNECTION)
            .expression_attribute_values(":c", AttributeValue::S(connection.to_owned()));
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => {
                Err(BackendError::new("removing a connection", StoreError::from_sdk(&error)))
            }
        }
    }

    pub(crate) async fn of(&self, task: &TaskId) -> Result<Option<Connection>, BackendError> {
        let item = self.table.get(&Key::link(task)).await;
        let item = item.map_err(|error| BackendError::new("reading a connection", error))?;
        let id = item.and_then(|item| keys::text(&item, CONNECTION).map(str::to_owned));
        Ok(id.map(|id| Connection { id, task: task.clone() }))
    }

    /// Sends frames to the runner of a task, in order.
    pub(crate) async fn post(
        &self,
        task: &TaskId,
        frames: &[ToRunner],
    ) -> Result<Posted, BackendError> {
        let Some(connection) = self.of(task).await? else { return Ok(Posted::NotConnected) };
        for (number, frame) in frames.iter().enumerate() {
            let text = serde_json::to_vec(frame)
                .map_err(|error| BackendError::new("encoding a frame", error))?;
            let call = self.gateway.post_to_connection().connection_id(&connection.id);
            match call.data(Blob::new(text)).send().await {
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.as_service_error(),
                        Some(PostToConnectionError::GoneException(_))
                    ) =>
                {
                    self.remove(task, &connection.id).await?;
                    if number == 0 {
                        return Ok(Posted::NotConnected);
                    }
                    // An incomplete request has no effect either, but this need not be certain.
                    return Err(BackendError::new("posting a frame", "the connection was lost"));
                }
                Err(error) => return Err(BackendError::new("posting a frame", error)),
            }
        }
        Ok(Posted::Posted)
    }

    /// A connection with a token of an earlier generation does not replace one of a later.
    async fn put(
        &self,
        claims: &Claims,
        task: &TaskId,
        connection: &str,
    ) -> Result<Admission, StoreError> {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let generation = AttributeValue::N(claims.generation.to_string());
        let mut item = Key::link(task).attributes();
        item.extend([
            (CONNECTION.to_owned(), text(connection)),
            (STARTED_BY.to_owned(), text(&claims.started_by)),
            (LAUNCH.to_owned(), text(&claims.launch)),
            (GENERATION.to_owned(), generation.clone()),
            (TTL.to_owned(), AttributeValue::N(seconds(self.clock.now() + KEEP).to_string())),
        ]);
        let call = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        let call = call
            .condition_expression("attribute_not_exists(pk) OR (#g <= :g AND #l = :l)")
            .expression_attribute_names("#g", GENERATION)
            .expression_attribute_names("#l", LAUNCH)
            .expression_attribute_values(":g", generation)
            .expression_attribute_values(":l", text(&claims.launch));
        match call.send().await {
            Ok(_) => Ok(Admission::Admitted),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => {
                Ok(Admission::Refused)
            }
            Err(error) => Err(StoreError::from_sdk(&error)),
        }
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.millis() / 1000
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("table", &self.table.name).finish_non_exhaustive()
    }
}
