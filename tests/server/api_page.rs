//! `docs/api.md` is the API document, rendered. `API_PAGE=write cargo test --test server the_page` writes it again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use agentidp_server::routes::openapi;
use serde_json::{Map, Value};

const INTRODUCTION: &str = "# The API

This page is the server's OpenAPI document (`GET /openapi.json`), rendered. A test holds it against the document, the document against
the router, and every answer that the suites get against the document. Write it again with
`API_PAGE=write cargo test --test server the_page`.

Every operation but `POST /api/v1/token` reports errors as an [Error](#error-schema). Lists come in pages.
";

#[test]
fn the_page_is_the_document_rendered() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let rendered = page(&serde_json::from_str(openapi()).unwrap());
    if std::env::var_os("API_PAGE").is_some_and(|wanted| wanted == "write") {
        std::fs::write(&path, &rendered).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    let first = rendered.lines().zip(committed.lines()).find(|(rendered, committed)| rendered != committed);
    assert!(rendered == committed, "docs/api.md is not the document; write it again as it says. First: {first:?}");
    assert!(!rendered.contains("::"), "a link of rustdoc's leads nowhere on this page");
}

fn page(document: &Value) -> String {
    let mut page = INTRODUCTION.to_owned();
    let operations = || {
        let paths = document["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(path, methods)| methods.as_object().unwrap().iter().map(move |(method, it)| (path, method, it)))
    };
    page.push_str("\n| operation | does | caller |\n| --- | --- | --- |\n");
    for (path, method, operation) in operations() {
        let (id, summary) = (text(&operation["operationId"]), text(&operation["summary"]));
        let (method, caller) = (method.to_uppercase(), caller(operation));
        writeln!(page, "| [`{method} {path}`](#{}) | {summary} | {caller} |", id.to_lowercase()).unwrap();
    }
    page.push_str("\n## Operations\n");
    for (path, method, operation) in operations() {
        write_operation(&mut page, path, method, operation);
    }
    page.push_str("\n## Schemas\n");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        write_schema(&mut page, name, schema);
    }
    page
}

fn caller(operation: &Value) -> String {
    let ways = operation["security"].as_array().unwrap().iter().map(|way| match way.as_object().unwrap() {
        way if way.is_empty() => "a client by the form".to_owned(),
        way if way.contains_key("basic") => "a client by Basic".to_owned(),
        way => format!("bearer of `{}`", text(&way["bearer"][0])),
    });
    let ways = ways.collect::<Vec<_>>();
    if ways.is_empty() { "anybody".to_owned() } else { ways.join(", ") }
}

fn write_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let (id, summary) = (text(&operation["operationId"]), text(&operation["summary"]));
    write!(page, "\n### {id}\n\n`{} {path}`\n\n{summary}. Caller: {}.\n", method.to_uppercase(), caller(operation))
        .unwrap();
    let parameters = operation["parameters"].as_array().unwrap();
    if !parameters.is_empty() {
        page.push_str("\n| parameter | in | value |\n| --- | --- | --- |\n");
        for parameter in parameters {
            let (name, place, kind) = (text(&parameter["name"]), text(&parameter["in"]), kind(&parameter["schema"]));
            writeln!(page, "| `{name}` | {place} | {kind} |").unwrap();
        }
    }
    if let Some(body) = operation["requestBody"].as_object() {
        let (media_type, content) = body["content"].as_object().unwrap().iter().next().unwrap();
        let may = if body["required"] == true { "" } else { ", may be left out" };
        let schema = &content["schema"];
        match schema["properties"].as_object() {
            Some(members) => {
                write!(page, "\nBody: `{media_type}`{may}.\n").unwrap();
                write_members(page, members, schema);
            }
            None => write!(page, "\nBody: `{media_type}`, {}{may}.\n", kind(schema)).unwrap(),
        }
    }
    write_answers(page, operation["responses"].as_object().unwrap());
}

/// The answers; those of one form and the same headers share a line.
fn write_answers(page: &mut String, answers: &Map<String, Value>) {
    let mut alike = BTreeMap::<(bool, String, String), Vec<&str>>::new();
    for (status, answer) in answers {
        let content = answer["content"].as_object().and_then(|content| content.iter().next());
        let body = content.map_or("none".to_owned(), |(media_type, content)| match media_type.as_str() {
            "application/json" => kind(&content["schema"]),
            other => format!("`{other}`"),
        });
        let headers = answer["headers"].as_object().into_iter().flatten().map(|(name, _)| format!("`{name}`"));
        alike.entry((!status.starts_with('2'), body, headers.collect::<Vec<_>>().join(", "))).or_default().push(status);
    }
    page.push_str("\n| answer | body | headers |\n| --- | --- | --- |\n");
    for ((_, body, headers), statuses) in alike {
        writeln!(page, "| {} | {body} | {headers} |", statuses.join(", ")).unwrap();
    }
}

fn write_schema(page: &mut String, name: &str, schema: &Value) {
    write!(page, "\n### {name} schema\n").unwrap();
    if let Some(description) = schema["description"].as_str() {
        write!(page, "\n{}\n", line(description)).unwrap();
    }
    match schema["properties"].as_object() {
        Some(members) => write_members(page, members, schema),
        None => write!(page, "\n{}\n", kind(schema)).unwrap(),
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        write!(page, "\n```text\n{pattern}\n```\n").unwrap();
    }
}

fn write_members(page: &mut String, members: &Map<String, Value>, schema: &Value) {
    page.push_str("\n| member | value | required | |\n| --- | --- | --- | --- |\n");
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    for (name, member) in members {
        let required = if required(name) { "yes" } else { "" };
        writeln!(page, "| `{name}` | {} | {required} | {} |", kind(member), about(member)).unwrap();
    }
}

/// What is said about a member, also where it may be null.
fn about(member: &Value) -> String {
    let inner = member["oneOf"].as_array().into_iter().flatten().find_map(|one| one["description"].as_str());
    member["description"].as_str().or(inner).map(line).unwrap_or_default()
}

/// A schema in a few words.
fn kind(schema: &Value) -> String {
    if *schema == false {
        return "may not be there".to_owned();
    }
    if let Some(path) = schema["$ref"].as_str() {
        let name = path.rsplit('/').next().unwrap();
        return format!("[{name}](#{}-schema)", name.to_lowercase());
    }
    for (key, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        if let Some(parts) = schema[key].as_array() {
            return parts.iter().map(kind).collect::<Vec<_>>().join(between);
        }
    }
    let constant = schema.get("const").into_iter();
    let names = constant.chain(schema["enum"].as_array().into_iter().flatten()).map(|name| format!("`{}`", text(name)));
    let names = names.collect::<Vec<_>>();
    if !names.is_empty() {
        return names.join(", ");
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        Value::String(one) if one == "array" => match schema["items"].is_object() {
            true => format!("list of {}", kind(&schema["items"])),
            false => "list".to_owned(),
        },
        Value::String(one) if one == "object" => members(schema),
        Value::String(one) => one.clone(),
        _ => text(&schema["format"]).to_owned(),
    };
    let format = schema["format"].as_str().filter(|format| *format != types).map(|format| format!(", {format}"));
    format!("{types}{}{}", format.unwrap_or_default(), bounds(schema))
}

/// An object without a name: its members.
fn members(schema: &Value) -> String {
    let members = schema["properties"].as_object().into_iter().flatten();
    let members: Vec<_> = members.map(|(name, member)| format!("`{name}`: {}", kind(member))).collect();
    if members.is_empty() { "object".to_owned() } else { format!("object of {}", members.join("; ")) }
}

fn bounds(schema: &Value) -> String {
    let pairs =
        [("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items")];
    let bound = |(least, most, unit): (&str, &str, &str)| match (schema[least].as_u64(), schema[most].as_u64()) {
        (None, None) => String::new(),
        (Some(least), None) => format!(", at least {least}{unit}"),
        (None, Some(most)) => format!(", at most {most}{unit}"),
        (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
    };
    pairs.map(bound).concat()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A description as one line of a table.
fn line(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
