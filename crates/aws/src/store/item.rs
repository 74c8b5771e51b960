//! One item of a transaction: the action, its condition, and what the commit reports if the condition
//! does not hold.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{
        AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure,
        TransactWriteItem, Update,
    },
};

use super::{
    keys::{Attributes, Key, VERSION, number_value},
    plan::Slots,
};

/// What a commit reports when an item's condition does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConditionFailure {
    Conflict,
    /// What the item was tells whether the quota is reached or the rate exceeded; otherwise the transaction is
    /// repeated with another item, or it is a conflict.
    Slots(Slots),
    AlreadyAnswered,
    /// What the item was tells which of these requirements was not met; a conflict if it was none of them.
    Mailbox {
        is_open_required: bool,
        queue_limit: Option<u32>,
    },
    /// A value that was read before the transaction has changed, for this reason; the caller reads again and composes a
    /// new transaction.
    Outdated(&'static str),
    /// Nothing: the transaction is repeated without the item.
    Skip,
}

/// The action on one item, with its condition.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) key: Key,
    pub(super) on_failure: ConditionFailure,
    /// The version that a versioned item has afterwards.
    pub(super) version: Option<u64>,
    action: Action,
    condition: Option<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

#[derive(Debug, Clone)]
enum Action {
    Put(Attributes),
    Update(Clauses),
    Delete,
    Check,
}

/// An update expression, clause by clause.
#[derive(Debug, Clone, Default)]
struct Clauses {
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
    delete: Vec<String>,
}

impl Item {
    fn new(key: Key, action: Action) -> Self {
        let (names, values) = (HashMap::new(), HashMap::new());
        let on_failure = ConditionFailure::Conflict;
        Self { key, on_failure, version: None, action, condition: None, names, values }
    }

    /// Replaces the whole item by these attributes.
    pub(super) fn put(key: Key, attributes: Attributes) -> Self {
        let mut whole = key.attributes();
        whole.extend(attributes);
        Self::new(key, Action::Put(whole))
    }

    /// Changes the attributes that [`Self::set`] and its siblings name, and leaves the others.
    pub(super) fn update(key: Key) -> Self {
        Self::new(key, Action::Update(Clauses::default()))
    }

    /// Removes the item. Succeeds if there is none.
    pub(super) fn delete(key: Key) -> Self {
        Self::new(key, Action::Delete)
    }

    /// Checks the condition and changes nothing.
    pub(super) fn check(key: Key) -> Self {
        Self::new(key, Action::Check)
    }

    /// Sets what the commit reports if the condition does not hold; the default is a conflict.
    pub(super) const fn on_failure(mut self, failure: ConditionFailure) -> Self {
        self.on_failure = failure;
        self
    }

    /// Sets an attribute.
    pub(super) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        let assignment = format!("{} = {}", self.name(name), self.value(value));
        self.with_clause(|clauses| &mut clauses.set, assignment)
    }

    /// Sets an attribute, or removes it.
    pub(super) fn set_or_remove(mut self, name: &str, value: Option<AttributeValue>) -> Self {
        let Some(value) = value else {
            let name = self.name(name);
            return self.with_clause(|clauses| &mut clauses.remove, name);
        };
        self.set(name, value)
    }

    /// Adds a number to a number, or members to a set. A missing attribute counts as 0 or empty.
    pub(super) fn add(mut self, name: &str, value: AttributeValue) -> Self {
        let addition = format!("{} {}", self.name(name), self.value(value));
        self.with_clause(|clauses| &mut clauses.add, addition)
    }

    /// Removes members from a set. Members that are not in the set are ignored.
    pub(super) fn delete_from_set(mut self, name: &str, value: AttributeValue) -> Self {
        let removal = format!("{} {}", self.name(name), self.value(value));
        self.with_clause(|clauses| &mut clauses.delete, removal)
    }

    /// Sets the version and requires the previous one; version 1 requires that the item has none.
    pub(super) fn next_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        let read = version.saturating_sub(1);
        if read == 0 {
            self = self.when_none(VERSION);
        } else {
            self = self.when(VERSION, "=", number_value(read));
        }
        self.set(VERSION, number_value(version))
    }

    /// Requires that the comparison `name operator value` holds.
    pub(super) fn when(mut self, name: &str, operator: &str, value: AttributeValue) -> Self {
        let condition = format!("{} {operator} {}", self.name(name), self.value(value));
        self.and(condition)
    }

    /// Requires that the attribute is missing.
    pub(super) fn when_none(mut self, name: &str) -> Self {
        let condition = format!("attribute_not_exists({})", self.name(name));
        self.and(condition)
    }

    /// Requires that the attribute is missing, or that the comparison holds.
    pub(super) fn when_none_or(
        mut self,
        name: &str,
        operator: &str,
        value: AttributeValue,
    ) -> Self {
        let name = self.name(name);
        let value = self.value(value);
        self.and(format!("(attribute_not_exists({name}) OR {name} {operator} {value})"))
    }

    /// Requires that the set has fewer members than this.
    pub(super) fn when_fewer_than(mut self, name: &str, limit: AttributeValue) -> Self {
        let name = self.name(name);
        let limit = self.value(limit);
        self.and(format!("(attribute_not_exists({name}) OR size({name}) < {limit})"))
    }

    /// Requires that the set is missing, or that it contains the value.
    pub(super) fn when_none_or_has(mut self, name: &str, value: AttributeValue) -> Self {
        let name = self.name(name);
        let value = self.value(value);
        self.and(format!("(attribute_not_exists({name}) OR contains({name}, {value}))"))
    }

    /// Appends to a clause of an update. Other actions have no clauses.
    fn with_clause(mut self, clause: fn(&mut Clauses) -> &mut Vec<String>, text: String) -> Self {
        if let Action::Update(clauses) = &mut self.action {
            clause(clauses).push(text);
        }
        self
    }

    fn and(mut self, more: String) -> Self {
        self.condition = Some(match self.condition {
            Some(condition) => format!("{condition} AND {more}"),
            None => more,
        });
        self
    }

    /// DynamoDB reserves many words, so every attribute name is passed as a placeholder.
    fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    /// The size of the key and of the values that an update sets, with their names. Bytes.
    pub(super) fn size(&self) -> usize {
        let values = self.values.values().map(|value| {
            if let AttributeValue::S(text) | AttributeValue::N(text) = value {
                text.len()
            } else {
                value.as_b().map_or(1, |bytes| bytes.as_ref().len())
            }
        });
        let names = self.names.values().map(String::len);
        self.key.pk.len() + self.key.sk.len() + values.chain(names).sum::<usize>()
    }

    /// Whether the action can be a call of its own, which costs half. The second execution of a repeated
    /// call must fail, so only versioned updates qualify.
    pub(super) const fn can_be_single_update(&self) -> bool {
        matches!(self.action, Action::Update(_)) && self.version.is_some()
    }

    /// The same update, which also sets this attribute.
    pub(super) fn also_setting(&self, name: &str, value: AttributeValue) -> Self {
        self.clone().set(name, value)
    }

    /// The action as part of a transaction.
    pub(super) fn in_transaction(&self, table: &str) -> TransactWriteItem {
        let (names, values) = (some(&self.names), some(&self.values));
        let condition = self.condition.clone();
        let whole = TransactWriteItem::builder();
        match &self.action {
            Action::Put(attributes) => {
                let put = Put::builder().table_name(table).set_item(Some(attributes.clone()));
                let put = put.set_condition_expression(condition);
                let put = put.set_expression_attribute_names(names);
                whole.put(put.set_expression_attribute_values(values).build().expect(COMPLETE))
            }
            Action::Update(_) => {
                let update =
                    Update::builder().table_name(table).set_key(Some(self.key.attributes()));
                let update = update.update_expression(self.expression());
                let update = update.set_condition_expression(condition);
                let update = update.return_values_on_condition_check_failure(FOUND);
                let update = update.set_expression_attribute_names(names);
                let update = update.set_expression_attribute_values(values);
                whole.update(update.build().expect(COMPLETE))
            }
            Action::Delete => {
                let delete =
                    Delete::builder().table_name(table).set_key(Some(self.key.attributes()));
                whole.delete(delete.build().expect(COMPLETE))
            }
            Action::Check => {
                let check = ConditionCheck::builder().table_name(table);
                let check = check.set_key(Some(self.key.attributes()));
                let check = check.set_condition_expression(condition);
                let check = check.return_values_on_condition_check_failure(FOUND);
                let check = check.set_expression_attribute_names(names);
                let check = check.set_expression_attribute_values(values);
                whole.condition_check(check.build().expect(COMPLETE))
            }
        }
        .build()
    }

    /// The update as a call of its own.
    pub(super) fn update_call(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        update
            .set_key(Some(self.key.attributes()))
            .update_expression(self.expression())
            .set_condition_expression(self.condition.clone())
            .set_expression_attribute_names(some(&self.names))
            .set_expression_attribute_values(some(&self.values))
    }

    fn expression(&self) -> String {
        let Action::Update(Clauses { set, remove, add, delete }) = &self.action else {
            return String::new();
        };
        let clauses = [("SET", set), ("REMOVE", remove), ("ADD", add), ("DELETE", delete)];
        let clauses = clauses.iter().filter(|(_, parts)| !parts.is_empty());
        let clauses = clauses.map(|(keyword, parts)| format!("{keyword} {}", parts.join(", ")));
        clauses.collect::<Vec<_>>().join(" ")
    }
}

/// If a condition fails, the item is returned as it is.
pub(super) const FOUND: ReturnValuesOnConditionCheckFailure =
    ReturnValuesOnConditionCheckFailure::AllOld;

const COMPLETE: &str = "the key, the table and the expression are set";

/// DynamoDB rejects an empty map, but accepts none.
fn some<T: Clone>(map: &HashMap<String, T>) -> Option<HashMap<String, T>> {
    (!map.is_empty()).then(|| map.clone())
}
