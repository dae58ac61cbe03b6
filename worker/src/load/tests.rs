use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::{
    engine::{EngineError, SlotIndex, SlotStep},
    testing::{self, TestModel},
};

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn load_bytes(bytes: &[u8], slots: usize) -> Result<Loaded, LoadError> {
    let file = file(bytes);
    let path = file.path().to_owned();
    let options = LoadOptions { path, device: ComputeDevice::Cpu, slots, context_length: None };
    load(&options, |_| {})
}

fn load_model(model: &TestModel) -> Result<Loaded, LoadError> {
    load_bytes(&model.bytes(), 2)
}

/// The logits after `tokens` that go in as chunks of `chunk`.
fn logits(engine: &mut dyn Engine, slot: usize, tokens: &[u32], chunk: usize) -> Vec<f32> {
    let slot = SlotIndex(slot);
    let mut last = Vec::new();
    for (index, tokens) in tokens.chunks(chunk).enumerate() {
        let position = index * chunk;
        let step = SlotStep { slot, tokens, position, wants_logits: true };
        last = engine.step(&[step]).unwrap().remove(0).logits;
    }
    engine.clear(slot);
    last
}

fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // A matrix times one vector rounds otherwise than times many.
    assert!(largest < 0.05, "logits are {largest} apart");
}

#[test]
fn every_architecture_computes_the_same_however_the_prompt_is_cut() {
    for architecture in ["llama", "qwen2", "qwen3", "phi3"] {
        let mut engine = load_model(&testing::model(architecture)).unwrap().engine;
        let tokens: Vec<u32> = (0..150).map(|i| i * 7 % 250).collect();
        let whole = logits(&mut *engine, 0, &tokens, 128);
        assert!(whole.iter().all(|logit| logit.is_finite()), "{architecture}");
        assert!(whole.iter().any(|logit| *logit != whole[0]), "{architecture}");
        for chunk in [1, 50, 75] {
            assert_close(&logits(&mut *engine, 0, &tokens, chunk), &whole);
        }
    }
}

#[test]
fn slots_do_not_see_each_other_and_forget_when_cleared() {
    for architecture in ["llama", "qwen3", "phi3"] {
        let mut engine = load_model(&testing::model(architecture)).unwrap().engine;
        assert_eq!(engine.slots(), 2, "{architecture}");
        let alone = logits(&mut *engine, 0, &[1, 2, 3, 4], 2);
        let mut step = |slot, tokens: &[u32], position| {
            let work = SlotStep { slot: SlotIndex(slot), tokens, position, wants_logits: true };
            engine.step(&[work]).unwrap().remove(0).logits
        };
        step(0, &[1, 2], 0);
        step(1, &[9, 9, 9], 0);
        assert_close(&step(0, &[3, 4], 2), &alone);
    }
}

#[test]
fn one_step_takes_a_chunk_of_one_slot_beside_a_token_of_another() {
    let mut engine = load_model(&testing::model("llama")).unwrap().engine;
    let expected = logits(&mut *engine, 1, &[5, 6], 1);
    let steps = [
        SlotStep { slot: SlotIndex(0), tokens: &[1, 2, 3], position: 0, wants_logits: false },
        SlotStep { slot: SlotIndex(1), tokens: &[5], position: 0, wants_logits: true },
    ];
    assert_eq!(engine.step(&steps).unwrap().len(), 1, "only one wants logits");
    let next = SlotStep { slot: SlotIndex(1), tokens: &[6], position: 1, wants_logits: true };
    let output = engine.step(&[next]).unwrap().remove(0);
    assert_eq!(output.slot, SlotIndex(1));
    assert_close(&output.logits, &expected);
}

#[test]
fn steps_that_cannot_be_are_refused_without_harm() {
    let mut engine = load_model(&testing::model("llama")).unwrap().engine;
    let step = SlotStep { slot: SlotIndex(0), tokens: &[1], position: 0, wants_logits: true };
    let long = vec![1; 129];
    for bad in [
        SlotStep { slot: SlotIndex(2), ..step },
        SlotStep { tokens: &[], ..step },
        SlotStep { tokens: &long, ..step },
        SlotStep { tokens: &[264], ..step },
        SlotStep { position: 512, ..step },
    ] {
        let refused = engine.step(&[bad]);
        assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
    }
    engine.step(&[step]).unwrap();
}

#[test]
fn the_model_is_described_and_progress_goes_forward_only() {
    let file = file(&testing::model("llama").bytes());
    let path = file.path().to_owned();
    let options =
        LoadOptions { path, device: ComputeDevice::Cpu, slots: 1, context_length: Some(100) };
    let mut seen = Vec::new();
    let loaded = load(&options, |progress| seen.push(progress)).unwrap();
    let info = loaded.engine.info();
    assert_eq!((info.name.as_str(), info.quantisation.as_str()), ("test model", "Q8_0"));
    assert_eq!((info.context_length, info.vocabulary), (100, 264));
    assert!(info.memory_bytes_estimate > info.file_bytes / 2, "{info:?}");
    let fractions: Vec<f64> = seen
        .iter()
        .filter_map(|progress| match progress {
            LoadProgress::Weights { fraction } => Some(*fraction),
            _ => None,
        })
        .collect();
    assert!(fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)));
    assert!(fractions.iter().any(|fraction| *fraction > 0.9), "{fractions:?}");
    assert_eq!(seen[..2], [LoadProgress::Checking, LoadProgress::Tokenizer]);
    assert_eq!(seen.last(), Some(&LoadProgress::WarmingUp));
}

#[test]
fn refusals_name_the_file_and_a_remedy() {
    let whole = testing::model("llama").bytes();
    let cases = [
        (load_bytes(&whole[..whole.len() / 2], 1), "download it again"),
        (load_bytes(b"<html>", 1), "not a GGUF file"),
        (
            load_model(&testing::model("llama").without("tokenizer.ggml.tokens")),
            "tokens is missing",
        ),
        (load_model(&testing::model("llama").without_tensor("blk.1.ffn_up.weight")), "ffn_up"),
        (load_model(&testing::model("gpt2")), "supported are llama"),
    ];
    for (result, expected) in cases {
        let error = result.err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.starts_with("cannot load /"), "{error}");
    }
    let options = LoadOptions {
        path: "/nowhere/model.gguf".into(),
        device: ComputeDevice::Cpu,
        slots: 1,
        context_length: None,
    };
    let error = load(&options, |_| {}).err().unwrap().to_string();
    assert!(error.contains("/nowhere/model.gguf") && error.contains("check the path"), "{error}");
}

#[test]
#[cfg(not(any(feature = "cuda", feature = "metal")))]
fn a_device_that_is_not_built_in_is_refused() {
    for device in [ComputeDevice::Cuda(0), ComputeDevice::Metal(0)] {
        let path = "/nowhere/model.gguf".into();
        let options = LoadOptions { path, device, slots: 1, context_length: None };
        let error = load(&options, |_| {}).err().unwrap().to_string();
        assert!(error.contains("does not contain it"), "{error}");
    }
}

#[test]
fn a_tokenizer_with_more_tokens_than_weights_is_refused() {
    let tokens = (0..300).map(|id| Value::String(format!("t{id}"))).collect();
    let model = testing::model("llama").with("tokenizer.ggml.tokens", Value::Array(tokens));
    let error = load_model(&model).err().unwrap().to_string();
    assert!(error.contains("300 tokens"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_damaged_file_is_loaded_or_refused_but_never_crashes(
        cut in prop_oneof![4 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)],
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..6),
    ) {
        let mut bytes = testing::model("llama").bytes();
        // Most of the file is weights, where damage is only noise.
        let header = 8192.min(bytes.len());
        for (index, byte, anywhere) in changes {
            let range = if anywhere { bytes.len() } else { header };
            bytes[index.index(range)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Err(error) = load_bytes(&bytes, 1) {
            let crashed = matches!(error.problem, LoadProblem::Crashed(_));
            prop_assert!(!crashed, "{}", error);
        }
    }
}
