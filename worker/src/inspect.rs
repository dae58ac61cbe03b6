//! What a model file says of itself, without loading it.
//!
//! A hive runs this as a process of its own, with limits on it, before it
//! trusts a file. Nothing is opened until standard input has ended: that is
//! when the limits hold.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use protocol::model::ModelInfo;

use crate::{
    engine::shape::{CONTEXT_MAX, ModelShape},
    load::{LoadError, LoadProblem, mixture},
    model_file::ModelFile,
};

/// The exit code of a process that refuses a file; `EX_DATAERR` of sysexits.
const REFUSED: u8 = 65;
/// What a worker takes beside its model: its code, its buffers, its threads.
const OVERHEAD_BYTES: u64 = 64 * 1024 * 1024;

/// Prints what the headers of a model say, as JSON, once stdin has ended.
#[derive(Debug, Parser)]
#[command(name = "llm-worker-rbee inspect")]
struct Args {
    /// The model: a GGUF file, or the first part of one.
    file: PathBuf,
}

/// The whole program, from the arguments behind `inspect`.
pub fn main() -> ExitCode {
    let args = Args::parse_from(std::env::args_os().skip(1));
    let told = wait_for_leave().and_then(|()| match inspect(&args.file) {
        Ok(info) => {
            writeln!(io::stdout(), "{}", serde_json::to_string(&info)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(io::stderr(), "{error}")?;
            Ok(ExitCode::from(REFUSED))
        }
    });
    told.unwrap_or(ExitCode::FAILURE)
}

/// Waits until whoever started this process lets it go on.
fn wait_for_leave() -> io::Result<()> {
    io::copy(&mut io::stdin().lock().take(1), &mut io::sink()).map(drop)
}

/// Reads the header of `path`.
pub(crate) fn inspect(path: &Path) -> Result<ModelInfo, LoadError> {
    read(path).map_err(|problem| LoadError { path: path.to_owned(), problem })
}

fn read(path: &Path) -> Result<ModelInfo, LoadProblem> {
    let ModelFile { mut content, checked, bytes: file_bytes, .. } = ModelFile::open(path)?;
    let shape = ModelShape::read(&mut content).map_err(LoadProblem::Shape)?;
    let value = |key: &str| content.metadata.get(key);
    let file_type = value("general.file_type").and_then(|it| it.to_u32().ok());
    let tokenizer = value("tokenizer.ggml.model").and_then(|it| it.to_string().ok());
    let kv_bytes_per_token = shape.kv_bytes_per_token();
    let context = shape.context_length.min(CONTEXT_MAX) as u64;
    // The loaders keep the embedding as plain numbers beside the weights.
    let embedding_bytes = (shape.vocabulary * shape.embedding_length * size_of::<f32>()) as u64;
    Ok(ModelInfo {
        architecture: shape.architecture.to_string(),
        parameters: checked.parameters,
        quantisation: file_type.and_then(mixture).unwrap_or(checked.dominant_type()).to_owned(),
        context_length: shape.context_length as u64,
        context_length_max: context,
        file_bytes,
        kv_bytes_per_token,
        memory_bytes_estimate: checked.weight_bytes
            + embedding_bytes
            + kv_bytes_per_token * context
            + OVERHEAD_BYTES,
        tokenizer: tokenizer.map(|name| name.chars().take(40).collect()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::testing;

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn the_header_of_a_model_is_told_without_loading_it() {
        let file = written(&testing::model("llama").bytes());
        let info = inspect(file.path()).unwrap();
        assert_eq!((info.architecture.as_str(), info.kv_bytes_per_token), ("llama", 512));
        assert_eq!(info.file_bytes, file.as_file().metadata().unwrap().len());
        assert!(info.memory_bytes_estimate > OVERHEAD_BYTES + info.kv_bytes_per_token);
    }

    #[test]
    fn a_file_that_is_no_model_is_refused_with_its_name_and_the_reason() {
        let error = inspect(written(b"<html>log in</html>").path()).unwrap_err().to_string();
        assert!(error.contains("not a GGUF file"), "{error}");
    }
}
