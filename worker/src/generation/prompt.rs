//! From what was asked to the tokens that go into the model.
//!
//! It refuses what cannot be answered here, before a slot is taken: an empty
//! prompt, unknown tokens, a prompt that fills the context.

use std::panic::{AssertUnwindSafe, catch_unwind};

use protocol::{ApiError, ErrorCode, inference::Message};

use crate::{load::panic_message, template::ChatTemplate, tokenizer::Tokenizer};

/// What an answer continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// Text as it stands. Control tokens written out in it are read as such.
    Text(String),
    /// A conversation. Nothing in its messages is read as a control token.
    Messages(Vec<Message>),
    /// Tokens of the model.
    Tokens(Vec<u32>),
}

/// The tokens of `prompt`, which leave room for at least one more.
pub(super) fn tokens(
    prompt: &Prompt,
    tokenizer: &dyn Tokenizer,
    template: &ChatTemplate,
    (vocabulary, context_length): (usize, usize),
) -> Result<Vec<u32>, ApiError> {
    // Template and vocabulary come from a downloaded file; what they make the
    // libraries do must end this request and nothing else.
    let encoded = catch_unwind(AssertUnwindSafe(|| encode(prompt, tokenizer, template)));
    let tokens = encoded.unwrap_or_else(|panic| {
        let what = panic_message(&*panic);
        Err(ApiError::new(ErrorCode::Internal, format!("the tokenizer crashed: {what}")))
    })?;
    if tokens.is_empty() {
        let error = ApiError::new(ErrorCode::InvalidField, "the prompt is empty");
        return Err(error.with_hint("send at least one token of text"));
    }
    if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
        let what = format!("prompt_tokens: {token} is not a token; the model has {vocabulary}");
        return Err(ApiError::new(ErrorCode::InvalidField, what));
    }
    if tokens.len() >= context_length {
        let what = format!(
            "the prompt has {} tokens, the context holds {context_length} with the answer",
            tokens.len()
        );
        let error = ApiError::new(ErrorCode::ContextExceeded, what);
        return Err(error.with_hint("shorten the prompt or start the worker with a longer context"));
    }
    Ok(tokens)
}

fn encode(
    prompt: &Prompt,
    tokenizer: &dyn Tokenizer,
    template: &ChatTemplate,
) -> Result<Vec<u32>, ApiError> {
    let failed = |error| ApiError::new(ErrorCode::Internal, format!("{error}"));
    match prompt {
        Prompt::Tokens(tokens) => Ok(tokens.clone()),
        Prompt::Text(text) => tokenizer.encode(text).map_err(failed),
        Prompt::Messages(messages) => {
            let shielded: Vec<Message> = messages
                .iter()
                .map(|message| Message {
                    role: message.role,
                    content: tokenizer.shield(&message.content).into_owned(),
                })
                .collect();
            let text = template.render(&shielded).map_err(|error| {
                ApiError::new(ErrorCode::InvalidField, format!("messages: {error}"))
                    .with_hint("change the conversation, or send `prompt` instead")
            })?;
            tokenizer.encode(&text).map_err(failed)
        }
    }
}
