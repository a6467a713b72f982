//! Runs that cannot start, go on or be resumed say why, and leave everything as it was.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod workshop;

use kollama_kernels::Device;
use kollama_llama::{Llama, LlamaConfig, StoredType};
use kollama_trainer::{DtypeChoice, LastGood, Order, TrainError, TrainSettings, Trainer, run};
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use workshop::{Workshop, goldens};

const FIELDS: &str = "steps = 9\nbatch_size = 2\nsequence_length = 32\nlearning_rate = 1e-3\n";

fn workshop() -> Workshop {
    workshop_of(96, &goldens().join("constant.jsonl"))
}

fn workshop_of(vocab_size: usize, rows: &Path) -> Workshop {
    let tiny = LlamaConfig::preset("tiny").unwrap();
    Workshop::new(&LlamaConfig { vocab_size, ..tiny }, 3, rows)
}

fn device() -> Device {
    Device::cpu(1).unwrap()
}

fn refused(settings: TrainSettings) -> TrainError {
    let out = settings.out.clone();
    let error = Trainer::start(settings, &device(), None).err().expect("it starts");
    assert!(!out.exists(), "a run that did not start left {}", out.display());
    error
}

/// A run of one step with a checkpoint of it.
fn one_step(settings: &TrainSettings) {
    let mut trainer = Trainer::start(settings.clone(), &device(), None).unwrap();
    let record = trainer.step().unwrap();
    trainer.record(&record).unwrap();
    trainer.save().unwrap();
}

fn resume_message(settings: TrainSettings) -> String {
    Trainer::resume(settings, &device(), None).err().expect("it resumes").to_string()
}

#[test]
fn rows_of_another_length_are_refused_with_both_lengths() {
    let workshop = workshop();
    let settings = TrainSettings { sequence_length: 64, ..workshop.settings("out", FIELDS) };
    let error = refused(settings);
    assert!(matches!(error, TrainError::SequenceLength { packed: 32, asked: 64, .. }), "{error}");
}

#[test]
fn data_of_more_ids_than_the_model_has_is_refused() {
    let (small, large) = (workshop(), workshop_of(97, &goldens().join("constant.jsonl")));
    let settings = TrainSettings { data: large.path("data"), ..small.settings("out", FIELDS) };
    let error = refused(settings);
    let expected =
        matches!(error, TrainError::VocabularyTooSmall { data_size: 97, model_size: 96, .. });
    assert!(expected, "{error}");
}

#[test]
fn a_weight_that_is_no_number_is_named_before_the_first_step() {
    let workshop = workshop();
    let mut model = Llama::open(&workshop.path("model"), &device()).unwrap();
    model.parameters.layers[1].up_proj.write_rows(5, &[f32::NAN; 64]);
    model.save(&workshop.path("model"), StoredType::F32).unwrap();
    for dtype in [DtypeChoice::F32, DtypeChoice::Bf16] {
        match refused(TrainSettings { dtype, ..workshop.settings("out", FIELDS) }) {
            TrainError::WeightNotFinite { tensor, row, .. } => {
                assert_eq!((tensor.as_str(), row), ("model.layers.1.mlp.up_proj.weight", 5));
            }
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_step_that_diverges_stops_the_run_with_weights_and_checkpoints_as_they_were() {
    let workshop = workshop();
    let settings = TrainSettings { learning_rate: 1e15, ..workshop.settings("out", FIELDS) };
    one_step(&settings);
    let checkpoint = settings.out.join("checkpoints/step-000001");
    let weights = fs::read(checkpoint.join("model.safetensors")).unwrap();
    let mut trainer = Trainer::resume(settings.clone(), &device(), None).unwrap();
    match trainer.step().expect_err("the learning rate is absurd") {
        TrainError::Diverged { step: 2, last_good, .. } => {
            assert_eq!(last_good, LastGood(Some(checkpoint)));
        }
        error => panic!("{error}"),
    }
    let saved = trainer.save().unwrap();
    assert!(fs::read(saved.join("model.safetensors")).unwrap() == weights);
}

#[test]
fn weights_that_an_update_made_infinite_never_become_a_checkpoint() {
    let workshop = workshop();
    for (out, dtype) in [("whole", DtypeChoice::F32), ("rounded", DtypeChoice::Bf16)] {
        let fields = TrainSettings { dtype, ..workshop.settings(out, FIELDS) };
        let settings = TrainSettings { learning_rate: 3e38, weight_decay: 10.0, ..fields };
        let mut trainer = Trainer::start(settings.clone(), &device(), None).unwrap();
        trainer.step().unwrap();
        let error = trainer.save().expect_err("the learning rate is absurd");
        assert!(matches!(error, TrainError::Diverged { step: 1, .. }), "{error}");
        assert!(!settings.out.join("checkpoints").exists());
    }
}

#[test]
fn an_evaluation_loss_that_is_no_number_stops_the_run_and_is_not_logged() {
    let workshop = workshop();
    let settings = workshop.settings("out", FIELDS);
    let eval_data = Some(workshop.path("data"));
    let settings =
        TrainSettings { learning_rate: 3e38, eval_data, eval_every: Some(1), ..settings };
    let log = settings.log_file();
    let mut trainer = Trainer::start(settings, &device(), None).unwrap();
    match run(&mut trainer, &mut |_| {}, &AtomicBool::new(false)) {
        Err(TrainError::Diverged { step: 1, what, .. }) => assert_eq!(what, "the evaluation loss"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read_to_string(log).unwrap(), "");
}

#[test]
fn a_file_that_is_no_log_survives_a_resumed_run() {
    let workshop = workshop();
    let log = workshop.path("diary.txt");
    fs::write(&log, "dear diary\n").unwrap();
    let settings = workshop.settings("out", FIELDS);
    let message = resume_message(TrainSettings { log: Some(log.clone()), ..settings.clone() });
    assert!(message.contains("diary.txt") && message.contains("line 1"), "{message}");
    assert_eq!(fs::read(&log).unwrap(), b"dear diary\n");
    assert!(!settings.out.exists());
}

#[test]
fn a_step_without_a_counted_label_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.jsonl");
    let row = |label: i32| format!("{{\"ids\":[1,2],\"labels\":[{label},{label}]}}\n");
    fs::write(&rows, [row(5), row(-100)].concat()).unwrap();
    let workshop = workshop_of(96, &rows);
    let fields = "steps = 2\nbatch_size = 1\nsequence_length = 2\nlearning_rate = 1e-3\n";
    let settings = TrainSettings { order: Order::Sequential, ..workshop.settings("out", fields) };
    let mut trainer = Trainer::start(settings, &device(), None).unwrap();
    trainer.step().unwrap();
    let error = trainer.step().unwrap_err();
    assert!(matches!(error, TrainError::NothingCounted { step: 2, rows: 1 }), "{error}");
}

#[test]
fn a_folder_that_holds_a_run_is_not_begun_again() {
    let workshop = workshop();
    let settings = workshop.settings("out", FIELDS);
    one_step(&settings);
    let error = Trainer::start(settings, &device(), None).err().unwrap();
    assert!(error.to_string().contains("--resume"), "{error}");
}

#[test]
fn a_model_is_not_replaced_by_a_run_that_did_not_make_it() {
    let workshop = workshop();
    let settings = workshop.settings("model", FIELDS);
    for begin in [Trainer::start, Trainer::resume] {
        let error = begin(settings.clone(), &device(), None).err().expect("it starts");
        assert!(matches!(error, TrainError::ModelExists { .. }), "{error}");
    }
}

#[test]
fn data_made_with_another_tokenizer_is_refused_with_both_fingerprints() {
    let workshop = workshop();
    let meta = workshop.path("data").join("meta.json");
    let mut fields: serde_json::Value = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
    fields["tokenizer"] = "one".into();
    fs::write(&meta, fields.to_string()).unwrap();
    let settings = workshop.settings("out", FIELDS);
    let error = Trainer::start(settings.clone(), &device(), Some("two")).err().expect("it starts");
    let message = error.to_string();
    assert!(message.contains("one") && message.contains("two"), "{message}");
    Trainer::start(settings, &device(), Some("one")).unwrap();
}

#[test]
fn what_differs_from_the_beginning_is_named_when_a_run_is_resumed() {
    let (workshop, other) = (workshop(), workshop_of(96, &goldens().join("embeddings.jsonl")));
    let settings = workshop.settings("out", FIELDS);
    one_step(&settings);
    let with = |change: &dyn Fn(&mut TrainSettings)| {
        let mut changed = settings.clone();
        change(&mut changed);
        resume_message(changed)
    };
    let message = with(&|settings| settings.learning_rate = 2e-3);
    assert!(message.contains("learning_rate = 0.001, now it is 0.002"), "{message}");
    let message = with(&|settings| settings.seed = 1);
    assert!(message.contains("seed = 0, now it is 1"), "{message}");
    let message = with(&|settings| settings.dtype = DtypeChoice::Bf16);
    assert!(message.contains("dtype = nothing, now it is \"bf16\""), "{message}");
    let message = with(&|settings| settings.data = other.path("data"));
    assert!(message.contains("data = "), "{message}");
    let model = workshop_of(96, &goldens().join("constant.jsonl"));
    let mut changed = Llama::open(&model.path("model"), &device()).unwrap();
    changed.parameters.norm.write_rows(0, &[2.0; 64]);
    changed.save(&model.path("model"), StoredType::F32).unwrap();
    let message = with(&|settings| settings.model = model.path("model"));
    assert!(message.contains("model = "), "{message}");
}

#[test]
fn what_does_not_change_the_numbers_may_differ_when_a_run_is_resumed() {
    let workshop = workshop();
    let settings = workshop.settings("out", FIELDS);
    one_step(&settings);
    fs::remove_dir_all(&settings.model).unwrap();
    let settings = TrainSettings { steps: 20, keep: 5, save_every: Some(1), ..settings };
    assert_eq!(Trainer::resume(settings, &device(), None).unwrap().steps_done(), 1);
}

#[test]
fn a_damaged_checkpoint_is_refused_by_file() {
    let workshop = workshop();
    let settings = workshop.settings("out", FIELDS);
    one_step(&settings);
    let moments = settings.out.join("checkpoints/step-000001/trainer/moments.safetensors");
    let mut bytes = fs::read(&moments).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&moments, bytes).unwrap();
    let message = resume_message(settings);
    assert!(message.contains("moments.safetensors: the file is damaged"), "{message}");
}

#[cfg(unix)]
#[test]
fn the_moments_may_be_read_by_those_who_may_read_the_weights() {
    use std::os::unix::fs::PermissionsExt;
    let workshop = workshop();
    let settings = workshop.settings("out", FIELDS);
    one_step(&settings);
    let checkpoint = settings.out.join("checkpoints/step-000001");
    let mode = |name| fs::metadata(checkpoint.join(name)).unwrap().permissions().mode();
    assert_eq!(mode("trainer/moments.safetensors"), mode("model.safetensors"));
}

#[test]
fn a_step_beyond_the_last_is_refused() {
    let workshop = workshop();
    let settings = TrainSettings { steps: 1, ..workshop.settings("out", FIELDS) };
    let mut trainer = Trainer::start(settings, &device(), None).unwrap();
    trainer.step().unwrap();
    assert!(matches!(trainer.step(), Err(TrainError::NoStepsLeft { steps: 1 })));
}
