/**
 * An interpreter of the part of Python's pickle (protocol 2) that a PyTorch state dict needs, and of nothing else.
 *
 * A pickle is a program. This interpreter knows only opcodes that build plain values; names of functions are looked up
 * in the caller's list, never in anything that runs, and an unknown name or opcode is refused.
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import {
  PickleDict,
  PickleGlobal,
  PickleList,
  PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";

/** What a pickle may name and what comes of it. */
export interface PickleRules {
  /** Whether `module.name` may be named. */
  allows(name: string): boolean;
  /** The result of calling an allowed name, or `undefined` where the arguments are wrong. */
  call(name: string, args: readonly PickleValue[]): PickleValue | undefined;
  /** What a persistent id stands for, or `undefined` where it is none that is known. */
  persistent(id: PickleValue): PickleValue | undefined;
  /** Makes the error that is thrown; the offset counts from the start of the pickle. */
  refuse(what: string, offset: number): Error;
}

/** Opcodes beyond this number are refused; a tensor takes some 40. */
const MOST_STEPS = 1 << 20;

/** Dicts and lists beyond this number are refused; a tensor takes one or two, and an empty one hundreds of bytes. */
const MOST_CONTAINERS = 1 << 17;

/** Names of modules and functions longer than this are refused. */
const LONGEST_NAME = 256;

/** The state of one run. */
class Machine {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly rules: PickleRules;
  readonly memo: Map<number, PickleValue> = new Map();
  readonly stack: PickleValue[] = [];
  readonly marks: number[] = [];
  position = 0;
  start = 0;
  stopped = false;
  containers = 0;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(bytes: Uint8Array, rules: PickleRules) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.rules = rules;
  }

  refuse(what: string): Error {
    return this.rules.refuse(`the pickle ${what}`, this.start);
  }

  /** The position of the next `count` bytes, which are then passed. */
  take(count: number): number {
    if (count > this.bytes.length - this.position) throw this.refuse("ends inside a value");
    const at = this.position;
    this.position += count;
    return at;
  }

  pop(): PickleValue {
    const base = this.marks.at(-1) ?? 0;
    if (this.stack.length <= base) throw this.refuse("takes a value where there is none");
    return this.stack.pop()!;
  }

  popMark(): PickleValue[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw this.refuse("ends a list that was not begun");
    return this.stack.splice(mark);
  }

  top(): PickleValue {
    const base = this.marks.at(-1) ?? 0;
    if (this.stack.length <= base) throw this.refuse("takes a value where there is none");
    return this.stack.at(-1)!;
  }

  text(count: number): string {
    const at = this.take(count);
    try {
      return this.#decoder.decode(this.bytes.subarray(at, at + count));
    } catch {
      throw this.refuse("has a string that is not UTF-8");
    }
  }

  line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0 || end - this.position > LONGEST_NAME) {
      throw this.refuse("has a name without an end");
    }
    const text = this.text(end - this.position);
    this.position++;
    return text;
  }

  recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw this.refuse(`recalls value ${index}, which it has not kept`);
    this.stack.push(value);
  }

  /** Pushes a new dict or list. */
  begin(container: PickleValue): void {
    this.containers++;
    this.stack.push(container);
  }

  tuple(count: number): void {
    const items = Array.from({ length: count }, () => this.pop()).reverse();
    this.stack.push(new PickleTuple(items));
  }

  setItems(items: readonly PickleValue[]): void {
    const target = this.top();
    if (!(target instanceof PickleDict) || items.length % 2 !== 0) {
      throw this.refuse("sets an item of what is no dict");
    }
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (typeof key !== "string" && typeof key !== "number") {
        throw this.refuse("has a dict whose keys are neither strings nor integers");
      }
      if (target.entries.has(key)) throw this.refuse(`has the key ${quoted(String(key))} twice`);
      target.entries.set(key, items[i + 1]!);
    }
  }

  append(items: readonly PickleValue[]): void {
    const target = this.top();
    if (!(target instanceof PickleList)) throw this.refuse("appends to what is no list");
    for (const item of items) target.items.push(item);
  }

  global(): void {
    const name = `${this.line()}.${this.line()}`;
    if (!this.rules.allows(name)) {
      throw this.refuse(
        `asks for ${quoted(name)}, which is not one of the things that tensors are made of`,
      );
    }
    this.stack.push(new PickleGlobal(name));
  }

  reduce(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!(callee instanceof PickleGlobal) || !(args instanceof PickleTuple)) {
      throw this.refuse("calls what is no function");
    }
    const result = this.rules.call(callee.name, args.items);
    if (result === undefined) {
      throw this.refuse(`calls ${quoted(callee.name)} with arguments that it does not take`);
    }
    this.begin(result);
  }

  persistent(): void {
    const value = this.rules.persistent(this.pop());
    if (value === undefined) {
      throw this.refuse("refers to something that is no storage of a known type");
    }
    this.stack.push(value);
  }

  /** Attributes of an OrderedDict (PyTorch's `_metadata`) say nothing about tensors; nothing else has any. */
  build(): void {
    this.pop();
    if (!(this.top() instanceof PickleDict)) {
      throw this.refuse("sets attributes of what is no dict");
    }
  }

  /** A signed little-endian integer of any length up to 255 bytes. */
  long(): void {
    const count = this.bytes[this.take(1)]!;
    const at = this.take(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[at + i]!);
    const signed = BigInt.asIntN(8 * count, value);
    if (!Number.isSafeInteger(Number(signed))) throw this.refuse("has an integer beyond 2^53");
    this.stack.push(Number(signed));
  }

  protocol(): void {
    const version = this.bytes[this.take(1)]!;
    if (version !== 2) {
      throw this.refuse(`is of protocol ${version}, wanted 2, which torch.save writes`);
    }
  }
}

/** What each known opcode does. */
const OPCODES: ReadonlyMap<number, (m: Machine) => void> = new Map([
  [0x80, (m: Machine) => m.protocol()],
  [0x2e, (m: Machine) => void (m.stopped = true)],
  [0x28, (m: Machine) => void m.marks.push(m.stack.length)],
  [0x4e, (m: Machine) => void m.stack.push(null)],
  [0x88, (m: Machine) => void m.stack.push(true)],
  [0x89, (m: Machine) => void m.stack.push(false)],
  [0x4a, (m: Machine) => void m.stack.push(m.view.getInt32(m.take(4), true))],
  [0x4b, (m: Machine) => void m.stack.push(m.view.getUint8(m.take(1)))],
  [0x4d, (m: Machine) => void m.stack.push(m.view.getUint16(m.take(2), true))],
  [0x8a, (m: Machine) => m.long()],
  [0x47, (m: Machine) => void m.stack.push(m.view.getFloat64(m.take(8), false))],
  [0x58, (m: Machine) => void m.stack.push(m.text(m.view.getUint32(m.take(4), true)))],
  [0x5d, (m: Machine) => m.begin(new PickleList())],
  [0x7d, (m: Machine) => m.begin(new PickleDict())],
  [0x29, (m: Machine) => m.tuple(0)],
  [0x85, (m: Machine) => m.tuple(1)],
  [0x86, (m: Machine) => m.tuple(2)],
  [0x87, (m: Machine) => m.tuple(3)],
  [0x74, (m: Machine) => void m.stack.push(new PickleTuple(m.popMark()))],
  [0x61, (m: Machine) => m.append([m.pop()])],
  [0x65, (m: Machine) => m.append(m.popMark())],
  [0x73, (m: Machine) => m.setItems([m.pop(), m.pop()].reverse())],
  [0x75, (m: Machine) => m.setItems(m.popMark())],
  [0x71, (m: Machine) => void m.memo.set(m.view.getUint8(m.take(1)), m.top())],
  [0x72, (m: Machine) => void m.memo.set(m.view.getUint32(m.take(4), true), m.top())],
  [0x68, (m: Machine) => m.recall(m.view.getUint8(m.take(1)))],
  [0x6a, (m: Machine) => m.recall(m.view.getUint32(m.take(4), true))],
  [0x63, (m: Machine) => m.global()],
  [0x52, (m: Machine) => m.reduce()],
  [0x62, (m: Machine) => m.build()],
  [0x51, (m: Machine) => m.persistent()],
]);

/** Runs a pickle and returns its one value; throws what `rules.refuse` makes for anything that it does not know. */
export function unpickle(bytes: Uint8Array, rules: PickleRules): PickleValue {
  const machine = new Machine(bytes, rules);
  for (let steps = 0; !machine.stopped; steps++) {
    machine.start = machine.position;
    if (steps > MOST_STEPS || machine.containers > MOST_CONTAINERS) {
      throw machine.refuse("makes more values than any state dict has");
    }
    const opcode = bytes[machine.take(1)]!;
    const step = OPCODES.get(opcode);
    if (step === undefined) {
      const letter = opcode > 0x20 && opcode < 0x7f ? ` '${String.fromCharCode(opcode)}'` : "";
      throw machine.refuse(
        `has the opcode 0x${opcode.toString(16).padStart(2, "0")}${letter}, which no tensor needs`,
      );
    }
    step(machine);
  }
  if (machine.stack.length !== 1 || machine.marks.length !== 0) {
    throw machine.refuse(`ends with ${machine.stack.length} values, wanted 1`);
  }
  if (machine.position !== bytes.length) throw machine.refuse("goes on after its end");
  return machine.stack[0]!;
}
