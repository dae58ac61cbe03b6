//! Models that are split as `llama-gguf-split` does it, and split badly.

use std::{fs, io::Cursor};

use candle_core::{
    Device,
    quantized::gguf_file::{self, Value},
};
use protocol::inference::Sampling;
use tempfile::TempDir;

use super::*;
use crate::{
    engine::{SlotIndex, SlotStep},
    inspect::inspect,
    load::{ComputeDevice, LoadError, LoadOptions, Loaded, load},
    sampling::Sampler,
    testing,
};

static DEMO: &[u8] = include_bytes!("../../../assets/models/demo/rbee-demo.gguf");

type Metadata = Vec<(String, Value)>;

/// The parts of a model file, after `adjust` has seen what each says.
fn split(
    file: &[u8],
    parts: u16,
    mut adjust: impl FnMut(u16, &mut Metadata, &mut Vec<String>),
) -> Vec<Vec<u8>> {
    let mut file = Cursor::new(file);
    let content = Content::read(&mut file).unwrap();
    let mut tensors: Vec<_> = content.tensor_infos.iter().collect();
    tensors.sort_by_key(|(_, info)| info.offset);
    let names: Vec<String> = tensors.into_iter().map(|(name, _)| name.clone()).collect();
    let mut left = names.chunks(names.len().div_ceil(usize::from(parts)));
    let part = |number: u16| {
        let mut metadata: Metadata = vec![
            (COUNT.to_owned(), Value::U16(parts)),
            (NUMBER.to_owned(), Value::U16(number)),
            (TENSORS.to_owned(), Value::I32(names.len().try_into().unwrap())),
        ];
        if number == 0 {
            metadata.extend(content.metadata.clone());
        }
        let mut names = left.next().unwrap().to_vec();
        adjust(number, &mut metadata, &mut names);
        let mut read = |name: &String| content.tensor(&mut file, name, &Device::Cpu).unwrap();
        let tensors: Vec<_> = names.iter().map(|name| (name.as_str(), read(name))).collect();
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let metadata: Vec<_> = metadata.iter().map(|(key, it)| (key.as_str(), it)).collect();
        let mut bytes = Cursor::new(Vec::new());
        gguf_file::write(&mut bytes, &metadata, &tensors).unwrap();
        bytes.into_inner()
    };
    (0..parts).map(part).collect()
}

/// A folder with parts of one model under their names.
struct Folder(TempDir);

impl Folder {
    fn with(parts: &[Vec<u8>]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (part, number) in parts.iter().zip(1..) {
            fs::write(folder.part(number, parts.len()), part).unwrap();
        }
        folder
    }

    fn part(&self, number: usize, of: usize) -> PathBuf {
        self.0.path().join(format!("x-{number:05}-of-{of:05}.gguf"))
    }

    fn first(&self, of: usize) -> PathBuf {
        self.part(1, of)
    }
}

fn load_file(path: &Path) -> Result<Loaded, LoadError> {
    let path = path.to_owned();
    let options = LoadOptions { path, device: ComputeDevice::Cpu, slots: 1, context_length: None };
    load(&options, |_| {})
}

/// What a model says to `prompt`, with a temperature and a seed.
fn say(model: Loaded, prompt: &str) -> Vec<u32> {
    let Loaded { mut engine, tokenizer, .. } = model;
    let mut step = |tokens: &[u32], position| {
        let work = SlotStep { slot: SlotIndex(0), tokens, position, wants_logits: true };
        engine.step(&[work]).unwrap().remove(0).logits
    };
    let mut tokens = tokenizer.encode(prompt).unwrap();
    let mut sampler = Sampler::new(&Sampling::default(), 7);
    let mut logits = step(&tokens, 0);
    for _ in 0..32 {
        let next = sampler.sample(&logits).unwrap();
        logits = step(&[next], tokens.len());
        tokens.push(next);
    }
    tokens
}

#[test]
fn a_split_model_says_the_same_as_the_whole_one() {
    let folder = Folder::with(&split(DEMO, 3, |_, _, _| {}));
    let whole = folder.0.path().join("whole.gguf");
    fs::write(&whole, DEMO).unwrap();
    let prompt = "Once upon a time";
    let said = say(load_file(&whole).unwrap(), prompt);
    assert_eq!(say(load_file(&folder.first(3)).unwrap(), prompt), said);
}

#[test]
fn a_split_model_is_described_with_all_its_parts() {
    let parts = split(DEMO, 3, |_, _, _| {});
    let folder = Folder::with(&parts);
    let whole = folder.0.path().join("whole.gguf");
    fs::write(&whole, DEMO).unwrap();
    let (whole, split) = (inspect(&whole).unwrap(), inspect(&folder.first(3)).unwrap());
    let length: usize = parts.iter().map(Vec::len).sum();
    assert_eq!(split.file_bytes, length as u64);
    assert_eq!(split, protocol::model::ModelInfo { file_bytes: split.file_bytes, ..whole });
    assert_eq!(bytes(&folder.first(3)), Some(length as u64));
}

#[test]
fn a_first_part_may_hold_no_tensor() {
    let mut all = Vec::new();
    let mut parts = split(&testing::model("llama").bytes(), 2, |number, metadata, names| {
        if number == 0 {
            all = std::mem::take(names);
            // The header's last byte is none of those that align what follows.
            let last = Value::String("no tensor here".to_owned());
            metadata.push(("general.description".to_owned(), last));
        } else {
            names.splice(0..0, all.drain(..)).for_each(drop);
        }
    });
    // Nothing follows the header, not even what would align the first tensor.
    let length = parts[0].iter().rposition(|byte| *byte != 0).unwrap() + 1;
    parts[0].truncate(length);
    load_file(&Folder::with(&parts).first(2)).unwrap();
}

/// Why the model is refused whose parts are spoilt so.
fn refusal(spoil: impl FnOnce(&Folder)) -> String {
    let folder = Folder::with(&split(&testing::model("llama").bytes(), 3, |_, _, _| {}));
    spoil(&folder);
    let error = load_file(&folder.first(3)).err().unwrap().to_string();
    assert_eq!(inspect(&folder.first(3)).unwrap_err().to_string(), error);
    error
}

/// The same of parts that say or hold something else.
fn adjusted(adjust: impl FnMut(u16, &mut Metadata, &mut Vec<String>)) -> String {
    let parts = split(&testing::model("llama").bytes(), 3, adjust);
    refusal(|folder| {
        for (part, number) in parts.iter().zip(1..) {
            fs::write(folder.part(number, 3), part).unwrap();
        }
    })
}

fn set(metadata: &mut Metadata, key: &str, value: Value) {
    metadata.retain(|(name, _)| name != key);
    metadata.push((key.to_owned(), value));
}

#[test]
fn parts_that_do_not_belong_together_are_refused_by_name() {
    let cases = [
        (
            refusal(|it| fs::remove_file(it.part(2, 3)).unwrap()),
            "part 2 of 3, x-00002-of-00003.gguf, is missing; download the model again",
        ),
        (
            refusal(|it| {
                fs::copy(it.part(3, 3), it.part(4, 3)).unwrap();
            }),
            "x-00004-of-00003.gguf lies beside it, and there are only 3 parts; remove it",
        ),
        (
            refusal(|it| {
                fs::copy(it.part(3, 3), it.part(2, 3)).unwrap();
            }),
            "split.no of x-00002-of-00003.gguf is 2, which must be 1 by its name",
        ),
        (
            refusal(|it| fs::write(it.part(3, 3), "<html>").unwrap()),
            "its part x-00003-of-00003.gguf: it is not a GGUF file",
        ),
        (
            refusal(|it| {
                let bytes = fs::read(it.part(2, 3)).unwrap();
                fs::write(it.part(2, 3), &bytes[..bytes.len() / 2]).unwrap();
            }),
            "its part x-00002-of-00003.gguf: it is truncated",
        ),
        (
            adjusted(|number, metadata, _| {
                if number == 1 {
                    set(metadata, COUNT, Value::U16(9));
                }
            }),
            "split.count of x-00002-of-00003.gguf is 9, which must be 3 by its name",
        ),
        (
            adjusted(|_, metadata, _| metadata.retain(|(key, _)| key != COUNT)),
            "split.count of x-00001-of-00003.gguf is missing, which must be 3 by its name",
        ),
        (
            adjusted(|number, _, names| {
                if number == 2 {
                    names.pop();
                }
            }),
            "its parts hold 20 tensors together, which must be 21",
        ),
        (
            adjusted(|number, _, names| {
                if number > 0 {
                    names.insert(0, "token_embd.weight".to_owned());
                }
            }),
            "tensor \"token_embd.weight\" of x-00002-of-00003.gguf is in a part before it as well",
        ),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{error}\nand not: {expected}");
    }
}

#[test]
fn a_part_is_named_by_the_first_and_a_first_part_by_its_name() {
    let folder = Folder::with(&split(&testing::model("llama").bytes(), 2, |_, _, _| {}));
    let error = load_file(&folder.part(2, 2)).err().unwrap().to_string();
    assert!(error.contains("it is part 2 of 2 of a split model"), "{error}");
    let renamed = folder.0.path().join("renamed.gguf");
    fs::copy(folder.first(2), &renamed).unwrap();
    let error = load_file(&renamed).err().unwrap().to_string();
    assert!(error.contains("its name must end in -00001-of-00002.gguf"), "{error}");
    let many = folder.0.path().join("x-00001-of-99999.gguf");
    let error = load_file(&many).err().unwrap().to_string();
    assert!(error.contains("99999 parts; at most 500"), "{error}");
}

#[test]
fn a_chain_is_read_across_its_pieces_in_any_order() {
    let pieces = ["012", "", "3456", "789"].map(|text| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let reader = BufReader::new(File::open(file.path()).unwrap());
        Piece { reader, bytes: text.len() as u64, position: 0 }
    });
    let mut chain = Chain { pieces: pieces.into(), position: 0 };
    let mut text = String::new();
    chain.read_to_string(&mut text).unwrap();
    assert_eq!(text, "0123456789");
    for (to, expected) in
        [(SeekFrom::Start(2), "234"), (SeekFrom::End(-4), "678"), (SeekFrom::Current(-8), "123")]
    {
        chain.seek(to).unwrap();
        let mut read = [0; 3];
        chain.read_exact(&mut read).unwrap();
        assert_eq!(read, expected.as_bytes(), "{to:?}");
    }
    assert!(chain.seek(SeekFrom::Current(-100)).is_err());
    chain.seek(SeekFrom::Start(100)).unwrap();
    assert_eq!(chain.read(&mut [0; 3]).unwrap(), 0);
}
