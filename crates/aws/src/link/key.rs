//! The key of all tokens. It is made once and kept in the table: whoever can read the table can read all that
//! a token leads to.

use std::{fmt, sync::Arc};

use aws_sdk_dynamodb::{
    Client, error::ProvideErrorMetadata, primitives::Blob, types::AttributeValue,
};
use domain::ports::BackendError;
use tokio::sync::OnceCell;

use crate::store::{
    error::StoreError,
    keys::{Attributes, BYTES, Key},
    table::Table,
};

const KEY_BYTES: usize = 32;
const ACTION: &str = "reading the key of tokens";

/// Reads the key once in the life of a process.
#[derive(Clone)]
pub struct TokenKey {
    table: Table,
    read: Arc<OnceCell<Vec<u8>>>,
}

impl TokenKey {
    /// The key in the table with this name.
    pub fn new(client: Client, table: String) -> Self {
        Self { table: Table { client, name: table }, read: Arc::default() }
    }

    pub(crate) async fn bytes(&self) -> Result<Vec<u8>, BackendError> {
        let read = self.read.get_or_try_init(|| self.read_or_make()).await;
        read.cloned().map_err(|error| BackendError::new(ACTION, error))
    }

    async fn read_or_make(&self) -> Result<Vec<u8>, StoreError> {
        if let Some(key) = self.read().await? {
            return Ok(key);
        }
        self.make().await?;
        // Another process may have made it first.
        self.read().await?.ok_or(StoreError::Decode)
    }

    async fn read(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let item = self.table.get(&Key::link_key()).await?;
        let bytes = |item: Attributes| item.get(BYTES)?.as_b().ok().cloned();
        Ok(item.and_then(bytes).map(Blob::into_inner))
    }

    async fn make(&self) -> Result<(), StoreError> {
        let mut bytes = vec![0; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| StoreError::Encode)?;
        let mut item = Key::link_key().attributes();
        item.insert(BYTES.to_owned(), AttributeValue::B(Blob::new(bytes)));
        let call = self.table.client.put_item().table_name(&self.table.name).set_item(Some(item));
        match call.condition_expression("attribute_not_exists(pk)").send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(StoreError::from_sdk(&error)),
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").finish_non_exhaustive()
    }
}
