/**
 * The names that a PyTorch state dict may use, and what comes of them: dicts, storages and tensors.
 *
 * @module
 */

import { type PickleRules } from "./pickle.ts";
import {
  PickleDict,
  PickleGlobal,
  PickleList,
  PickleObject,
  PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";

/** The memory of one or more tensors: one entry of the archive. */
export class PickledStorage extends PickleObject {
  /** What messages call it. */
  override readonly kind: string = "storage";

  /** Makes a storage of `elements` elements of a type, in the entry named by `key`. */
  constructor(
    /** Name of the entry below `data/`. */
    readonly key: string,
    /** Element type in lower case. */
    readonly dtype: string,
    /** Number of elements. */
    readonly elements: number,
  ) {
    super();
  }
}

/** A view of a storage. */
export class PickledTensor extends PickleObject {
  /** What messages call it. */
  override readonly kind: string = "tensor";

  /** Makes a view; offset and strides count elements. */
  constructor(
    /** The memory. */
    readonly storage: PickledStorage,
    /** The first element. */
    readonly offset: number,
    /** Extents, outermost axis first. */
    readonly shape: readonly number[],
    /** Steps between neighbours along each axis. */
    readonly strides: readonly number[],
  ) {
    super();
  }
}

/** Element types by the class of their storage. */
export const PYTORCH_STORAGES: ReadonlyMap<string, string> = new Map([
  ["torch.FloatStorage", "f32"],
  ["torch.HalfStorage", "f16"],
  ["torch.BFloat16Storage", "bf16"],
  ["torch.DoubleStorage", "f64"],
  ["torch.LongStorage", "i64"],
  ["torch.IntStorage", "i32"],
  ["torch.ShortStorage", "i16"],
  ["torch.CharStorage", "i8"],
  ["torch.ByteStorage", "u8"],
  ["torch.BoolStorage", "bool"],
  ["torch.ComplexFloatStorage", "c64"],
]);

/** More axes than this are refused: PyTorch has no tensor with more. */
const MOST_AXES = 64;

/** The rules for state dicts, with errors made by `refuse`; see {@linkcode PickleRules}. */
export function stateDictRules(refuse: PickleRules["refuse"]): PickleRules {
  return {
    refuse,
    allows: (name) => CALLS.has(name) || PYTORCH_STORAGES.has(name),
    call: (name, args) => CALLS.get(name)?.(args),
    persistent: storage,
  };
}

/** Resolves `("storage", class, key, device, elements)`. */
function storage(id: PickleValue): PickledStorage | undefined {
  const items = id instanceof PickleTuple ? id.items : [];
  const [what, type, key, , elements] = items;
  const dtype = type instanceof PickleGlobal ? PYTORCH_STORAGES.get(type.name) : undefined;
  if (what !== "storage" || items.length !== 5 || dtype === undefined) return undefined;
  if (typeof key !== "string" || !isCount(elements)) return undefined;
  return new PickledStorage(key, dtype, elements);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function counts(value: PickleValue | undefined): readonly number[] | undefined {
  if (!(value instanceof PickleTuple) || value.items.length > MOST_AXES) return undefined;
  return value.items.every(isCount) ? (value.items as readonly number[]) : undefined;
}

/** What each allowed function gives for its arguments, or `undefined` where they are wrong. */
const CALLS: ReadonlyMap<string, (args: readonly PickleValue[]) => PickleValue | undefined> =
  new Map([
    ["collections.OrderedDict", orderedDict],
    ["torch._utils._rebuild_tensor", rebuildTensor],
    ["torch._utils._rebuild_tensor_v2", rebuildTensor],
    ["torch._utils._rebuild_parameter", rebuildParameter],
  ]);

function orderedDict(args: readonly PickleValue[]): PickleValue | undefined {
  if (args.length > 1) return undefined;
  const dict = new PickleDict();
  const [pairs] = args;
  if (pairs === undefined) return dict;
  if (!(pairs instanceof PickleList)) return undefined;
  for (const pair of pairs.items) {
    const items = pair instanceof PickleTuple || pair instanceof PickleList ? pair.items : [];
    const [key, value] = items;
    if (items.length !== 2 || typeof key !== "string" || dict.entries.has(key)) return undefined;
    dict.entries.set(key, value!);
  }
  return dict;
}

/** `(storage, offset, size, stride, requires_grad, hooks, metadata?)`; the older form stops after the strides. */
function rebuildTensor(args: readonly PickleValue[]): PickleValue | undefined {
  const [storage, offset] = args;
  const [shape, strides] = [counts(args[2]), counts(args[3])];
  // Metadata says that a tensor is a conjugated or negated view: its bytes are not its values.
  const plain = args.length <= 6 || (args.length === 7 && isEmptyDict(args[6]));
  const fine = storage instanceof PickledStorage && isCount(offset) && shape !== undefined &&
    strides !== undefined && shape.length === strides.length && plain;
  return fine ? new PickledTensor(storage, offset, shape, strides) : undefined;
}

function isEmptyDict(value: PickleValue | undefined): boolean {
  return value === null || (value instanceof PickleDict && value.entries.size === 0);
}

/** `(tensor, requires_grad, hooks)`. */
function rebuildParameter(args: readonly PickleValue[]): PickleValue | undefined {
  const [tensor] = args;
  return tensor instanceof PickledTensor && args.length === 3 ? tensor : undefined;
}
