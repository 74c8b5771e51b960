//! Creates the table of `infra/table.json`.

use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType,
    },
};
use serde_json::Value;

const SHAPE: &str = include_str!("../../../../../infra/table.json");

/// Creates the table without TTL, because the times of the suite are in the past.
pub(crate) async fn create(client: &Client, name: &str) {
    let shape: Value = serde_json::from_str(SHAPE).unwrap();
    let mut call = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for (key, kind) in keys(&shape) {
        call = call.attribute_definitions(attribute(key)).key_schema(element(key, kind));
    }
    for index in shape["indexes"].as_array().unwrap() {
        let mut definition = GlobalSecondaryIndex::builder().index_name(text(&index["name"]));
        for (key, kind) in keys(index) {
            call = call.attribute_definitions(attribute(key));
            definition = definition.key_schema(element(key, kind));
        }
        let projected = ProjectionType::from(text(&index["projection"]));
        let mut projection = Projection::builder().projection_type(projected);
        for name in index["include"].as_array().into_iter().flatten() {
            projection = projection.non_key_attributes(text(name));
        }
        call = call
            .global_secondary_indexes(definition.projection(projection.build()).build().unwrap());
    }
    call.send().await.unwrap();
}

fn keys(of: &Value) -> [(&Value, KeyType); 2] {
    [(&of["partitionKey"], KeyType::Hash), (&of["sortKey"], KeyType::Range)]
}

fn attribute(key: &Value) -> AttributeDefinition {
    let kind = ScalarAttributeType::from(text(&key["type"]));
    let definition = AttributeDefinition::builder().attribute_name(text(&key["name"]));
    definition.attribute_type(kind).build().unwrap()
}

fn element(key: &Value, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(text(&key["name"])).key_type(kind).build().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
