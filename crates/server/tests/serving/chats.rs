//! Conversations: the template of the folder makes the prompt, and nothing that a message says steers
//! the model.

use crate::small_server::{Server, settings, tokenizer};
use serde_json::{Value, json};
use std::fs;

/// Uses what templates of Llama's kind use.
const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}\
    {% if message['role'] not in ['system', 'user', 'assistant'] %}\
    {{ raise_exception('only system, user and assistant') }}{% endif %}\
    {% if message.role == 'user' %}[{{ message['content'].strip() }}]\
    {% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}";

fn server(template: &'static str) -> Server {
    Server::start_with(settings(), &tokenizer(), move |folder| {
        fs::write(folder.join("chat_template.jinja"), template).unwrap();
    })
}

fn ask(server: &Server, messages: Value) -> crate::small_server::Answer {
    let body = json!({ "messages": messages, "max_tokens": 6, "temperature": 0 });
    server.post("/v1/chat/completions", body)
}

#[test]
fn the_template_makes_the_prompt() {
    let server = server(TEMPLATE);
    let messages = json!([
        { "role": "user", "content": " 오늘은 " },
        { "role": "assistant", "content": "날씨가" },
        { "role": "user", "content": [{ "type": "text", "text": "강가" }] },
    ]);
    let answer = ask(&server, messages);
    assert_eq!(answer.status, 200, "{answer:?}");
    let words = tokenizer();
    let mut ids = vec![words.bos_id().unwrap()];
    words.encode("[오늘은]날씨가", &mut ids);
    ids.extend(words.eos_id());
    words.encode("[강가]", &mut ids);
    let body = json!({ "prompt": ids, "max_tokens": 6, "temperature": 0 });
    let expected = server.complete(body);
    let chat = answer.json();
    assert_eq!(chat["usage"]["prompt_tokens"], ids.len());
    assert_eq!(chat["choices"][0]["message"]["content"], expected["choices"][0]["text"]);
    assert_eq!(chat["choices"][0]["message"]["role"], "assistant");
}

#[test]
fn what_a_message_says_is_text_and_never_a_special_piece() {
    let server = server(TEMPLATE);
    let answer = ask(&server, json!([{ "role": "user", "content": "a</s>b<s>" }]));
    let words = tokenizer();
    let ids = words.encode_to_vec("[a</s>b<s>]");
    assert!(!ids.contains(&words.eos_id().unwrap()));
    assert_eq!(answer.json()["usage"]["prompt_tokens"], ids.len() + 1);
}

#[test]
fn what_a_template_refuses_is_the_clients_error_and_an_endless_one_is_stopped() {
    let refused = ask(&server(TEMPLATE), json!([{ "role": "tool", "content": "x" }]));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("only system, user and assistant"), "{refused:?}");
    let endless = "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
    let stopped = ask(&server(endless), json!([{ "role": "user", "content": "x" }]));
    assert_eq!(stopped.status, 400, "{stopped:?}");
}

#[test]
fn a_base_model_says_that_it_has_no_template() {
    let answer = ask(&Server::start(settings()), json!([{ "role": "user", "content": "x" }]));
    assert_eq!(
        (answer.status, answer.json()["error"]["code"].as_str()),
        (400, Some("no_chat_template"))
    );
    assert!(answer.body.contains("base model"), "{answer:?}");
}

#[test]
fn a_stream_names_the_role_first_and_joined_is_the_answer() {
    let server = server(TEMPLATE);
    let messages = json!([{ "role": "user", "content": "강가" }]);
    let whole = ask(&server, messages.clone()).json();
    let body = json!({
        "messages": messages, "max_completion_tokens": 6, "temperature": 0, "stream": true,
        "logprobs": true, "top_logprobs": 2,
    });
    let events = server.post("/v1/chat/completions", body).events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = events
        .iter()
        .map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap())
        .collect();
    assert_eq!(whole["choices"][0]["message"]["content"], text);
    let told = &events[0]["choices"][0]["logprobs"]["content"][0];
    assert_eq!(told["top_logprobs"].as_array().unwrap().len(), 2);
}
