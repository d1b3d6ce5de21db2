/**
 * Llamero as a library: the doors of its rooms, from bytes on disk to generated text.
 *
 * @example
 * ```ts
 * import { generate, LanguageModel, openBackend } from "@llamero/llamero";
 *
 * const backend = await openBackend();
 * const model = await LanguageModel.open("path/to/model", { backend });
 * const prompt = model.encodePrompt("Once upon a time");
 * for await (const piece of generate(model, { prompt, maxTokens: 64 })) console.log(piece);
 * backend.close();
 * ```
 *
 * @module
 */

export * from "./kernels/abi.ts";

export type { AtomicFileOptions } from "./lib/base/atomic_file.ts";
export * from "./lib/base/errors.ts";

export * from "./lib/backend/backend.ts";
export type { KernelArguments, KernelName, Kernels } from "./lib/backend/kernels.generated.ts";
export * from "./lib/backend/open.ts";

export type { CallKind } from "./lib/comm/call.ts";
export * from "./lib/comm/communicator.ts";
export { alone } from "./lib/comm/group.ts";
export { type LocalRunOptions, type RankModule, runLocal } from "./lib/comm/local/run.ts";
export * from "./lib/comm/mesh.ts";
export type { Environment } from "./lib/comm/mpi/launch.ts";
export { findMpiLibrary, INSTALL_MPI } from "./lib/comm/mpi/library.ts";
export * from "./lib/comm/open.ts";
export type { TrafficCount } from "./lib/comm/traffic.ts";
export type { Envelope, Message, Transport } from "./lib/comm/transport.ts";
export type { Numbers, ReduceOperation } from "./lib/comm/tree_sum.ts";

export * from "./lib/formats/gguf.ts";
export type {
  GgufArray,
  GgufElements,
  GgufScalarType,
  GgufValue,
} from "./lib/formats/gguf_types.ts";
export * from "./lib/formats/llama2c.ts";
export type { Llama2cHeader } from "./lib/formats/llama2c_layout.ts";
export * from "./lib/formats/pytorch.ts";
export * from "./lib/formats/read_tensor.ts";
export * from "./lib/formats/safetensors.ts";
export * from "./lib/formats/safetensors_write.ts";
export * from "./lib/formats/tensor_file.ts";

export * from "./lib/tokenizer/open.ts";
export * from "./lib/tokenizer/tokenizer.ts";
export { BYTE_DEFAULTS, TRAINING_DEFAULTS } from "./lib/tokenizer/train/options.ts";
export type {
  ByteTraining,
  NormalizationRule,
  PieceTraining,
  SamplingOptions,
  Training,
  TrainingDefaults,
} from "./lib/tokenizer/train/options.ts";
export { TrainedFolder } from "./lib/tokenizer/train/save.ts";
export * from "./lib/tokenizer/train/train.ts";

export type { Span } from "./lib/model/batch.ts";
export * from "./lib/model/config.ts";
export * from "./lib/model/config_huggingface.ts";
export * from "./lib/model/decoder.ts";
export type { BlockWeights, DecoderWeights, Placed } from "./lib/model/decoder_weights.ts";
export type { Head, HeadChunk, Scores } from "./lib/model/head.ts";
export * from "./lib/model/init.ts";
export type { KvCache, KvType } from "./lib/model/kv_cache.ts";
export type { KvPages, KvSequence, PageCopy } from "./lib/model/kv_pages.ts";
export type {
  Activations,
  Weight,
  WeightPart,
  WeightPlaces,
  WeightUse,
} from "./lib/model/linear.ts";
export type { DecoderSource, LoadOptions, Residence } from "./lib/model/load_weights.ts";
export * from "./lib/model/preset.ts";
export * from "./lib/model/presets.ts";
export type { BatchStage, Recipe, ScheduleName } from "./lib/model/recipe.ts";
export type { RopeLayout } from "./lib/model/rope.ts";
export type { Repack, SettledOptions, SettledWeights } from "./lib/model/settled_weights.ts";
export * from "./lib/model/training/memory.ts";
export type {
  HeldWeight,
  ModelParts,
  PlannedParts,
  StageParts,
  WeightSlice,
} from "./lib/model/training/parts.ts";
export type {
  DropoutState,
  GradientOptions,
  InFlight,
  LossSums,
  Parameter as TrainedParameter,
  PlanOptions,
  Recompute,
  TargetScores,
  Trainable,
  TrainBatch,
  TrainingBytes,
  TrainingDType,
  TrainingOptions,
  WeightedBackwardOptions,
} from "./lib/model/training/trainable.ts";
export * from "./lib/model/training/trainable_model.ts";
export * from "./lib/model/weights.ts";

export * from "./lib/checkpoint/checkpoint.ts";
export * from "./lib/checkpoint/convert.ts";
export * from "./lib/checkpoint/open.ts";

export * from "./lib/data/batches.ts";
export * from "./lib/data/mixture.ts";
export * from "./lib/data/order.ts";
export * from "./lib/data/pack.ts";
export * from "./lib/data/permutation.ts";
export * from "./lib/data/ramp.ts";
export * from "./lib/data/shares.ts";
export * from "./lib/data/token_source.ts";

export * from "./lib/quant/importance_file.ts";
export * from "./lib/quant/quantize.ts";

export * from "./lib/plan/flops.ts";
export * from "./lib/plan/hardware.ts";
export * from "./lib/plan/step_plan.ts";
export * from "./lib/plan/step_traffic.ts";
export * from "./lib/plan/train_plan.ts";

export * from "./lib/infer/constraint.ts";
export * from "./lib/infer/conversation.ts";
export * from "./lib/infer/draft_model.ts";
export * from "./lib/infer/drafter.ts";
export * from "./lib/infer/generate.ts";
export * from "./lib/infer/generate_many.ts";
export * from "./lib/infer/grammar/gbnf.ts";
export type { Grammar } from "./lib/infer/grammar/grammar.ts";
export * from "./lib/infer/grammar/grammar_constraint.ts";
export * from "./lib/infer/grammar/json_schema.ts";
export * from "./lib/infer/language_model.ts";
export * from "./lib/infer/log_probs.ts";
export * from "./lib/infer/probe.ts";
export type { ProbeBatch } from "./lib/infer/probe_batch.ts";
export * from "./lib/infer/probe_gradients.ts";
export * from "./lib/infer/prompt_cache.ts";
export * from "./lib/infer/running_text.ts";
export * from "./lib/infer/sampler.ts";
export * from "./lib/infer/scheduler.ts";
export type { TeacherForcingOptions } from "./lib/infer/teacher_forcing.ts";

export * from "./lib/eval/perplexity.ts";

export * from "./lib/train/bench.ts";
export * from "./lib/train/checkpoint_plan.ts";
export * from "./lib/train/config_file.ts";
export * from "./lib/train/events.ts";
export * from "./lib/train/gradient_engine.ts";
export * from "./lib/train/held_state.ts";
export * from "./lib/train/identity.ts";
export * from "./lib/train/machine.ts";
export * from "./lib/train/metrics.ts";
export * from "./lib/train/observer.ts";
export * from "./lib/train/optimizer.ts";
export * from "./lib/train/run.ts";
export * from "./lib/train/run_config.ts";
export * from "./lib/train/run_folder.ts";
export * from "./lib/train/run_mesh.ts";
export * from "./lib/train/run_start.ts";
export * from "./lib/train/run_tokenizer.ts";
export * from "./lib/train/schedule.ts";
export * from "./lib/train/session_record.ts";
export * from "./lib/train/settings.ts";
export * from "./lib/train/setup.ts";
export * from "./lib/train/spikes.ts";
export * from "./lib/train/state.ts";
export * from "./lib/train/trainer.ts";
