//! A model on disk: one GGUF file, or the parts of one that was split.
//!
//! ```text
//! x-00001-of-00003.gguf ─┐
//! x-00002-of-00003.gguf ─┼─▶ one reader; metadata of part 1, tensors of all
//! x-00003-of-00003.gguf ─┘
//! ```
//!
//! The loaders see one file: the parts lie behind each other, and the offset
//! of each tensor is counted from the first byte of the first part. Every
//! header is checked before anything else reads it, and parts that do not
//! belong together are refused by name.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use candle_core::quantized::gguf_file::Content;

use crate::engine::check::{self, CheckError, Checked};

/// Each part keeps a file open.
const PARTS_MAX: u32 = 500;
const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const TENSORS: &str = "split.tensors.count";

/// A model whose headers have been checked.
pub(crate) struct ModelFile {
    /// As if it were one file that `reader` reads.
    pub(crate) content: Content,
    pub(crate) reader: Chain,
    pub(crate) checked: Checked,
    /// All parts together.
    pub(crate) bytes: u64,
}

/// Why files are not the parts of one model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// The others are found by the name of the first.
    #[error("it is part {number} of {parts} of a split model, which is named by its part 1")]
    NotFirst {
        /// Which part it is.
        number: u32,
        /// How many there are.
        parts: u32,
    },
    /// More files than anybody splits a model into.
    #[error("it is split into {parts} parts; at most {PARTS_MAX} are accepted")]
    TooMany {
        /// How many its name says.
        parts: u32,
    },
    /// A part is not beside the first.
    #[error("part {number} of {parts}, {part}, is missing")]
    Missing {
        /// The name of its file.
        part: String,
        /// Which part it is.
        number: u32,
        /// How many there are.
        parts: u32,
    },
    /// A file that is named like a part, and there is no such part.
    #[error("{part} lies beside it, and there are only {parts} parts")]
    Extra {
        /// The name of the file.
        part: String,
        /// How many there are.
        parts: u32,
    },
    /// The name says one thing and the header another.
    #[error("{key} of {part} is {}, which must be {expected} by its name", found.map_or("missing".to_owned(), |it| it.to_string()))]
    Number {
        /// The name of the file.
        part: String,
        /// The metadata key.
        key: &'static str,
        /// What the header says.
        found: Option<u64>,
        /// What the name says.
        expected: u64,
    },
    /// The header says that there are others, and the name does not.
    #[error(
        "it says that it is split into {parts} files, so its name must end in -00001-of-{parts:05}.gguf"
    )]
    Unnamed {
        /// How many the header says.
        parts: u64,
    },
    /// Two parts have the same tensor.
    #[error("tensor {tensor:?} of {part} is in a part before it as well")]
    Twice {
        /// The later part.
        part: String,
        /// The tensor.
        tensor: String,
    },
    /// The parts are not what was split.
    #[error("its parts hold {found} tensors together, which must be {expected}")]
    Tensors {
        /// How many there are.
        found: u64,
        /// How many the first part says.
        expected: u64,
    },
}

/// Why a file is not a model.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// It cannot be opened.
    #[error("it cannot be opened ({0})")]
    Open(io::Error),
    /// It is not a GGUF file that can be read.
    #[error("{0}")]
    Check(CheckError),
    /// The library refused what the check let pass.
    #[error("its header cannot be used ({0})")]
    Content(String),
    /// Another part of a split model cannot be read.
    #[error("its part {part}: {problem}")]
    Part {
        /// The name of its file.
        part: String,
        /// What is wrong with it.
        problem: Box<Self>,
    },
    /// The parts of a split model do not belong together.
    #[error(transparent)]
    Split(#[from] SplitError),
}

impl FileProblem {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Open(_) => "check the path and its permissions",
            Self::Check(CheckError::Truncated { .. } | CheckError::Io(_)) => {
                "remove the file and download it again"
            }
            Self::Check(CheckError::TensorType { .. }) => "choose another quantisation",
            Self::Part { problem, .. } => problem.remedy(),
            Self::Split(SplitError::NotFirst { .. }) => "name that one",
            Self::Split(SplitError::Missing { .. }) => "download the model again, or put it there",
            Self::Split(SplitError::Extra { .. }) => "remove it, or download the model again",
            Self::Check(_) | Self::Content(_) | Self::Split(_) => {
                "download the file again or choose another model"
            }
        }
    }
}

/// What the library says, without the backtrace that it may append.
pub(crate) fn library_says(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().chars().take(300).collect()
}

impl ModelFile {
    /// Opens the file at `path`, and the parts beside it that it is the first
    /// of, and checks all their headers.
    pub(crate) fn open(path: &Path) -> Result<Self, FileProblem> {
        let parts = Parts::of(path)?;
        let mut model: Option<Self> = None;
        for (index, path) in parts.paths.iter().enumerate() {
            let name = file_name(path);
            let part = read(path).and_then(|part| {
                parts.check(index, &name, &part.content)?;
                Ok(part)
            });
            model = Some(match (model, part) {
                (None, part) => part?,
                (Some(model), Ok(part)) => model.join(&name, part)?,
                (Some(_), Err(FileProblem::Split(problem))) => return Err(problem.into()),
                (Some(_), Err(problem)) => {
                    return Err(FileProblem::Part { part: name, problem: Box::new(problem) });
                }
            });
        }
        let model = model.ok_or_else(|| FileProblem::Open(io::ErrorKind::NotFound.into()))?;
        let found = model.checked.tensors;
        match count(&model.content, TENSORS) {
            Some(expected) if parts.paths.len() > 1 && expected != found => {
                Err(SplitError::Tensors { found, expected }.into())
            }
            _ => Ok(model),
        }
    }

    fn join(mut self, name: &str, part: Self) -> Result<Self, FileProblem> {
        for (tensor, mut info) in part.content.tensor_infos {
            // The header of the part was held against its length.
            info.offset += self.bytes;
            if self.content.tensor_infos.insert(tensor.clone(), info).is_some() {
                return Err(SplitError::Twice { part: name.to_owned(), tensor }.into());
            }
        }
        self.checked.add(&part.checked).map_err(FileProblem::Check)?;
        self.reader.pieces.extend(part.reader.pieces);
        self.bytes += part.bytes;
        Ok(self)
    }
}

/// How long the model at `path` is, with all its parts.
pub(crate) fn bytes(path: &Path) -> Option<u64> {
    let parts = Parts::of(path).ok()?;
    parts.paths.iter().map(|part| Some(part.metadata().ok()?.len())).sum()
}

/// One file. Its tensors' offsets are counted from its first byte.
fn read(path: &Path) -> Result<ModelFile, FileProblem> {
    let file = File::open(path).map_err(FileProblem::Open)?;
    let metadata = file.metadata().map_err(FileProblem::Open)?;
    if !metadata.is_file() {
        return Err(FileProblem::Open(io::Error::other("it is not a regular file")));
    }
    let bytes = metadata.len();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let checked = check::check(&mut reader, bytes).map_err(FileProblem::Check)?;
    reader.seek(SeekFrom::Start(0)).map_err(FileProblem::Open)?;
    let mut content =
        Content::read(&mut reader).map_err(|error| FileProblem::Content(library_says(&error)))?;
    for info in content.tensor_infos.values_mut() {
        info.offset += content.tensor_data_offset;
    }
    content.tensor_data_offset = 0;
    reader.seek(SeekFrom::Start(0)).map_err(FileProblem::Open)?;
    let pieces = vec![Piece { reader, bytes, position: 0 }];
    Ok(ModelFile { content, reader: Chain { pieces, position: 0 }, checked, bytes })
}

/// The files of a model by the name of the first.
struct Parts {
    paths: Vec<PathBuf>,
}

impl Parts {
    fn of(path: &Path) -> Result<Self, SplitError> {
        let name = file_name(path);
        let (stem, parts) = match numbered(&name) {
            None | Some((_, 1, 1)) => return Ok(Self { paths: vec![path.to_owned()] }),
            Some((_, _, parts)) if parts > PARTS_MAX => return Err(SplitError::TooMany { parts }),
            Some((stem, 1, parts)) => (stem, parts),
            Some((_, number, parts)) => return Err(SplitError::NotFirst { number, parts }),
        };
        let named = |number: u32| format!("{stem}-{number:05}-of-{parts:05}.gguf");
        let paths: Vec<PathBuf> =
            (1..=parts).map(|number| path.with_file_name(named(number))).collect();
        if path.with_file_name(named(parts + 1)).exists() {
            return Err(SplitError::Extra { part: named(parts + 1), parts });
        }
        match (1..=parts).zip(&paths).find(|(number, path)| *number > 1 && !path.exists()) {
            Some((number, _)) => Err(SplitError::Missing { part: named(number), number, parts }),
            None => Ok(Self { paths }),
        }
    }

    /// Whether the header of a part says what its name says.
    fn check(&self, index: usize, name: &str, content: &Content) -> Result<(), SplitError> {
        if self.paths.len() == 1 {
            return match count(content, COUNT) {
                Some(parts @ 2..) => Err(SplitError::Unnamed { parts }),
                _ => Ok(()),
            };
        }
        for (key, expected) in [(COUNT, self.paths.len()), (NUMBER, index)] {
            let (found, expected) = (count(content, key), expected as u64);
            if found != Some(expected) {
                return Err(SplitError::Number { part: name.to_owned(), key, found, expected });
            }
        }
        Ok(())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `x-00002-of-00003.gguf` is part 2 of 3 of `x`.
fn numbered(name: &str) -> Option<(&str, u32, u32)> {
    const DIGITS: usize = 5;
    let (rest, parts) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let read = |text: &str| (text.len() == DIGITS).then(|| text.parse::<u32>().ok()).flatten();
    let (number, parts) = (read(number)?, read(parts)?);
    (1..=parts).contains(&number).then_some((stem, number, parts))
}

/// A number that is not negative, in either type that splitters write.
fn count(content: &Content, key: &str) -> Option<u64> {
    let value = content.metadata.get(key)?;
    value.to_u64().ok().or_else(|| u64::try_from(value.to_i32().ok()?).ok())
}

/// Files that are read as if they were one.
pub(crate) struct Chain {
    pieces: Vec<Piece>,
    position: u64,
}

struct Piece {
    reader: BufReader<File>,
    bytes: u64,
    /// Where `reader` is.
    position: u64,
}

impl Piece {
    fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position != position {
            self.reader.seek(SeekFrom::Start(position))?;
            self.position = position;
        }
        let read = self.reader.read(buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Read for Chain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut start = 0;
        for piece in &mut self.pieces {
            if self.position < start + piece.bytes {
                let position = self.position - start;
                // A file that has grown since does not reach into the next.
                let left = usize::try_from(piece.bytes - position).unwrap_or(usize::MAX);
                let end = buffer.len().min(left);
                let read = piece.read_at(position, &mut buffer[..end])?;
                self.position += read as u64;
                return Ok(read);
            }
            start += piece.bytes;
        }
        Ok(0)
    }
}

impl Seek for Chain {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let end = self.pieces.iter().map(|piece| piece.bytes).sum();
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => u64::checked_add_signed(end, offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests;
