//! What a run will need, told before it begins: memory by purpose, and work per token.

use crate::settings::{DtypeChoice, RecomputeChoice, TrainSettings};
use crate::trained::Trained;
use kollama_kernels::DType;
use kollama_llama::parameters::{TensorShape, held_as, tensor_shapes};
use kollama_llama::{LlamaConfig, Tape};

const F32_BYTES: u64 = 4;
const BF16_BYTES: u64 = 2;

/// Memory and work of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Weights of the model.
    pub parameters: u64,
    /// Weights that learn.
    pub trained_parameters: u64,
    /// Bytes of the weights in memory.
    pub weight_bytes: u64,
    /// Bytes of the weights in a checkpoint.
    pub stored_bytes: u64,
    /// Bytes of the gradients, which every weight has.
    pub gradient_bytes: u64,
    /// Bytes of both moments, which only tensors that learn have.
    pub moment_bytes: u64,
    /// Bytes that a micro-batch needs besides.
    pub activation_bytes: u64,
    /// Floating-point operations per token, forward and backward: 6 for each weight of a
    /// multiplication, and those of causal attention. Recomputing is not counted.
    pub flop_per_token: u64,
}

impl Estimate {
    /// All of the memory.
    pub fn bytes(&self) -> u64 {
        let state = self.weight_bytes + self.gradient_bytes + self.moment_bytes;
        state + self.activation_bytes
    }
}

/// What training a model of this shape with these settings will need. `base_vocab_size` is where
/// new rows begin, if only they learn.
pub fn estimate(
    config: &LlamaConfig,
    settings: &TrainSettings,
    base_vocab_size: usize,
) -> Estimate {
    let trained = Trained::new(settings.train_only, base_vocab_size);
    let (mut trained_parameters, mut with_moments) = (0, 0);
    for tensor in tensor_shapes(config) {
        let rows = trained.rows_of(&tensor.name, tensor.rows).len();
        trained_parameters += (rows * tensor.columns) as u64;
        with_moments += if rows > 0 { (tensor.rows * tensor.columns) as u64 } else { 0 };
    }
    let parameters = config.parameter_count();
    Estimate {
        parameters,
        trained_parameters,
        weight_bytes: weight_bytes(config, settings.dtype.of_matrices()),
        stored_bytes: parameters * F32_BYTES,
        gradient_bytes: parameters * F32_BYTES,
        moment_bytes: 2 * with_moments * F32_BYTES,
        activation_bytes: activation_bytes(config, settings),
        flop_per_token: flop_per_token(config, settings.sequence_length),
    }
}

/// Multiplied weights are all but the norms and the input embedding, which is only looked up;
/// where one matrix serves as both embeddings it is multiplied as the output.
fn flop_per_token(config: &LlamaConfig, sequence_length: usize) -> u64 {
    let tensors = tensor_shapes(config).into_iter();
    let multiplied: usize =
        tensors.filter(|tensor| tensor.rows > 1).map(|tensor| tensor.rows * tensor.columns).sum();
    let looked_up = match config.tie_word_embeddings {
        true => 0,
        false => config.vocab_size * config.hidden_size,
    };
    let attention = config.num_hidden_layers * config.heads().query_columns() * sequence_length;
    6 * (multiplied - looked_up + attention) as u64
}

/// What a [`kollama_llama::Master`] holds.
fn weight_bytes(config: &LlamaConfig, dtype: DType) -> u64 {
    let bytes = |tensor: TensorShape| {
        let bytes = |dtype: DType| dtype.matrix_bytes(tensor.rows, tensor.columns) as u64;
        match held_as(config, &tensor.name, dtype) {
            DType::F32 => bytes(DType::F32),
            dtype => bytes(dtype) + bytes(DType::Remainder),
        }
    };
    tensor_shapes(config).into_iter().map(bytes).sum()
}

/// What a [`Tape`] holds.
fn activation_bytes(config: &LlamaConfig, settings: &TrainSettings) -> u64 {
    let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
    let (queries, keys) = (config.heads().query_columns(), config.heads().key_columns());
    let kept = match settings.recompute {
        RecomputeChoice::None => config.num_hidden_layers,
        RecomputeChoice::Layer => 1,
    };
    let inputs = (config.num_hidden_layers + 1) * hidden;
    let layer = (2 * queries + 2 * keys + 2 * intermediate, config.num_attention_heads + hidden);
    let scratch = (hidden + intermediate, 2 * config.head_dim);
    let gradients = (2 * intermediate, 2 * hidden + 2 * queries + 2 * keys + intermediate);
    let losses = 2;
    // Per row, as the activations are and always f32.
    let activations = kept * layer.0 + scratch.0 + gradients.0;
    let sums = inputs + kept * layer.1 + scratch.1 + gradients.1 + losses;
    let (bytes, rounded) = match settings.dtype {
        DtypeChoice::F32 => (F32_BYTES, 0),
        DtypeChoice::Bf16 => (BF16_BYTES, hidden + queries + 2 * keys),
    };
    let rows = settings.batch_size * settings.sequence_length;
    let logits = Tape::logits_rows(config, rows) * config.vocab_size;
    (rows * (activations + rounded) + logits) as u64 * bytes + (rows * sums) as u64 * F32_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use kollama_kernels::Device;
    use kollama_llama::{Master, Parameters, Recompute, StoredType, init_checkpoint};

    fn settings(extra: &str) -> TrainSettings {
        let text = "model='m'\ndata='d'\nout='o'\nsteps=1\nbatch_size=3\nsequence_length=50\n\
                    learning_rate=1e-3\n";
        TrainSettings::from_toml(&format!("{text}{extra}\n")).unwrap()
    }

    #[test]
    fn memory_told_in_advance_is_the_memory_taken() {
        let (device, folder) = (Device::reference(), tempfile::tempdir().unwrap());
        let (model, config) = (folder.path().join("model"), LlamaConfig::preset("tiny").unwrap());
        init_checkpoint(&config, 0, StoredType::F32, &model, &mut |_, _| ()).unwrap();
        let choices = [("none", Recompute::None), ("layer", Recompute::Layer)];
        let dtypes = [("f32", DType::F32), ("bf16", DType::Bf16)];
        for ((choice, recompute), (name, dtype)) in
            choices.iter().flat_map(|&c| dtypes.map(|d| (c, d)))
        {
            let settings = settings(&format!("recompute='{choice}'\ndtype='{name}'"));
            let told = estimate(&config, &settings, 0);
            let tape = Tape::new(&config, &device, 150, recompute, dtype).unwrap();
            let master = Master::open(&model, &device, dtype).unwrap();
            let gradients = Parameters::zeros(&config, &device, DType::F32).unwrap();
            assert_eq!(told.activation_bytes, tape.bytes() as u64, "{choice}, {name}");
            assert_eq!(told.weight_bytes, master.bytes() as u64, "{name}");
            assert_eq!(told.gradient_bytes, gradients.bytes() as u64);
            assert_eq!(told.moment_bytes, 2 * gradients.bytes() as u64);
        }
    }

    #[test]
    fn only_new_rows_need_moments_of_the_embeddings_alone() {
        let config = LlamaConfig::preset("7b").unwrap();
        let told = estimate(&config, &settings("train_only='new-rows'"), 31_000);
        assert_eq!(told.trained_parameters, 2 * 1000 * 4096);
        assert_eq!(told.moment_bytes, 2 * 2 * 32_000 * 4096 * 4);
    }

    #[test]
    fn the_work_of_the_korean_7b_is_the_43_billion_operations_of_its_recipe() {
        let config = LlamaConfig { vocab_size: 46_336, ..LlamaConfig::preset("7b").unwrap() };
        let settings = TrainSettings { sequence_length: 4096, ..settings("") };
        let told = estimate(&config, &settings, 0);
        assert_eq!(told.parameters / 1_000_000, 6_855);
        assert_eq!(told.flop_per_token / 100_000_000, 432);
    }
}
