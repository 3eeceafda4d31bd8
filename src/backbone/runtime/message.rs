//! What ONNX Runtime says, as one line that a user can act on: without its source files and C++ signatures.

/// Longest text that is repeated.
const LONGEST: usize = 300;

/// ONNX Runtime's reason, and the remedy where the reason is a known one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuntimeMessage(String);

impl RuntimeMessage {
    /// What this program says in ONNX Runtime's place.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<ort::Error> for RuntimeMessage {
    fn from(error: ort::Error) -> Self {
        Self(explained(error.message()))
    }
}

fn explained(message: &str) -> String {
    let number_after = |words: &str| {
        let rest = &message[message.find(words)? + words.len()..];
        let number: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        (!number.is_empty()).then_some(number)
    };
    if let (Some(found), Some(most)) = (number_after("model IR version:"), number_after("supported IR version:")) {
        return format!(
            "its ir_version is {found}, this ONNX Runtime reads {most} at most: save it with an older one (Python: \
             model.ir_version = 10), or export it with an older onnx"
        );
    }
    if let Some(most) = number_after("is till opset") {
        let found = number_after("Opset ").map_or(String::new(), |found| format!(" {found}"));
        return format!(
            "it uses ONNX operators of version{found}, this ONNX Runtime knows them to {most}: export it with an older \
             opset_version, such as 17"
        );
    }
    for words in ["is not a registered function/op", "Could not find an implementation for"] {
        if message.contains(words) {
            return format!("{}: export it without this operator, or choose another tensor before it", plain(message));
        }
    }
    plain(message)
}

/// `message` without places in the source code, in one line.
fn plain(message: &str) -> String {
    let mut text = message.split_whitespace().collect::<Vec<_>>().join(" ");
    while let Some((start, end)) = source_place(&text) {
        text.replace_range(start..end, "");
    }
    for words in ["Non-zero status code returned while running ", "Load model from memory failed:", "Status Message: "]
    {
        text = text.replace(words, "");
    }
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// From where to where `/…/file.cc:47 type name(arguments) condition was false.` stands in `text`: the file, its line,
/// and the signature of the function as far as its closing bracket.
fn source_place(text: &str) -> Option<(usize, usize)> {
    let ending = [".cc:", ".h:", ".cpp:", ".hpp:"].iter().filter_map(|ending| text.find(ending)).min()?;
    let start = text[..ending].rfind([' ', ':']).map_or(0, |at| at + 1);
    let line = text[ending..].find(' ').map_or(text.len(), |at| ending + at);
    let mut depth = 0_usize;
    for (at, c) in text[line..].char_indices() {
        match c {
            '(' | '<' => depth += 1,
            ')' if depth == 1 => {
                let end = line + at + 1;
                let mut rest = text[end..].trim_start_matches(" const");
                if rest.starts_with("::<lambda") {
                    rest = rest.split_once("> ").map_or("", |(_, rest)| rest);
                }
                return Some((start, text.len() - rest.len()));
            }
            ')' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Some((start, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ONNX Runtime 1.27.0 says it.
    #[test]
    fn places_in_the_source_code_are_left_out_and_known_reasons_have_a_remedy() {
        for (message, wanted) in [
            (
                "Non-zero status code returned while running Reshape node. Name:'' Status Message: /onnxruntime_src/\
                 onnxruntime/core/providers/cpu/tensor/reshape_helper.h:47 onnxruntime::ReshapeHelper::ReshapeHelper(\
                 const onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, bool) input_shape_size == size was \
                 false. The input tensor cannot be reshaped to the requested shape. Input shape:{3,16,1,1}, requested \
                 shape:{1,16}\n",
                "Reshape node. Name:'' input_shape_size == size was false. The input tensor cannot be reshaped to the \
                 requested shape. Input shape:{3,16,1,1}, requested shape:{1,16}",
            ),
            (
                "Load model from memory failed:/onnxruntime_src/onnxruntime/core/graph/model.cc:181 onnxruntime::Model\
                 ::Model(onnx::ModelProto&&, const onnxruntime::PathString&, const IOnnxRuntimeOpSchemaRegistryList*, \
                 const onnxruntime::logging::Logger&, const onnxruntime::ModelOptions&) Unsupported model IR version: \
                 14, max supported IR version: 13\n",
                "its ir_version is 14, this ONNX Runtime reads 13 at most: save it with an older one (Python: \
                 model.ir_version = 10), or export it with an older onnx",
            ),
            (
                "/onnxruntime_src/onnxruntime/core/graph/function.cc:9 Do(int)::<lambda(const onnx::NodeProto&)> it != \
                 end() was false. No opset registered",
                "it != end() was false. No opset registered",
            ),
            ("plain words", "plain words"),
        ] {
            assert_eq!(explained(message), wanted);
        }
        assert!(explained(&"ü".repeat(999)).len() < 700);
    }
}
