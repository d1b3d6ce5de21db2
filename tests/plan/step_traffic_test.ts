import assert from "node:assert/strict";
import { countParameters } from "../../lib/model/parameters.ts";
import type { StepShape } from "../../lib/plan/step_shape.ts";
import { floats, HALVES, planStepTraffic } from "../../lib/plan/step_traffic.ts";
import { near, ONE, stepOf } from "./steps.ts";

const STEP = stepOf("llama2-7b", 64);
const P = countParameters(STEP.model).total;
const ROWS = 2 * 4096 * 4096;

const of = (shape: Partial<StepShape>) => planStepTraffic({ ...STEP, ...shape }, HALVES);

Deno.test("one rank sends nothing", () => {
  assert.equal(of({}).total, 0);
});

Deno.test("data parallel: twice the gradients, but for one part of N", () => {
  const { gradientAllReduce, total } = of({ mesh: { ...ONE, data: 4 } });
  near(gradientAllReduce, 2 * 4 * P * 3 / 4);
  near(total, gradientAllReduce);
});

Deno.test("ZeRO 1: gradients are scattered and weights gathered once a step", () => {
  const { gradientReduceScatter, weightAllGather, gradientAllReduce } = of({
    mesh: { ...ONE, shard: 8 },
    zero: 1,
  });
  near(gradientReduceScatter, 4 * P * 7 / 8);
  near(weightAllGather, 2 * P * 7 / 8);
  assert.equal(gradientAllReduce, 0);
});

Deno.test("ZeRO 3: weights are gathered when their turn comes, gradients scattered once a step", () => {
  const { gradientReduceScatter, weightAllGather } = of({ mesh: { ...ONE, shard: 8 }, zero: 3 });
  // Twice each block in 8 micro-batches, less the turns between forward and backward and back.
  const { block, embedding, head } = countParameters(STEP.model);
  const norm = STEP.model.hiddenSize;
  const gathered = 8 * (embedding + head + norm + 62 * block) + block;
  near(weightAllGather, 2 * gathered * 7 / 8);
  near(gradientReduceScatter, 4 * P * 7 / 8);
});

Deno.test("two pods: the replicas of a shard add up their part alone", () => {
  const { gradientAllReduce } = of({ mesh: { ...ONE, data: 2, shard: 8 }, zero: 2 });
  near(gradientAllReduce, 4 * P / 8);
});

Deno.test("tensor parallel: ten exchanges of rows a block, two around the head, tokens there and back", () => {
  const { tensorAllGather, tensorReduceScatter, tensorSend } = of({ mesh: { ...ONE, tensor: 4 } });
  near(tensorAllGather + tensorReduceScatter, 64 * (10 * 32 + 2) * ROWS * 3 / 4);
  near(tensorSend, 64 * 2 * ROWS * 3 / 16);
});

Deno.test("f32 rows are gathered in bf16 where products round them to it, and summed in f32", () => {
  const shape: StepShape = { ...STEP, mesh: { ...ONE, tensor: 4 } };
  const [f32, bf16] = [
    planStepTraffic(shape, floats("f32")),
    planStepTraffic(shape, floats("bf16")),
  ];
  near(bf16.tensorAllGather, f32.tensorAllGather / 2);
  near(bf16.tensorReduceScatter, f32.tensorReduceScatter);
  near(f32.total, 2 * planStepTraffic(shape, HALVES).total);
});

Deno.test("a parallel block exchanges half as often, and full recomputation more", () => {
  const exchanged = (shape: Partial<StepShape>) => {
    const { tensorAllGather, tensorReduceScatter } = of({ mesh: { ...ONE, tensor: 2 }, ...shape });
    return (tensorAllGather + tensorReduceScatter) / (64 * ROWS / 2) - 2;
  };
  near(exchanged({ model: { ...STEP.model, parallelBlock: true } }), 5 * 32);
  near(exchanged({ recompute: "full" }), 11 * 32);
});

Deno.test("a pipeline sends rows over every border, there and back, more often with more stages", () => {
  const sent = (chunks: number) => of({ mesh: { ...ONE, pipeline: 4 }, chunks }).pipelineSend;
  near(sent(1), 64 * 2 * 3 * ROWS / 4);
  near(sent(2), 64 * 2 * 7 * ROWS / 4);
});
