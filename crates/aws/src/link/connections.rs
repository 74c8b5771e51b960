//! Which connection each task has, and what its runner must still carry out.
//!
//! Events of connections come late, twice and in any order: the `$connect` of an attempt that the runner has
//! given up after that of the next one, a `$disconnect` before the last frame. So a connection is recorded by
//! the first frame that comes over it, and never in the place of a later one: the runner numbers its attempts.
//! Whatever came before, the record names the living connection once one `hello` has passed over it.

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

use super::{Claims, requests::Request};
use crate::store::{
    error::StoreError,
    keys::{self, Key, RECORD, TTL, number_value},
    table::Table,
};

const CONNECTION: &str = "connection";
const STARTED_BY: &str = "startedBy";
const LAUNCH: &str = "launch";
const GENERATION: &str = "generation";
const ATTEMPT: &str = "attempt";
/// The id of a request.
const REQUEST: &str = "request";
/// How long an item is kept after the last connection: longer than any session without one.
const KEEP: Duration = Duration::from_hours(24 * 7);

/// A connection that a runner has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub task: TaskId,
    /// API Gateway's name of it.
    pub id: String,
    /// Those of the token by which it was opened.
    pub claims: Claims,
    /// The runner's number of the attempt that opened it; higher than those of all earlier ones.
    pub attempt: u64,
}

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

    /// Whether this connection may be opened: its task is the one that the token was made for, and has not
    /// opened a later one. Nothing is recorded, because the connection does not exist yet and may never do.
    ///
    /// # Errors
    /// The provider or the table does not answer.
    pub async fn admit(
        &self,
        compute: &dyn Compute,
        Connection { task, claims, attempt, .. }: &Connection,
    ) -> Result<Admission, BackendError> {
        let action = "admitting a connection";
        let known = self
            .table
            .get(&Key::link(task))
            .await
            .map_err(|error| BackendError::new(action, error))?;
        let is_admitted = if let Some(item) = known {
            let number = |name| keys::number::<u64>(&item, name).unwrap_or_default();
            keys::text(&item, STARTED_BY) == Some(&claims.started_by)
                && keys::text(&item, LAUNCH) == Some(&claims.launch)
                && (number(GENERATION), number(ATTEMPT)) <= (claims.generation, *attempt)
        } else {
            let found = compute.describe(std::slice::from_ref(task)).await?;
            found.iter().any(|facts| {
                facts.started_by == claims.started_by && facts.status != TaskStatus::Stopped
            })
        };
        Ok(if is_admitted { Admission::Admitted } else { Admission::Refused })
    }

    /// Makes this the task's connection: a frame has come over it. Refused if the task has opened a later one.
    ///
    /// # Errors
    /// The table does not answer.
    pub async fn record(&self, connection: &Connection) -> Result<Admission, BackendError> {
        let Connection { task, id, claims, attempt } = connection;
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let mut item = Key::link(task).attributes();
        item.extend([
            (CONNECTION.to_owned(), text(id)),
            (STARTED_BY.to_owned(), text(&claims.started_by)),
            (LAUNCH.to_owned(), text(&claims.launch)),
            (GENERATION.to_owned(), number_value(claims.generation)),
            (ATTEMPT.to_owned(), number_value(attempt)),
            (TTL.to_owned(), self.expiry()),
        ]);
        let call = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        let call = call
            .condition_expression(
                "attribute_not_exists(pk) OR (#l = :l AND (#g < :g OR (#g = :g AND #a <= :a)))",
            )
            .expression_attribute_names("#l", LAUNCH)
            .expression_attribute_names("#g", GENERATION)
            .expression_attribute_names("#a", ATTEMPT)
            .expression_attribute_values(":l", text(&claims.launch))
            .expression_attribute_values(":g", number_value(claims.generation))
            .expression_attribute_values(":a", number_value(attempt));
        let is_done = unless_refused(call.send().await, "recording a connection")?;
        Ok(if is_done { Admission::Admitted } else { Admission::Refused })
    }

    /// The connection was closed. If another one has taken its place, that one stays.
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
        unless_refused(call.send().await, "removing a connection")?;
        Ok(())
    }

    /// The id of the connection on record.
    ///
    /// # Errors
    /// The table does not answer.
    pub async fn of(&self, task: &TaskId) -> Result<Option<String>, BackendError> {
        let item = self.table.get(&Key::link(task)).await;
        let item = item.map_err(|error| BackendError::new("reading a connection", error))?;
        Ok(item.and_then(|item| keys::text(&item, CONNECTION).map(str::to_owned)))
    }

    /// Sends frames to the runner of a task, in order.
    pub(crate) async fn post(
        &self,
        task: &TaskId,
        frames: &[ToRunner],
    ) -> Result<Posted, BackendError> {
        let Some(connection) = self.of(task).await? else { return Ok(Posted::NotConnected) };
        for (number, frame) in frames.iter().enumerate() {
            match self.post_to(&connection, frame).await? {
                Posted::Posted => {}
                Posted::NotConnected if number == 0 => return Ok(Posted::NotConnected),
                // An incomplete request has no effect either, but this need not be certain.
                Posted::NotConnected => {
                    return Err(BackendError::new("posting a frame", "the connection was lost"));
                }
            }
        }
        Ok(Posted::Posted)
    }

    /// A connection that is gone stays on record until `$disconnect` or a later one: if API Gateway is wrong, it
    /// is found again at once.
    async fn post_to(&self, connection: &str, frame: &ToRunner) -> Result<Posted, BackendError> {
        let text = serde_json::to_vec(frame)
            .map_err(|error| BackendError::new("encoding a frame", error))?;
        let call = self.gateway.post_to_connection().connection_id(connection);
        match call.data(Blob::new(text)).send().await {
            Ok(_) => Ok(Posted::Posted),
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(PostToConnectionError::GoneException(_))
                ) =>
            {
                Ok(Posted::NotConnected)
            }
            Err(error) => Err(BackendError::new("posting a frame", error)),
        }
    }

    /// Sends a request, now or as soon as the task has a connection, until the runner confirms it.
    pub(super) async fn request(
        &self,
        task: &TaskId,
        request: &Request,
    ) -> Result<(), BackendError> {
        let action = "recording a request to a runner";
        let text =
            serde_json::to_string(request).map_err(|error| BackendError::new(action, error))?;
        let mut item = Request::key(task, &request.id).attributes();
        item.extend([
            (REQUEST.to_owned(), AttributeValue::S(request.id.clone())),
            (RECORD.to_owned(), AttributeValue::S(text)),
            (TTL.to_owned(), self.expiry()),
        ]);
        let call = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        unless_refused(call.send().await, action)?;
        // The connection is read after that: one that is recorded later than this reads the request.
        match self.post(task, &[request.frame(self.clock.now())]).await {
            Ok(Posted::Posted | Posted::NotConnected) => Ok(()),
            Err(error) => {
                // The caller tries again, by a request of its own.
                self.confirm(task, &request.id).await?;
                Err(error)
            }
        }
    }

    /// Sends all requests of a task that are not confirmed over this connection, which was recorded before.
    ///
    /// # Errors
    /// API Gateway or the table does not answer.
    pub async fn send_requests(&self, connection: &Connection) -> Result<(), BackendError> {
        let action = "reading requests to a runner";
        let items = self.table.items_below(&Key::link_request(&connection.task, "")).await;
        let items = items.map_err(|error| BackendError::new(action, error))?;
        for item in items {
            let request = keys::text(&item, RECORD).map(serde_json::from_str::<Request>);
            let Some(Ok(request)) = request else {
                let error = "the item of a request can't be read";
                return Err(BackendError::new(action, error));
            };
            let frame = request.frame(self.clock.now());
            if self.post_to(&connection.id, &frame).await? == Posted::NotConnected {
                // The next connection gets them.
                return Ok(());
            }
        }
        Ok(())
    }

    /// The runner has carried out the request with this id.
    ///
    /// # Errors
    /// The table does not answer.
    pub async fn confirm(&self, task: &TaskId, request: &str) -> Result<(), BackendError> {
        let call = self.table.client.delete_item().table_name(&self.table.name);
        let call = call
            .set_key(Some(Request::key(task, request).attributes()))
            .condition_expression("#r = :r")
            .expression_attribute_names("#r", REQUEST)
            .expression_attribute_values(":r", AttributeValue::S(request.to_owned()));
        unless_refused(call.send().await, "removing a request to a runner")?;
        Ok(())
    }

    fn expiry(&self) -> AttributeValue {
        number_value(seconds(self.clock.now() + KEEP))
    }
}

/// Whether a write was done; `false` if its condition did not hold.
fn unless_refused<T, E>(
    result: Result<T, aws_sdk_dynamodb::error::SdkError<E>>,
    action: &'static str,
) -> Result<bool, BackendError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(BackendError::new(action, StoreError::from_sdk(&error))),
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
