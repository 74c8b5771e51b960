//! Counts calls and their capacity units.

use std::{collections::BTreeMap, sync::Arc};

use aws_sdk_dynamodb::{
    operation::{
        batch_get_item::{BatchGetItemInput, BatchGetItemOutput},
        batch_write_item::{BatchWriteItemInput, BatchWriteItemOutput},
        get_item::{GetItemInput, GetItemOutput},
        query::{QueryInput, QueryOutput},
        transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput},
        update_item::{UpdateItemInput, UpdateItemOutput},
    },
    types::{ConsumedCapacity, ReturnConsumedCapacity},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                AfterDeserializationInterceptorContextRef,
                BeforeSerializationInterceptorContextMut, Input, Output,
            },
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use parking_lot::Mutex;

/// The number of calls by operation, and the capacity units.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) calls: BTreeMap<&'static str, u32>,
    pub(super) written: f64,
    pub(super) read: f64,
}

impl Reading {
    pub(super) fn all_calls(&self) -> u32 {
        self.calls.values().sum()
    }
}

/// Requests the consumed capacity of each call, and adds it up.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Arc<Mutex<Reading>>);

impl Meter {
    /// Returns the counts and resets them.
    pub(super) fn take(&self) -> Reading {
        std::mem::take(&mut self.0.lock())
    }

    fn add(&self, name: &'static str, writes: bool, used: &[ConsumedCapacity]) {
        let units: f64 = used.iter().filter_map(ConsumedCapacity::capacity_units).sum();
        let mut reading = self.0.lock();
        *reading.calls.entry(name).or_default() += 1;
        if writes {
            reading.written += units;
        } else {
            reading.read += units;
        }
    }

    fn read(&self, output: &Output) {
        if let Some(done) = output.downcast_ref::<TransactWriteItemsOutput>() {
            self.add("TransactWriteItems", true, done.consumed_capacity());
        } else if let Some(done) = output.downcast_ref::<UpdateItemOutput>() {
            self.add("UpdateItem", true, done.consumed_capacity.as_slice());
        } else if let Some(done) = output.downcast_ref::<GetItemOutput>() {
            self.add("GetItem", false, done.consumed_capacity.as_slice());
        } else if let Some(done) = output.downcast_ref::<QueryOutput>() {
            self.add("Query", false, done.consumed_capacity.as_slice());
        } else if let Some(done) = output.downcast_ref::<BatchWriteItemOutput>() {
            self.add("BatchWriteItem", true, done.consumed_capacity());
        } else if let Some(done) = output.downcast_ref::<BatchGetItemOutput>() {
            self.add("BatchGetItem", false, done.consumed_capacity());
        }
    }
}

fn request_capacity(input: &mut Input) {
    let total = Some(ReturnConsumedCapacity::Total);
    if let Some(call) = input.downcast_mut::<TransactWriteItemsInput>() {
        call.return_consumed_capacity = total;
    } else if let Some(call) = input.downcast_mut::<UpdateItemInput>() {
        call.return_consumed_capacity = total;
    } else if let Some(call) = input.downcast_mut::<GetItemInput>() {
        call.return_consumed_capacity = total;
    } else if let Some(call) = input.downcast_mut::<QueryInput>() {
        call.return_consumed_capacity = total;
    } else if let Some(call) = input.downcast_mut::<BatchWriteItemInput>() {
        call.return_consumed_capacity = total;
    } else if let Some(call) = input.downcast_mut::<BatchGetItemInput>() {
        call.return_consumed_capacity = total;
    }
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        request_capacity(context.input_mut());
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Ok(output) = context.output_or_error() {
            self.read(output);
        }
        Ok(())
    }
}
