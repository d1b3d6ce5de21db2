/**
 * From the messages of a conversation to the text that a model was taught to continue: the Jinja
 * template that comes with it, run with bounds on its steps and on what it makes.
 *
 * The variables are those of Hugging Face's `apply_chat_template`: `messages`, `tools` and `documents`
 * (there, and none), `bos_token`, `eos_token`, `add_generation_prompt`, and the functions
 * `raise_exception` and `strftime_now`.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";

/** Who says something; templates know these three, and some know others. */
export type ChatRole = "system" | "user" | "assistant";

/** One message of a conversation. */
export interface ChatMessage {
  /** Who says it. */
  readonly role: ChatRole;
  /** What is said. */
  readonly content: string;
}

/** What a template is given besides the messages. */
export interface RenderOptions {
  /** Text of the token that begins a text. */
  readonly bosToken?: string | undefined;
  /** Text of the token that ends one. */
  readonly eosToken?: string | undefined;
  /** Whether the text ends where the model is to answer. @default {true} */
  readonly addGenerationPrompt?: boolean | undefined;
  /** What `strftime_now` tells. @default {new Date()} */
  readonly now?: Date | undefined;
}

/** Bounds of a template that comes with a file nobody has read. */
export interface TemplateLimits {
  /** Most expressions and statements that are evaluated, and items of lists that they give. */
  readonly steps: number;
  /** Most characters of any text, and items of any list, that it makes. */
  readonly size: number;
  /** Most characters of the template itself. */
  readonly source: number;
  /** Deepest nesting of brackets and blocks. */
  readonly depth: number;
}

/** Real templates have some kilobytes and take some thousand steps for a long conversation. */
const TEMPLATE_LIMITS: TemplateLimits = {
  steps: 2_000_000,
  size: 1 << 24,
  source: 1 << 20,
  depth: 200,
};

/** Characters that are copied in the time of one step. */
const CHARACTERS_PER_STEP = 256;

type Jinja = typeof import("@huggingface/jinja");
type Program = ReturnType<Jinja["parse"]>;

/** A chat template in Jinja, parsed: turns messages into the text of a prompt, within {@linkcode TemplateLimits}. */
export class ChatTemplate {
  readonly #jinja: Jinja;
  readonly #program: Program;
  readonly #limits: TemplateLimits;

  private constructor(jinja: Jinja, program: Program, limits: TemplateLimits) {
    this.#jinja = jinja;
    this.#program = program;
    this.#limits = limits;
  }

  /** Parses a template. @throws {ConfigError} When it is too large, nested too deeply or no Jinja. */
  static async parse(
    source: string,
    limits: TemplateLimits = TEMPLATE_LIMITS,
  ): Promise<ChatTemplate> {
    if (source.length > limits.source) {
      throw refused(`it has ${source.length} characters, at most ${limits.source} was wanted`);
    }
    const jinja = await import("@huggingface/jinja");
    try {
      const tokens = jinja.tokenize(source, { lstrip_blocks: true, trim_blocks: true });
      checkDepth(tokens, limits.depth);
      return new ChatTemplate(jinja, jinja.parse(tokens), limits);
    } catch (error) {
      throw error instanceof ConfigError ? error : refused(reasonOf(error));
    }
  }

  /**
   * The text of a conversation.
   *
   * @throws {ConfigError} When the template refuses the messages, fails, or passes its bounds.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const { Environment } = this.#jinja;
    const environment = new Environment();
    const now = options.now ?? new Date();
    const variables: Record<string, unknown> = {
      true: true,
      false: false,
      none: null,
      True: true,
      False: false,
      None: null,
      messages: messages.map((message) => ({ ...message })),
      tools: null,
      documents: null,
      bos_token: options.bosToken ?? "",
      eos_token: options.eosToken ?? "",
      add_generation_prompt: options.addGenerationPrompt ?? true,
      raise_exception: (message: unknown) => {
        throw new TemplateRefusal(String(message));
      },
      range: (...bounds: number[]) => this.#range(bounds),
      strftime_now: (format: string) => formatTime(format, now),
    };
    for (const [name, value] of Object.entries(variables)) environment.set(name, value);
    try {
      const Bounded = boundedInterpreter(this.#jinja, this.#limits);
      return new Bounded(environment).run(this.#program).value as string;
    } catch (error) {
      throw error instanceof ConfigError ? error : refused(reasonOf(error));
    }
  }

  #range(bounds: readonly number[]): number[] {
    const [start, end] = bounds.length > 1 ? [bounds[0]!, bounds[1]!] : [0, bounds[0] ?? 0];
    const step = bounds[2] ?? 1;
    const count = Math.ceil((end - start) / step);
    if (!(count <= this.#limits.size)) {
      throw refused(`its range has ${count} numbers, at most ${this.#limits.size} was wanted`);
    }
    return Array.from({ length: Math.max(0, count) }, (_, i) => start + i * step);
  }
}

/** What `raise_exception` of a template says; it is meant for the user. */
class TemplateRefusal extends Error {}

function refused(what: string): ConfigError {
  return new ConfigError(`Cannot use the model's chat template: ${what}`);
}

function reasonOf(error: unknown): string {
  if (error instanceof TemplateRefusal) return `it refuses the messages: ${quoted(error.message)}`;
  if (error instanceof RangeError) return "it is nested too deeply";
  return error instanceof Error ? quoted(error.message, 200) : String(error);
}

/** The parser and the interpreter descend by calls: what is deeper than any template is refused before. */
function checkDepth(tokens: readonly { readonly type: string }[], limit: number): void {
  let depth = 0;
  for (const { type } of tokens) {
    if (/^(Open(Paren|SquareBracket|CurlyBracket))$/.test(type)) depth++;
    else if (/^(Close(Paren|SquareBracket|CurlyBracket))$/.test(type)) depth--;
    if (depth > limit) throw refused(`its brackets are nested more than ${limit} deep`);
  }
}

type Interpreter = InstanceType<Jinja["Interpreter"]>;
type Evaluation = Parameters<Interpreter["evaluate"]>;
type Evaluated = ReturnType<Interpreter["evaluate"]>;

/** `object.property(args)` as the library parses it. */
interface MethodCall {
  readonly callee: {
    readonly type: string;
    readonly object: unknown;
    readonly property: { readonly value?: string };
    readonly computed: boolean;
  };
  readonly args: readonly unknown[];
}

/** Python's `strip`, `lstrip` and `rstrip` of any of the characters. */
function withoutEnds(
  text: string,
  { ends, characters }: { readonly ends: string; readonly characters: string },
): string {
  const letters = [...text];
  const taken: ReadonlySet<string | undefined> = new Set(characters);
  const isTaken = (letter: string | undefined) => taken.has(letter);
  let [start, end] = [0, letters.length];
  while (ends !== "rstrip" && start < end && isTaken(letters[start])) start++;
  while (ends !== "lstrip" && end > start && isTaken(letters[end - 1])) end--;
  return letters.slice(start, end).join("");
}

/** Counts steps, and looks at the size of everything that a step makes. */
function boundedInterpreter(jinja: Jinja, limits: TemplateLimits): Jinja["Interpreter"] {
  return class extends jinja.Interpreter {
    #steps = 0;

    #count(steps: number): void {
      this.#steps += steps;
      if (this.#steps > limits.steps) throw refused(`it takes more than ${limits.steps} steps`);
    }

    override evaluate(...args: Evaluation): Evaluated {
      this.#count(1);
      const result = this.#strip(...args) ?? super.evaluate(...args);
      const { value } = result as { readonly value: unknown };
      const size = typeof value === "string" || Array.isArray(value) ? value.length : 0;
      if (size > limits.size) throw refused(`it makes more than ${limits.size} characters`);
      // Whoever asks for a list may walk through it, and a loop with nothing in it takes no step.
      this.#count(Array.isArray(value) ? size : size / CHARACTERS_PER_STEP);
      return result;
    }

    /** `text.lstrip(characters)` and its kin: the library takes spaces away whatever is named. */
    #strip(...[statement, environment]: Evaluation): Evaluated | undefined {
      const { callee, args } = (statement ?? {}) as Partial<MethodCall>;
      if (args?.length !== 1 || callee?.type !== "MemberExpression") return undefined;
      const name = callee.property?.value ?? "";
      if (callee.computed || !/^[lr]?strip$/.test(name)) return undefined;
      const [text, characters] = [callee.object, args[0]]
        .map((part) => this.evaluate(part as Evaluation[0], environment));
      if (typeof text?.value !== "string" || typeof characters?.value !== "string") {
        return undefined;
      }
      const kept = withoutEnds(text.value, { ends: name, characters: characters.value });
      return new (text.constructor as new (value: string) => Evaluated)(kept);
    }
  };
}

/** The parts of Python's `strftime` that templates use, in English whatever the system's language. */
function formatTime(format: string, date: Date): string {
  const name = (options: Intl.DateTimeFormatOptions) => date.toLocaleDateString("en-US", options);
  const two = (value: number) => String(value).padStart(2, "0");
  const parts: Readonly<Record<string, () => string>> = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    j: () => String(dayOfYear(date)).padStart(3, "0"),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    e: () => String(date.getDate()).padStart(2),
    H: () => two(date.getHours()),
    I: () => two(date.getHours() % 12 || 12),
    p: () => date.getHours() < 12 ? "AM" : "PM",
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    A: () => name({ weekday: "long" }),
    a: () => name({ weekday: "short" }),
    B: () => name({ month: "long" }),
    b: () => name({ month: "short" }),
    h: () => name({ month: "short" }),
    D: () => formatTime("%m/%d/%y", date),
    F: () => formatTime("%Y-%m-%d", date),
    T: () => formatTime("%H:%M:%S", date),
    R: () => formatTime("%H:%M", date),
    "%": () => "%",
  };
  return format.replace(/%(-?)(.)/g, (whole, unpadded: string, letter: string) => {
    const part = parts[letter]?.();
    return (unpadded === "" ? part : part?.replace(/^[0 ]+(?=.)/, "")) ?? whole;
  });
}

function dayOfYear(date: Date): number {
  const midnight = (month: number, day: number) => Date.UTC(date.getFullYear(), month, day);
  return (midnight(date.getMonth(), date.getDate()) - midnight(0, 0)) / 86_400_000;
}
