//! One method of one route as OpenAPI describes it.

use serde_json::{Map, Value, json};

/// What a client sends and gets.
#[derive(Debug)]
pub(super) struct Operation {
    about: String,
    parameters: Vec<Value>,
    body: Option<Value>,
    content: Map<String, Value>,
    headers: Map<String, Value>,
    /// Further answers, by status.
    others: Map<String, Value>,
    is_open: bool,
    /// The answer where all is well, and what it means.
    good: (&'static str, &'static str),
}

impl Operation {
    pub fn new(about: &str) -> Self {
        Self {
            about: about.to_owned(),
            parameters: Vec::new(),
            body: None,
            content: Map::new(),
            headers: Map::new(),
            others: Map::new(),
            is_open: false,
            good: ("200", "It is so."),
        }
    }

    /// It takes these fields of a schema, or this one parameter, in its query.
    pub fn asks(mut self, fields: &Value) -> Self {
        if fields.get("in").is_some() {
            self.parameters.push(fields.clone());
        }
        for (name, schema) in fields["properties"].as_object().into_iter().flatten() {
            let mut schema = schema.clone();
            let about = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
            self.parameters.push(query(name, about.as_str().unwrap_or_default(), &schema, false));
        }
        self
    }

    /// It takes a body in JSON.
    pub fn takes(mut self, schema: &Value) -> Self {
        self.body = Some(json!({ "required": true, "content": { "application/json": { "schema": schema } } }));
        self
    }

    /// It takes a form.
    pub fn takes_form(mut self, schema: &Value) -> Self {
        let content = json!({ "application/x-www-form-urlencoded": { "schema": schema } });
        self.body = Some(json!({ "required": true, "content": content }));
        self
    }

    /// It takes a body of no form.
    pub fn takes_bytes(mut self, kinds: &[&str]) -> Self {
        let content: Map<String, Value> = kinds.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
        self.body = Some(json!({ "required": true, "content": content }));
        self
    }

    /// It answers in JSON.
    pub fn json(mut self, schema: &Value) -> Self {
        self.content.insert("application/json".into(), json!({ "schema": schema }));
        self
    }

    /// It answers in bytes.
    pub fn bytes(mut self, kind: &str) -> Self {
        self.content.insert(kind.into(), json!({}));
        self
    }

    /// It answers in bytes where the client asks for these.
    pub fn or_bytes(mut self, kind: &str, about: &str) -> Self {
        self.content.insert(kind.into(), json!({ "schema": { "description": about } }));
        self
    }

    /// It answers in words.
    pub fn text(mut self, kind: &str) -> Self {
        self.content.insert(kind.into(), json!({ "schema": { "type": "string" } }));
        self
    }

    /// Its answer has a revision, and is not sent to who has it.
    pub fn revised(mut self) -> Self {
        let schema = json!({ "type": "string" });
        self.headers.insert("ETag".into(), json!({ "description": "The revision.", "schema": schema }));
        self.parameters.push(json!({
            "name": "If-None-Match", "in": "header", "description": "The ETag of the answer that the client has.",
            "schema": schema,
        }));
        self.also("304", "Nothing changed since.")
    }

    /// It answers so where all is well.
    pub fn good(mut self, status: &'static str, about: &'static str) -> Self {
        self.good = (status, about);
        self
    }

    /// It may answer so, too.
    pub fn also(mut self, status: &str, about: &str) -> Self {
        self.others.insert(status.into(), json!({ "description": about }));
        self
    }

    /// It fails so.
    pub fn fails(mut self, status: &str, about: &str) -> Self {
        let mut failed = json!({ "description": about });
        if let Some(text) = self.content.get("text/plain") {
            failed["content"] = json!({ "text/plain": text });
        } else {
            failed["content"] = json!({ "application/json": { "schema": {
                "$ref": "#/components/responses/Error/content/application~1json/schema",
            }}});
        }
        self.others.insert(status.into(), failed);
        self
    }

    /// Everybody may.
    pub fn open(mut self) -> Self {
        self.is_open = true;
        // A token that is sent has to be right even where none is needed.
        for (status, about) in
            [("401", "The token is wrong."), ("429", "Too many wrong tokens came from this address.")]
        {
            let schema = json!({ "$ref": "#/components/responses/Error/content/application~1json/schema" });
            let failed = json!({ "description": about, "content": { "application/json": { "schema": schema } } });
            self.others.insert(status.into(), failed);
        }
        self
    }

    /// Its entry below the path.
    pub fn described(self, path: &str, method: &str) -> Value {
        let Self { about, mut parameters, body, content, headers, others, is_open, good: (status, meaning) } = self;
        if path.contains("{image}") {
            parameters.insert(
                0,
                json!({
                    "name": "image", "in": "path", "required": true,
                    "description": "64 or 16 digits of the image's SHA-256, in lower case.",
                    "schema": { "type": "string", "pattern": "^([0-9a-f]{16}|[0-9a-f]{64})$" },
                }),
            );
        }
        let mut good = json!({ "description": meaning });
        if !content.is_empty() {
            good["content"] = content.into();
        }
        if !headers.is_empty() {
            good["headers"] = headers.into();
        }
        let mut responses = Map::from_iter([(status.to_owned(), good)]);
        responses.extend(others);
        if !is_open {
            responses.insert("default".into(), json!({ "$ref": "#/components/responses/Error" }));
        }
        let mut described = json!({
            "operationId": name(path, method),
            "summary": about,
            "parameters": parameters,
            "responses": responses,
        });
        if let Some(body) = body {
            described["requestBody"] = body;
        }
        if is_open {
            described["security"] = json!([]);
        }
        described
    }
}

/// A parameter of a query.
pub(super) fn query(name: &str, about: &str, schema: &Value, required: bool) -> Value {
    json!({ "name": name, "in": "query", "required": required, "description": about, "schema": schema })
}

/// `getIndex`, `postTrain`: how generated clients call it.
fn name(path: &str, method: &str) -> String {
    let words = path.trim_start_matches("/api/v1").split(['/', '.', '_']);
    let words = words.filter(|word| !word.is_empty() && !word.starts_with('{'));
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    method.to_owned() + &words.map(capital).collect::<String>()
}
