/**
 * The weights of a decoder as its forward pass uses them: by what they do, in a backend's memory.
 *
 * @module
 */

import type { Address } from "../backend/backend.ts";
import type { DType } from "../tensor/dtype.ts";
import type { ModelConfig } from "./config.ts";
import type { SettledWeights } from "./settled_weights.ts";
import { stacked, type Weight } from "./linear.ts";
import { weightSpecs } from "./weights.ts";

/** Weights of one block. */
export interface BlockWeights {
  /** Norm before attention [D]; in a parallel block before both. */
  readonly attentionNorm: Address;
  /** Queries, keys and values [(H + 2K)E, D]. */
  readonly qkv: Weight;
  /** Output of attention [D, HE]. */
  readonly attentionOutput: Weight;
  /** Norm before the feed-forward layer [D]; absent in a parallel block. */
  readonly feedForwardNorm: Address;
  /** Gate and up [2F, D]. */
  readonly gateUp: Weight;
  /** Down [D, F]. */
  readonly down: Weight;
}

/** A tensor in the memory of a backend. */
export interface Placed {
  /** Element or block type. */
  readonly dtype: DType;
  /** Its first byte. */
  readonly address: Address;
}

/** All weights of a decoder on one backend. */
export class DecoderWeights {
  /** Embedding [V, D]. */
  readonly embedding: Placed;
  /** Blocks in order. */
  readonly blocks: readonly BlockWeights[];
  /** Norm before the head [D]. */
  readonly finalNorm: Address;
  /** Head [V, D]: the embedding where they are tied. */
  readonly head: Weight;
  /** Bytes that were read into memory. */
  readonly readBytes: number;
  /** Where weights are found once they are repacked or moved; absent where none are. */
  readonly places: SettledWeights | undefined;
  readonly #close: () => void;

  /** Collects what {@linkcode loadWeights} has placed. */
  constructor(config: ModelConfig, placement: Placement) {
    const { placed } = placement;
    const get = (name: string): Placed => placed.get(name)!;
    const specs = new Map(weightSpecs(config).map((spec) => [spec.name, spec]));
    const matrix = (name: string): Weight => {
      const [outDim, inDim] = specs.get(name)!.shape as readonly [number, number];
      return { inDim, outDim, parts: [{ ...get(name), outDim }] };
    };
    this.embedding = get("embedding");
    this.finalNorm = get("final_norm").address;
    this.head = matrix(config.tieWordEmbeddings ? "embedding" : "head");
    this.blocks = Array.from({ length: config.numHiddenLayers }, (_, layer): BlockWeights => {
      const at = (role: string) => `layers.${layer}.${role}`;
      return {
        attentionNorm: get(at("attention_norm")).address,
        qkv: stacked(["q", "k", "v"].map((part) => matrix(at(`attention.${part}`)))),
        attentionOutput: matrix(at("attention.output")),
        feedForwardNorm: placed.get(at("feed_forward_norm"))?.address ?? 0,
        gateUp: stacked(["gate", "up"].map((part) => matrix(at(`feed_forward.${part}`)))),
        down: matrix(at("feed_forward.down")),
      };
    });
    this.readBytes = placement.readBytes;
    this.places = placement.places;
    this.#close = placement.close;
  }

  /** Gives memory and mappings back. */
  close(): void {
    this.places?.close();
    this.#close();
  }
}

/** Where every weight has been put. */
export interface Placement {
  /** Weights by canonical name. */
  readonly placed: ReadonlyMap<string, Placed>;
  /** Bytes that were read into memory. */
  readonly readBytes: number;
  /** Weights that are repacked or moved. */
  readonly places?: SettledWeights | undefined;
  /** Gives memory and mappings back. */
  readonly close: () => void;
}
