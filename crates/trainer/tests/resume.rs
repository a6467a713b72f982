//! Stopped and resumed = never stopped; killed and resumed = never killed; one thread = two threads;
//! kept activations = activations computed again. Each bit for bit: log, weights and moments.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod workshop;

use kollama_kernels::Device;
use kollama_llama::{Llama, LlamaConfig};
use kollama_trainer::{DtypeChoice, RunEnd, StepRecord, TrainSettings, Trainer, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use workshop::{Workshop, goldens};

/// Two epochs of thirty rows and a bit, with everything on that has a state to lose.
const FIELDS: &str = "steps = 11\nbatch_size = 2\naccumulate = 3\nsequence_length = 32\n\
    learning_rate = 4e-3\nschedule = 'cosine'\nwarmup_steps = 3\nweight_decay = 0.1\nclip = 0.5\n\
    seed = 7\nsave_every = 4\n";

fn workshop() -> Workshop {
    let tiny = LlamaConfig::preset("tiny").unwrap();
    let config = LlamaConfig {
        hidden_size: 32,
        head_dim: 8,
        vocab_size: 96,
        initializer_range: 0.1,
        ..tiny
    };
    Workshop::new(&config, 3, &goldens().join("accumulation.jsonl"))
}

fn settings(workshop: &Workshop, out: &str) -> TrainSettings {
    let eval_data = Some(workshop.path("data"));
    TrainSettings { eval_data, eval_every: Some(4), ..workshop.settings(out, FIELDS) }
}

fn finish(mut trainer: Trainer) {
    let end = run(&mut trainer, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    assert!(matches!(end, RunEnd::Finished { .. }));
}

/// Some steps of a run that is then dropped without a word.
fn take_steps(trainer: &mut Trainer, count: usize) {
    for _ in 0..count {
        let mut record = trainer.step().unwrap();
        if record.step.is_multiple_of(4) {
            record.eval_loss = trainer.evaluate().unwrap();
        }
        trainer.record(&record).unwrap();
    }
}

/// The log without the clock.
fn log(out: &Path) -> Vec<StepRecord> {
    let text = fs::read_to_string(out.join("train.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<StepRecord>(line).unwrap());
    lines.map(|record| StepRecord { tokens_per_second: 0.0, ..record }).collect()
}

fn last_checkpoint(out: &Path) -> PathBuf {
    let folder = fs::read_dir(out.join("checkpoints")).unwrap();
    folder.map(|entry| entry.unwrap().path()).max().unwrap()
}

fn assert_same_run(a: &Path, b: &Path) {
    assert_eq!(log(a), log(b));
    for file in ["model.safetensors", "config.json", "trainer/moments.safetensors"] {
        let bytes = |out| fs::read(last_checkpoint(out).join(file)).unwrap();
        assert!(bytes(a) == bytes(b), "{file} differs");
    }
}

/// The run that nothing happened to.
fn undisturbed(workshop: &Workshop) -> PathBuf {
    finish(Trainer::start(settings(workshop, "undisturbed"), &device(2), None).unwrap());
    workshop.path("undisturbed")
}

fn device(threads: usize) -> Device {
    Device::cpu(threads).unwrap()
}

#[test]
fn a_run_stopped_after_any_step_and_resumed_is_the_run_never_stopped() {
    let workshop = workshop();
    let undisturbed = undisturbed(&workshop);
    assert_eq!(
        log(&undisturbed).iter().map(|line| line.step).collect::<Vec<_>>(),
        Vec::from_iter(1..=11)
    );
    for last_step in [1, 4, 6, 10] {
        let settings = settings(&workshop, &format!("stopped-{last_step}"));
        let mut trainer = Trainer::start(settings.clone(), &device(2), None).unwrap();
        let stop = AtomicBool::new(false);
        let report = &mut |line: &StepRecord| {
            stop.store(line.step == last_step, Ordering::Relaxed);
        };
        let end = run(&mut trainer, report, &stop).unwrap();
        assert!(matches!(end, RunEnd::Stopped { checkpoint: Some(_) }), "{end:?}");
        drop(trainer);
        finish(Trainer::resume(settings.clone(), &device(2), None).unwrap());
        assert_same_run(&settings.out, &undisturbed);
    }
}

#[test]
fn log_lines_that_the_checkpoint_does_not_know_are_taken_back() {
    let workshop = workshop();
    let undisturbed = undisturbed(&workshop);
    let settings = settings(&workshop, "dropped");
    let mut trainer = Trainer::start(settings.clone(), &device(2), None).unwrap();
    take_steps(&mut trainer, 4);
    trainer.save().unwrap();
    take_steps(&mut trainer, 2);
    drop(trainer);
    assert_eq!(log(&settings.out).len(), 6);
    let trainer = Trainer::resume(settings.clone(), &device(2), None).unwrap();
    assert_eq!((trainer.steps_done(), log(&settings.out).len()), (4, 4));
    finish(trainer);
    assert_same_run(&settings.out, &undisturbed);
}

#[test]
fn a_run_killed_at_any_moment_and_resumed_is_the_run_never_killed() {
    let workshop = workshop();
    let settings_of =
        |out| TrainSettings { steps: 90, save_every: Some(2), ..settings(&workshop, out) };
    finish(Trainer::start(settings_of("undisturbed"), &device(2), None).unwrap());
    let settings = settings_of("killed");
    let path = workshop.path("killed.toml");
    fs::write(&path, toml::to_string(&settings).unwrap()).unwrap();
    for lines in [0, 5, 12, 20] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "run_from_the_settings_in_the_environment"])
            .env("KOLLAMA_TEST_SETTINGS", &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let length = || {
            fs::read(settings.log_file()).map_or(0, |text| text.split(|&b| b == b'\n').count() - 1)
        };
        while length() < lines && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(!settings.out.join("config.json").exists(), "it was done before it was killed");
    finish(Trainer::resume(settings.clone(), &device(2), None).unwrap());
    assert_same_run(&settings.out, &workshop.path("undisturbed"));
}

#[test]
#[ignore = "the process that another test kills"]
fn run_from_the_settings_in_the_environment() {
    if let Some(path) = std::env::var_os("KOLLAMA_TEST_SETTINGS") {
        let settings = TrainSettings::read(Path::new(&path)).unwrap();
        finish(Trainer::resume(settings, &device(2), None).unwrap());
    }
}

#[test]
fn a_run_resumed_before_its_first_checkpoint_begins_again() {
    let workshop = workshop();
    let undisturbed = undisturbed(&workshop);
    let settings = settings(&workshop, "early");
    let mut trainer = Trainer::start(settings.clone(), &device(2), None).unwrap();
    take_steps(&mut trainer, 1);
    drop(trainer);
    finish(Trainer::resume(settings.clone(), &device(2), None).unwrap());
    assert_same_run(&settings.out, &undisturbed);
}

#[test]
fn the_tokenizer_comes_along_even_when_the_checkpoint_it_was_resumed_from_is_gone() {
    let workshop = workshop();
    let text = r#"{"made": "for this test"}"#;
    fs::write(workshop.path("model").join("tokenizer.json"), text).unwrap();
    let settings = TrainSettings { keep: 1, save_every: Some(1), ..settings(&workshop, "out") };
    let mut trainer = Trainer::start(settings.clone(), &device(2), None).unwrap();
    take_steps(&mut trainer, 2);
    trainer.save().unwrap();
    drop(trainer);
    finish(Trainer::resume(settings.clone(), &device(2), None).unwrap());
    assert_eq!(fs::read_to_string(settings.out.join("tokenizer.json")).unwrap(), text);
    assert_eq!(fs::read_dir(settings.out.join("checkpoints")).unwrap().count(), 1);
}

#[test]
fn a_finished_run_that_is_resumed_stays_as_it_is() {
    let workshop = workshop();
    let undisturbed = undisturbed(&workshop);
    let before = (log(&undisturbed), fs::read(undisturbed.join("model.safetensors")).unwrap());
    finish(Trainer::resume(settings(&workshop, "undisturbed"), &device(2), None).unwrap());
    let after = (log(&undisturbed), fs::read(undisturbed.join("model.safetensors")).unwrap());
    assert!(before == after);
}

#[test]
fn one_thread_and_two_threads_write_the_same_bits() {
    let workshop = workshop();
    finish(Trainer::start(settings(&workshop, "one"), &device(1), None).unwrap());
    finish(Trainer::start(settings(&workshop, "two"), &device(2), None).unwrap());
    assert_same_run(&workshop.path("one"), &workshop.path("two"));
}

#[test]
fn activations_computed_again_are_the_same_bits_even_when_chosen_half_way() {
    let workshop = workshop();
    let undisturbed = undisturbed(&workshop);
    let settings = settings(&workshop, "half");
    let mut trainer = Trainer::start(settings.clone(), &device(2), None).unwrap();
    take_steps(&mut trainer, 4);
    trainer.save().unwrap();
    drop(trainer);
    let layer = kollama_trainer::RecomputeChoice::Layer;
    let settings = TrainSettings { recompute: layer, ..settings };
    finish(Trainer::resume(settings.clone(), &device(2), None).unwrap());
    assert_same_run(&settings.out, &undisturbed);
}

#[test]
fn the_finished_model_opens_from_the_run_folder_and_only_the_newest_checkpoints_are_kept() {
    let workshop = workshop();
    let out = undisturbed(&workshop);
    let model = Llama::open(&out, &device(1)).unwrap();
    assert_eq!(model.config.vocab_size, 96);
    let names = fs::read_dir(out.join("checkpoints")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["step-000008", "step-000011"]);
    assert!(log(&out)[10].eval_loss.is_some_and(|loss| loss < log(&out)[0].loss));
}

#[test]
fn a_run_in_bf16_that_is_stopped_and_goes_on_otherwise_is_the_run_never_stopped() {
    let workshop = workshop();
    let settings_of = |out| TrainSettings { dtype: DtypeChoice::Bf16, ..settings(&workshop, out) };
    finish(Trainer::start(settings_of("undisturbed"), &device(2), None).unwrap());
    let settings = settings_of("stopped");
    let mut trainer = Trainer::start(settings.clone(), &device(2), None).unwrap();
    take_steps(&mut trainer, 6);
    trainer.save().unwrap();
    drop(trainer);
    let layer = kollama_trainer::RecomputeChoice::Layer;
    let settings = TrainSettings { recompute: layer, ..settings };
    finish(Trainer::resume(settings.clone(), &device(1), None).unwrap());
    assert_same_run(&settings.out, &workshop.path("undisturbed"));
    // Not all that is written was rounded: checkpoints hold the weights that AdamW updates.
    let model = Llama::open(&settings.out, &device(1)).unwrap();
    let bits = model.parameters.head().to_vec().into_iter().map(f32::to_bits);
    assert!(bits.filter(|bits| bits & 0xffff != 0).count() > 96 * 32 / 2);
}
