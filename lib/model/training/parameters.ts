/**
 * Where the parameters of a model that trains lie: masters, gradients and copies in arenas of one
 * order, so that what is multiplied as one is neighbours in each of them.
 *
 * @module
 */

import type { Address } from "../../backend/backend.ts";
import type { ModelConfig } from "../config.ts";
import { type PackedCopy, packedElements, type Side, type TrainedWeight } from "./linear.ts";
import { aligned } from "../memory_plan.ts";
import type { WeightRole } from "../weights.ts";
import {
  heldElements,
  heldLayers,
  heldShape,
  type HeldWeight,
  heldWeights,
  stagesOf,
} from "./parts.ts";
import type { PlannedParts } from "./parts.ts";
import type { Parameter } from "./trainable.ts";

/** A norm's scale [D] and its gradient. */
export interface TrainedNorm {
  /** Master (f32). */
  readonly weight: Address;
  /** Gradient (f32). */
  readonly gradient: Address;
}

/** Parameters of one block. */
export interface TrainedBlock {
  /** Norm before attention; in a parallel block before both halves. */
  readonly attentionNorm: TrainedNorm;
  /** Queries, keys and values [(H + 2K)E, D]; in a parallel block gate and up below them. */
  readonly qkv: TrainedWeight;
  /** Output of attention [D, HE]. */
  readonly attentionOutput: TrainedWeight;
  /** Norm before the feed-forward layer; that before attention in a parallel block. */
  readonly feedForwardNorm: TrainedNorm;
  /** Gate and up [2F, D]; absent in a parallel block, whose `qkv` has them. */
  readonly gateUp: TrainedWeight | undefined;
  /** Down [D, F]. */
  readonly down: TrainedWeight;
}

/** Parameters by what they do, as far as they are here. */
export interface TrainedWeights {
  /** Embedding [V, D]; absent where a stage has none. */
  readonly embedding: Parameter | undefined;
  /** Blocks in order. */
  readonly blocks: readonly TrainedBlock[];
  /** Norm before the head; absent where a stage has no head. */
  readonly finalNorm: TrainedNorm | undefined;
  /** Head [V, D]: the embedding where they are tied; absent where a stage has none. */
  readonly head: TrainedWeight | undefined;
  /** Bytes of the packed copies. */
  readonly packedBytes: number;
}

/** Places in an arena, in elements: the same in every arena. */
export interface ParameterLayout {
  /** First element of every parameter, in the order of {@linkcode heldWeights}. */
  readonly offsets: readonly number[];
  /** Elements of the whole arena. */
  readonly elements: number;
  /** The parameters. */
  readonly held: readonly HeldWeight[];
}

/**
 * What is multiplied as one, in its order: each follows the one before it without a gap. Both halves of a
 * parallel block read the same norm, so that their first products are one (Chowdhery et al. 2022,
 * section 2).
 */
const TOGETHER: Readonly<Record<"serial" | "parallel", readonly (readonly WeightRole[])[]>> = {
  serial: [
    ["attention.q", "attention.k", "attention.v"],
    ["feed_forward.gate", "feed_forward.up"],
  ],
  parallel: [
    ["attention.q", "attention.k", "attention.v", "feed_forward.gate", "feed_forward.up"],
  ],
};

const ELEMENT_BYTES = 4;

/** Gives every parameter its place: matrices, what is multiplied as one side by side, then the norms. */
export function layOut(config: ModelConfig, parts: PlannedParts = {}): ParameterLayout {
  const held = heldWeights(config, parts);
  const offsets = new Array<number>(held.length);
  const indices = new Map(held.map(({ spec }, index) => [spec.name, index]));
  const groups = TOGETHER[config.parallelBlock ? "parallel" : "serial"];
  let end = 0;
  const place = (index: number) => {
    offsets[index] = end;
    end += heldElements(held[index]!);
  };
  const isNorm = ({ spec }: HeldWeight) => spec.shape.length === 1;
  for (const wantsNorms of [false, true]) {
    held.forEach((weight, index) => {
      if (isNorm(weight) !== wantsNorms || offsets[index] !== undefined) return;
      const { spec } = weight;
      end = aligned(end * ELEMENT_BYTES) / ELEMENT_BYTES;
      const group = groups.find(([first]) => first === spec.role) ?? [spec.role];
      if (group.length === 1) place(index);
      else for (const role of group) place(indices.get(`layers.${spec.layer}.${role}`)!);
    });
  }
  return { offsets, elements: end, held };
}

/** First bytes of the arenas. */
export interface Arenas {
  /** Masters. */
  readonly weights: Address;
  /** Gradients (f32), laid out as the masters unless a layout says otherwise. */
  readonly gradients: Address;
  /** bf16 copies; 0 where there are none. */
  readonly compute: Address;
}

/** Places in the arenas, where masters and gradients are not laid out alike. */
export type ArenaLayouts = Readonly<
  Record<"weights" | "gradients", Pick<ParameterLayout, "offsets" | "elements">>
>;

/** Makes the parameters of arenas that are laid out; copies lie as masters do. */
export function parametersOf(
  { held }: Pick<ParameterLayout, "held">,
  { layouts, arenas }: { readonly layouts: ArenaLayouts; readonly arenas: Arenas },
): Parameter[] {
  return held.map(({ spec, slice, copy }, index) => {
    const offset = layouts.weights.offsets[index]!;
    const copied = arenas.compute !== 0 && spec.shape.length === 2;
    return {
      spec,
      slice,
      copy,
      count: heldElements({ spec, slice }),
      weight: arenas.weights + 4 * offset,
      grad: arenas.gradients + 4 * layouts.gradients.offsets[index]!,
      compute: copied ? arenas.compute + 2 * offset : 0,
    };
  });
}

/** Hands out packed copies one after the other. */
class PackedArena {
  readonly #start: Address;
  readonly #elementBytes: number;
  /** Bytes handed out. */
  bytes = 0;

  constructor(start: Address, elementBytes: number) {
    this.#start = start;
    this.#elementBytes = elementBytes;
  }

  take(outDim: number, inDim: number): Record<Side, PackedCopy> {
    const copy = (side: Side) => this.#copy(packedElements(side, { outDim, inDim }));
    return { forward: copy("forward"), backward: copy("backward") };
  }

  #copy(elements: number): PackedCopy {
    const address = this.#start + this.bytes;
    this.bytes += aligned(elements * this.#elementBytes);
    return { address, version: -1 };
  }
}

/** How weights are packed. */
export interface Packing {
  /** First byte of the packed copies. */
  readonly address: Address;
  /** Bytes of an element of the products' precision. */
  readonly elementBytes: number;
}

/**
 * Collects parameters into what is multiplied as one; packed copies are kept where `packing` is given.
 * What a stage does not have is absent.
 */
export function trainedWeights(
  config: ModelConfig,
  { parameters, parts = {}, packing }: {
    readonly parameters: readonly Parameter[];
    readonly parts?: PlannedParts | undefined;
    readonly packing?: Packing | undefined;
  },
): TrainedWeights {
  const stages = stagesOf(config, parts);
  const arena = packing && new PackedArena(packing.address, packing.elementBytes);
  const byName = new Map(parameters.map((parameter) => [parameter.spec.name, parameter]));
  const get = (name: string) => byName.get(name)!;
  const norm = (name: string): TrainedNorm => ({
    weight: get(name).weight,
    gradient: get(name).grad,
  });
  const stack = (...names: string[]): TrainedWeight => {
    const shapes = names.map((name) => heldShape(get(name)));
    const outDim = shapes.reduce((sum, [rows]) => sum + rows!, 0);
    const inDim = shapes[0]![1]!;
    const { weight: master, grad: gradient, compute } = get(names[0]!);
    return { inDim, outDim, master, gradient, compute, packed: arena?.take(outDim, inDim) };
  };
  const blocks = heldLayers(config, parts).map((layer): TrainedBlock => {
    const at = (role: WeightRole) => `layers.${layer}.${role}`;
    const attentionNorm = norm(at("attention_norm"));
    const [first, second] = TOGETHER[config.parallelBlock ? "parallel" : "serial"];
    return {
      attentionNorm,
      qkv: stack(...first!.map(at)),
      attentionOutput: stack(at("attention.output")),
      feedForwardNorm: config.parallelBlock ? attentionNorm : norm(at("feed_forward_norm")),
      gateUp: second && stack(...second.map(at)),
      down: stack(at("feed_forward.down")),
    };
  });
  const hasHead = stages.some((stage) => stage.head);
  const head = hasHead ? stack(config.tieWordEmbeddings ? "embedding" : "head") : undefined;
  return {
    embedding: stages.some((stage) => stage.embedding) ? get("embedding") : undefined,
    blocks,
    finalNorm: hasHead ? norm("final_norm") : undefined,
    head,
    packedBytes: arena?.bytes ?? 0,
  };
}

/** Bytes of all packed copies of a model whose products have elements of `elementBytes`. */
export function packedBytes(
  config: ModelConfig,
  { elementBytes, parts }: {
    readonly elementBytes: number;
    readonly parts?: PlannedParts | undefined;
  },
): number {
  const nowhere = { weights: 0, gradients: 0, compute: 0 };
  const layout = layOut(config, parts);
  const layouts = { weights: layout, gradients: layout };
  const parameters = parametersOf(layout, { layouts, arenas: nowhere });
  const packing = { address: 0, elementBytes };
  return trainedWeights(config, { parameters, parts, packing }).packedBytes;
}
