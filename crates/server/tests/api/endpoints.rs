//! Every endpoint with what it needs, as a golden list: whoever adds one says who may use it.

use crate::common::Api;
use reqwest::Method;
use serde_json::Value;

/// What each endpoint needs. Keep it sorted.
const ENDPOINTS: &str = include_str!("golden/endpoints.txt");

fn endpoints() -> Vec<(Method, String)> {
    let document = serde_json::to_value(slipway_server::document()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "delete", "head", "patch"] {
            if item[method].is_object() {
                all.push((method.to_uppercase().parse::<Method>().unwrap(), path.clone()));
            }
        }
    }
    all.sort_by_key(|(method, path)| (path.clone(), method.to_string()));
    all
}

#[tokio::test]
async fn every_endpoint_needs_what_the_list_says() {
    let api = Api::start().await;
    let mut found = String::new();
    for (method, path) in endpoints() {
        let url = api.url.replace("/api/v1", "") + &path.replace(['{', '}'], "");
        let bare = api.http.request(method.clone(), &url).send().await.unwrap();
        let wrong = api.http.request(method.clone(), &url).bearer_auth("wrong").send().await.unwrap();
        let needs = match (bare.status().as_u16(), wrong.status().as_u16()) {
            (401, 401) => api.right(&method, &url).await,
            (200, 200) => "nothing".to_string(),
            other => panic!("{method} {path} answers {other:?} without a token and with a wrong one"),
        };
        found += &format!("{method} {path} needs {needs}\n");
    }
    assert_eq!(found, ENDPOINTS, "the endpoints have changed; if they should, change tests/api/golden/endpoints.txt");
}

#[tokio::test]
async fn the_document_names_every_answer_that_it_refers_to() {
    let api = Api::start().await;
    let document: Value = api.get("/openapi.json").await;
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} is not in the document");
    }
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(|r| r.as_str()).map(str::to_string));
            fields.values().for_each(|v| collect(v, references));
        }
        Value::Array(items) => items.iter().for_each(|v| collect(v, references)),
        _ => {}
    }
}
