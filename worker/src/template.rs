//! A conversation as the one text that the model continues.
//!
//! The chat template comes with the model file and is a program: it runs with
//! limits on its steps, its depth and its output, sees nothing but the
//! conversation, and its errors name it. A file without one gets a plain
//! layout that any model can continue:
//!
//! ```text
//! System: You are helpful.
//!
//! User: Hello!
//!
//! Assistant:
//! ```
//!
//! It refuses to judge the conversation; a template may (many insist that
//! turns alternate), and then its own words are passed on.

use std::io;

use minijinja::{Environment, ErrorKind, Value, context, syntax::SyntaxConfig};
use protocol::inference::{Message, Role};

use crate::tokenizer::Markers;

const NAME: &str = "chat_template";
const SOURCE_BYTES_MAX: usize = 256 << 10;
const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// A long conversation takes some ten thousand steps.
const STEPS_MAX: u64 = 2_000_000;
const DEPTH_MAX: usize = 100;

/// Why a conversation could not be put into words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template is not one.
    #[error("the model's chat template cannot be used: {0}")]
    Unusable(String),
    /// The template ran and did not come through.
    #[error("the model's chat template failed on this conversation: {0}")]
    Failed(String),
    /// The template spoke up itself.
    #[error("the model's chat template refused this conversation: {0}")]
    Refused(String),
    /// It wrote too much.
    #[error("the model's chat template wrote more than {OUTPUT_BYTES_MAX} bytes")]
    TooLong,
}

/// How this model wants a conversation written.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Option<Environment<'static>>,
    markers: Markers,
}

impl ChatTemplate {
    /// The plain layout.
    pub fn plain() -> Self {
        Self { environment: None, markers: Markers::default() }
    }

    /// Compiles the template of a model file.
    pub fn compile(source: &str, markers: Markers) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES_MAX {
            let why = format!("it is {} bytes long, the limit is {SOURCE_BYTES_MAX}", source.len());
            return Err(TemplateError::Unusable(why));
        }
        let unusable = |error: minijinja::Error| TemplateError::Unusable(describe(&error));
        // What the templates of the Hub are written for.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let mut environment = Environment::new();
        environment.set_syntax(syntax.map_err(unusable)?);
        environment.set_fuel(Some(STEPS_MAX));
        environment.set_recursion_limit(DEPTH_MAX);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise);
        environment.add_template_owned(NAME, source.to_owned()).map_err(unusable)?;
        Ok(Self { environment: Some(environment), markers })
    }

    /// The text whose continuation is the next turn.
    pub fn render(&self, messages: &[Message]) -> Result<String, TemplateError> {
        let Some(environment) = &self.environment else { return Ok(plain(messages)) };
        let template = environment.get_template(NAME).map_err(|error| failure(&error))?;
        let values = context! {
            messages => messages.iter().map(value).collect::<Vec<_>>(),
            add_generation_prompt => true,
            bos_token => self.markers.bos.as_str(),
            eos_token => self.markers.eos.as_str(),
        };
        let mut output = Output::default();
        let result = template.render_captured_to(values, &mut output);
        if output.overflowed {
            return Err(TemplateError::TooLong);
        }
        result.map_err(|error| failure(&error))?;
        String::from_utf8(output.bytes).map_err(|error| TemplateError::Failed(error.to_string()))
    }
}

fn value(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    context! { role => role, content => message.content.as_str() }
}

fn plain(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let speaker = match message.role {
            Role::System => "System",
            Role::User => "User",
            Role::Assistant => "Assistant",
        };
        text.extend([speaker, ": ", &message.content, "\n\n"]);
    }
    text + "Assistant:"
}

/// Begins the errors that the template itself raised.
const RAISED: &str = "raised: ";

fn raise(message: String) -> Result<(), minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
}

fn failure(error: &minijinja::Error) -> TemplateError {
    match error.detail().and_then(|detail| detail.strip_prefix(RAISED)) {
        Some(message) => TemplateError::Refused(message.chars().take(200).collect()),
        None => TemplateError::Failed(describe(error)),
    }
}

/// The error with its line, without the source that a debug build appends.
fn describe(error: &minijinja::Error) -> String {
    let text: String = error.to_string().chars().take(300).collect();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Takes a text up to the limit and refuses the rest.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_BYTES_MAX {
            self.overflowed = true;
            return Err(io::Error::other("the text is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: Role, content: &str) -> Message {
        Message { role, content: content.to_owned() }
    }

    fn conversation() -> Vec<Message> {
        vec![message(Role::System, " Be kind. "), message(Role::User, "Hi")]
    }

    fn render(source: &str) -> Result<String, TemplateError> {
        let markers = Markers { bos: "<s>".to_owned(), eos: "</s>".to_owned() };
        ChatTemplate::compile(source, markers)?.render(&conversation())
    }

    #[test]
    fn a_template_in_the_usual_style_renders() {
        let source = "{{ bos_token }}\
            {%- for message in messages %}\n\
                {%- if message['role'] == 'system' %}\n\
                    {{- '<<SYS>>' + message.content.strip() + '<</SYS>>' }}\n\
                {%- else %}\n\
                    {{- '[' ~ message.role.upper() ~ '] ' ~ message.content | trim }}\n\
                {%- endif %}\n\
            {%- endfor %}\n\
            {%- if add_generation_prompt %}{{ eos_token }}[ASSISTANT]{% endif %}";
        assert_eq!(render(source).unwrap(), "<s><<SYS>>Be kind.<</SYS>>[USER] Hi</s>[ASSISTANT]");
    }

    #[test]
    fn blocks_leave_no_lines_behind() {
        let source = "{% for m in messages %}\n  {% if m.role == 'user' %}\n{{ m.content }}\n  {% endif %}\n{% endfor %}";
        assert_eq!(render(source).unwrap(), "Hi\n");
    }

    #[test]
    fn undefined_helpers_can_be_asked_for_and_json_written() {
        let source = "{% if strftime_now is defined %}now{% endif %}{% if tools %}tools{% endif %}{{ messages[1] | tojson }}";
        assert_eq!(render(source).unwrap(), r#"{"role": "user", "content": "Hi"}"#);
    }

    #[test]
    fn the_words_of_a_template_that_refuses_are_passed_on() {
        let error = render("{{ raise_exception('roles must alternate') }}").unwrap_err();
        assert_eq!(error, TemplateError::Refused("roles must alternate".to_owned()));
    }

    #[test]
    fn a_broken_template_is_refused_when_it_is_compiled() {
        let error = render("{% for m in messages %}").unwrap_err();
        assert!(matches!(error, TemplateError::Unusable(_)), "{error}");
        let long = "x".repeat(SOURCE_BYTES_MAX + 1);
        assert!(matches!(render(&long), Err(TemplateError::Unusable(_))));
    }

    #[test]
    fn a_hostile_template_runs_into_a_limit() {
        let steps =
            render("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}");
        assert!(matches!(steps, Err(TemplateError::Failed(_))), "{steps:?}");
        let output = render("{% for i in range(9999) %}{{ 'aaaaaaaaaa' * 1000 }}{% endfor %}");
        assert_eq!(output, Err(TemplateError::TooLong));
        let depth = render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
        assert!(matches!(depth, Err(TemplateError::Failed(_))), "{depth:?}");
    }

    #[test]
    fn without_a_template_the_turns_are_written_plainly() {
        let text = ChatTemplate::plain().render(&conversation()).unwrap();
        assert_eq!(text, "System:  Be kind. \n\nUser: Hi\n\nAssistant:");
    }
}
