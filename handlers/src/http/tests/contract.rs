use std::collections::BTreeSet;

use super::{schema::DOCUMENT, *};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

#[tokio::test]
async fn the_document_has_exactly_the_routes_of_the_router() {
    let documented: BTreeSet<_> = DOCUMENT["paths"].as_object().unwrap().keys().cloned().collect();
    let served: BTreeSet<_> = routes().into_iter().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(documented, served);
    let api = Api::new(Fakes::new());
    for path in &served {
        for method in METHODS {
            let request = Request::builder().method(method).uri(path.replace("{id}", "x"));
            let answer = api.send(&as_ann(request), Body::empty()).await;
            let documented = DOCUMENT["paths"][path].get(method.to_lowercase()).is_some();
            assert_eq!(answer.status != 405, documented, "{method} {path}");
        }
    }
}

#[test]
fn every_reference_in_the_document_can_be_resolved() {
    fn walk(value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(to) = fields.get("$ref") {
                    let to = to.as_str().unwrap();
                    assert!(DOCUMENT.pointer(&to[1..]).is_some(), "{to}");
                }
                fields.values().for_each(walk);
            }
            Value::Array(items) => items.iter().for_each(walk),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    walk(&DOCUMENT);
}

#[test]
fn every_code_of_a_problem_is_described_with_a_response() {
    let known = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].clone();
    let known: BTreeSet<String> = serde_json::from_value(known).unwrap();
    let described: String = DOCUMENT["components"]["responses"]
        .as_object()
        .unwrap()
        .values()
        .map(|response| response["description"].as_str().unwrap())
        .collect();
    for code in known.iter().filter(|code| *code != "method_not_allowed") {
        assert!(described.contains(code.as_str()), "{code} belongs to no answer");
    }
}

#[tokio::test]
async fn the_document_and_the_health_check_need_no_token() {
    let api = Api::new(Fakes::new());
    for path in ["/v1/openapi.json", "/healthz"] {
        let request = Request::get(path).body(()).unwrap();
        api.send(&request, Body::empty()).await.expect(200);
    }
}

#[tokio::test]
async fn everything_else_needs_a_token() {
    let api = Api::new(Fakes::new());
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["security"].is_array() {
                continue;
            }
            let method = method.to_uppercase();
            let request = Request::builder().method(method.as_str()).uri(path.replace("{id}", "x"));
            let answer = api.send(&request.body(()).unwrap(), Body::empty()).await;
            answer.problem(401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path}");
        }
    }
}
