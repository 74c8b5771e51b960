//! One item of a transaction: what is done to it, under which condition, and what it means if that
//! does not hold.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update},
};

use super::keys::{Attributes, Key, VERSION};

/// What it means that an item's condition does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Conflict,
    QuotaReached,
    Answered,
    Closed,
    /// Nothing: the transaction is done without the item.
    Moot,
}

/// What is done to one item.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) key: Key,
    pub(super) refusal: Refusal,
    /// The version that the item has afterwards, if it has one.
    pub(super) version: Option<u64>,
    act: Act,
    condition: Option<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

#[derive(Debug, Clone)]
enum Act {
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
    fn new(key: Key, act: Act, refusal: Refusal) -> Self {
        let (names, values) = (HashMap::new(), HashMap::new());
        Self { key, refusal, version: None, act, condition: None, names, values }
    }

    /// Puts these attributes in place of all that was there.
    pub(super) fn put(key: Key, attributes: Attributes) -> Self {
        let mut whole = key.attributes();
        whole.extend(attributes);
        Self::new(key, Act::Put(whole), Refusal::Conflict)
    }

    /// Changes what [`Self::set`] and the like name, and leaves the rest.
    pub(super) fn update(key: Key) -> Self {
        Self::new(key, Act::Update(Clauses::default()), Refusal::Conflict)
    }

    /// Removes the item. Succeeds without one.
    pub(super) fn delete(key: Key) -> Self {
        Self::new(key, Act::Delete, Refusal::Conflict)
    }

    /// Only looks at the item.
    pub(super) fn check(key: Key) -> Self {
        Self::new(key, Act::Check, Refusal::Conflict)
    }

    /// What it means if a condition does not hold. A conflict unless said otherwise.
    pub(super) const fn or(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// Sets an attribute.
    pub(super) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        let assignment = format!("{} = {}", self.name(name), self.value(value));
        if let Act::Update(clauses) = &mut self.act {
            clauses.set.push(assignment);
        }
        self
    }

    /// Sets an attribute, or removes it.
    pub(super) fn set_or_remove(mut self, name: &str, value: Option<AttributeValue>) -> Self {
        let Some(value) = value else {
            let name = self.name(name);
            if let Act::Update(clauses) = &mut self.act {
                clauses.remove.push(name);
            }
            return self;
        };
        self.set(name, value)
    }

    /// Adds a number to a number, or members to a set. What is not there counts as 0 or empty.
    pub(super) fn add(mut self, name: &str, value: AttributeValue) -> Self {
        let addition = format!("{} {}", self.name(name), self.value(value));
        if let Act::Update(clauses) = &mut self.act {
            clauses.add.push(addition);
        }
        self
    }

    /// Takes members out of a set. Those that are not in it do no harm.
    pub(super) fn take_out(mut self, name: &str, value: AttributeValue) -> Self {
        let removal = format!("{} {}", self.name(name), self.value(value));
        if let Act::Update(clauses) = &mut self.act {
            clauses.delete.push(removal);
        }
        self
    }

    /// Sets the version, and requires the one before; 1 requires that there is none.
    pub(super) fn next_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        let read = version.saturating_sub(1);
        if read == 0 {
            self = self.when_none(VERSION);
        } else {
            self = self.when(VERSION, "=", AttributeValue::N(read.to_string()));
        }
        self.set(VERSION, AttributeValue::N(version.to_string()))
    }

    /// Requires that this attribute compares so.
    pub(super) fn when(mut self, name: &str, operator: &str, value: AttributeValue) -> Self {
        let condition = format!("{} {operator} {}", self.name(name), self.value(value));
        self.and(condition)
    }

    /// Requires that there is no such attribute.
    pub(super) fn when_none(mut self, name: &str) -> Self {
        let condition = format!("attribute_not_exists({})", self.name(name));
        self.and(condition)
    }

    /// Requires that there is no such attribute, or that it compares so.
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

    /// Requires that there is no such set, or that this is in it.
    pub(super) fn when_none_or_has(mut self, name: &str, value: AttributeValue) -> Self {
        let name = self.name(name);
        let value = self.value(value);
        self.and(format!("(attribute_not_exists({name}) OR contains({name}, {value}))"))
    }

    fn and(mut self, more: String) -> Self {
        self.condition = Some(match self.condition {
            Some(condition) => format!("{condition} AND {more}"),
            None => more,
        });
        self
    }

    /// Many words are reserved, so all names stand behind a `#`.
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

    /// Whether it can be done by itself, for half the price: if done twice, the second time must fail.
    pub(super) const fn can_be_alone(&self) -> bool {
        matches!(self.act, Act::Update(_)) && self.version.is_some()
    }

    /// The same update, which also leaves this on the item.
    pub(super) fn stamped(&self, name: &str, value: AttributeValue) -> Self {
        self.clone().set(name, value)
    }

    /// As part of a transaction.
    pub(super) fn in_transaction(&self, table: &str) -> TransactWriteItem {
        let (names, values) = (some(&self.names), some(&self.values));
        let condition = self.condition.clone();
        let whole = TransactWriteItem::builder();
        match &self.act {
            Act::Put(attributes) => {
                let put = Put::builder().table_name(table).set_item(Some(attributes.clone()));
                let put = put.set_condition_expression(condition);
                let put = put.set_expression_attribute_names(names);
                whole.put(put.set_expression_attribute_values(values).build().expect(COMPLETE))
            }
            Act::Update(_) => {
                let update =
                    Update::builder().table_name(table).set_key(Some(self.key.attributes()));
                let update = update.update_expression(self.expression());
                let update = update.set_condition_expression(condition);
                let update = update.set_expression_attribute_names(names);
                let update = update.set_expression_attribute_values(values);
                whole.update(update.build().expect(COMPLETE))
            }
            Act::Delete => {
                let delete =
                    Delete::builder().table_name(table).set_key(Some(self.key.attributes()));
                whole.delete(delete.build().expect(COMPLETE))
            }
            Act::Check => {
                let check = ConditionCheck::builder().table_name(table);
                let check = check.set_key(Some(self.key.attributes()));
                let check = check.set_condition_expression(condition);
                let check = check.set_expression_attribute_names(names);
                let check = check.set_expression_attribute_values(values);
                whole.condition_check(check.build().expect(COMPLETE))
            }
        }
        .build()
    }

    /// As a call of its own.
    pub(super) fn alone(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        update
            .set_key(Some(self.key.attributes()))
            .update_expression(self.expression())
            .set_condition_expression(self.condition.clone())
            .set_expression_attribute_names(some(&self.names))
            .set_expression_attribute_values(some(&self.values))
    }

    fn expression(&self) -> String {
        let Act::Update(Clauses { set, remove, add, delete }) = &self.act else {
            return String::new();
        };
        let clauses = [("SET", set), ("REMOVE", remove), ("ADD", add), ("DELETE", delete)];
        let clauses = clauses.iter().filter(|(_, parts)| !parts.is_empty());
        let clauses = clauses.map(|(word, parts)| format!("{word} {}", parts.join(", ")));
        clauses.collect::<Vec<_>>().join(" ")
    }
}

const COMPLETE: &str = "the key, the table and the expression are set";

/// An empty map is an error there; none is not.
fn some<T: Clone>(map: &HashMap<String, T>) -> Option<HashMap<String, T>> {
    (!map.is_empty()).then(|| map.clone())
}
