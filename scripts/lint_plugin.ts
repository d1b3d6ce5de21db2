/**
 * The house rules that `deno lint` enforces: which room imports which, and what only some rooms say.
 *
 * @module
 */

/** Rooms from left to right; a room imports only rooms to its left, never one beside it. */
const ROOMS: readonly (readonly string[])[] = [
  ["base"],
  ["kernels"],
  ["backend"],
  ["comm"],
  ["tensor"],
  ["formats"],
  ["tokenizer"],
  ["model"],
  ["checkpoint"],
  ["data", "quant"],
  ["parallel"],
  ["plan"],
  ["infer"],
  ["eval"],
  ["train"],
  ["cli"],
];

const LONGEST_FUNCTION = 60;
const MOST_POSITIONAL = 2;
const NAMELESS = /^(utils?|helpers?|common|misc)$/;
/** What a command's record may import besides types, so that `--help` stays quick. */
const CHEAP =
  /^(lib\/base\/|cli\/(command|options|option_values|piece_options)\.ts$|cli\/commands\/\w+\.spec\.ts$)/;
const PROCESS = ["env", "exit", "args", "stdin", "stdout", "stderr", "addSignalListener"];
const PROMPTS = ["prompt", "confirm", "alert"];

const ROOT = decodeURIComponent(new URL("../", import.meta.url).pathname);

/** Path inside the repository, with slashes on every system. */
function pathOf(context: Deno.lint.RuleContext): string {
  const path = context.filename.replaceAll("\\", "/");
  const rooted = /^[A-Za-z]:/.test(path) ? `/${path}` : path;
  return rooted.startsWith(ROOT) ? rooted.slice(ROOT.length) : rooted.replace(/^\//, "");
}

/** The room of a file: a folder of `lib/`, `kernels`, `cli`, or nothing for what stands outside. */
function roomOf(path: string): string | undefined {
  const [top, second, third] = path.split("/");
  if (top === "lib") return third === undefined ? undefined : second;
  return top === "kernels" || top === "cli" ? top : undefined;
}

function rankOf(room: string): number {
  return ROOMS.findIndex((rooms) => rooms.includes(room));
}

function targetOf(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return new URL(specifier, `file:///${path}`).pathname.slice(1);
}

type Importing =
  | Deno.lint.ImportDeclaration
  | Deno.lint.ExportAllDeclaration
  | Deno.lint.ExportNamedDeclaration
  | Deno.lint.ImportExpression;

/** Calls `visit` with every module that a file names in an import or export. */
function onImports(
  visit: (node: Importing, specifier: string) => void,
): Deno.lint.LintVisitor {
  const seen = (node: Importing) => {
    const source = node.source as { readonly value?: unknown } | null;
    if (typeof source?.value === "string") visit(node, source.value);
  };
  return {
    ImportDeclaration: seen,
    ExportAllDeclaration: seen,
    ExportNamedDeclaration: seen,
    ImportExpression: seen,
  };
}

function arrowFault(from: string, target: string): string | undefined {
  if (/^(scripts|tests)\//.test(target)) return `${from} may not import ${target.split("/")[0]}/`;
  const [here, there] = [roomOf(from), roomOf(target)];
  if (here === undefined || there === undefined || here === there) return undefined;
  if (rankOf(there) < 0) return `${there} is no room of the house`;
  return rankOf(there) < rankOf(here) ? undefined : `${here} may not import ${there}`;
}

const arrow: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(context);
    if (!/^(lib|kernels|cli)\//.test(path)) return {};
    return onImports((node, specifier) => {
      const target = targetOf(path, specifier);
      const fault = target === undefined ? undefined : arrowFault(path, target);
      if (fault === undefined) return;
      const order = ROOMS.map((rooms) => rooms.join(", ")).join(" < ");
      context.report({ node, message: fault, hint: `a room imports rooms to its left: ${order}` });
    });
  },
};

const cheapSpec: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(context);
    if (!path.endsWith(".spec.ts")) return {};
    return onImports((node, specifier) => {
      const lazy = node.type === "ImportExpression";
      const typeOnly = node.type === "ImportDeclaration" && node.importKind === "type";
      const target = targetOf(path, specifier);
      if (lazy || typeOnly || (target !== undefined && CHEAP.test(target))) return;
      context.report({
        node,
        message: `a command's record may not import ${specifier}`,
        hint: "import types, lib/base and what stands beside it; the rest belongs in run()",
      });
    });
  },
};

/** Refuses `object.member` for the given members (all of them without a list). */
function refuseMember(
  context: Deno.lint.RuleContext,
  refused: { object: string; members?: readonly string[]; message: string; hint: string },
): Deno.lint.LintVisitor {
  return {
    MemberExpression(node) {
      if (node.object.type !== "Identifier" || node.object.name !== refused.object) return;
      const member = node.property.type === "Identifier" ? node.property.name : "";
      if (refused.members !== undefined && !refused.members.includes(member)) return;
      const { message, hint } = refused;
      context.report({ node, message: message.replace("%", `${refused.object}.${member}`), hint });
    },
  };
}

const noConsole: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(context);
    if (/^(scripts|tests)\//.test(path)) return {};
    return refuseMember(context, {
      object: "console",
      message: "% prints past the streams of the command line",
      hint: path.startsWith("cli/") ? "write to io.stdout or io.stderr" : "lib/ throws, never logs",
    });
  },
};

const noProcess: Deno.lint.Rule = {
  create(context) {
    if (!/^(lib|kernels)\//.test(pathOf(context))) return {};
    const hint = "only cli/ prints, prompts, exits and reads the environment; take it as an option";
    const message = "% belongs to the command line";
    return {
      ...refuseMember(context, { object: "Deno", members: PROCESS, message, hint }),
      CallExpression({ callee }) {
        if (callee.type !== "Identifier" || !PROMPTS.includes(callee.name)) return;
        context.report({ node: callee, message: message.replace("%", callee.name), hint });
      },
      ...onImports((node, specifier) => {
        if (specifier !== "node:process") return;
        context.report({ node, message: message.replace("%", specifier), hint });
      }),
    };
  },
};

const backendOnly: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(context);
    if (!/^(lib|cli|kernels)\//.test(path) || path.startsWith("lib/backend/")) return {};
    const hint = "only lib/backend opens libraries and modules";
    const found = (node: Deno.lint.Node, name: string) =>
      context.report({ node, message: `${name} belongs to lib/backend`, hint });
    return {
      'MemberExpression[object.name="Deno"][property.name="dlopen"]'(node: Deno.lint.Node) {
        found(node, "Deno.dlopen");
      },
      'MemberExpression[object.name="WebAssembly"]'(node: Deno.lint.Node) {
        found(node, "WebAssembly");
      },
    };
  },
};

const fileName: Deno.lint.Rule = {
  create(context) {
    return {
      Program(node) {
        const parts = pathOf(context).split("/");
        const file = parts.at(-1)!.replace(/(\.spec|\.generated)?\.(ts|mjs)$/, "");
        for (const name of [...parts.slice(0, -1), file]) {
          const range: [number, number] = [node.range[0], node.range[0]];
          if (NAMELESS.test(name)) {
            context.report({ range, message: `"${name}" says nothing`, hint: "name its one idea" });
          } else if (name === file && !/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name)) {
            context.report({ range, message: `"${name}" is not snake_case` });
          }
        }
      },
    };
  },
};

type AnyFunction =
  | Deno.lint.FunctionDeclaration
  | Deno.lint.FunctionExpression
  | Deno.lint.ArrowFunctionExpression;

const functionLength: Deno.lint.Rule = {
  create(context) {
    if (pathOf(context).endsWith(".generated.ts")) return {};
    const check = (node: AnyFunction) => {
      const lines = context.sourceCode.getText(node).split("\n").length;
      if (lines <= LONGEST_FUNCTION) return;
      const range: [number, number] = [node.range[0], node.range[0] + 1];
      const message = `a function of ${lines} lines; ${LONGEST_FUNCTION} are allowed`;
      context.report({ range, message, hint: "name its parts" });
    };
    return {
      FunctionDeclaration: check,
      FunctionExpression: check,
      ArrowFunctionExpression: check,
    };
  },
};

function isOptions(parameter: Deno.lint.Parameter): boolean {
  if (parameter.type === "AssignmentPattern") {
    return isOptions(parameter.left as Deno.lint.Parameter);
  }
  if (parameter.type === "ObjectPattern") return true;
  return parameter.type === "Identifier" && /options$/i.test(parameter.name);
}

const positional: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(context);
    if (!path.startsWith("lib/") || path.endsWith(".generated.ts")) return {};
    return {
      ExportNamedDeclaration({ declaration }) {
        if (declaration?.type !== "FunctionDeclaration") return;
        const { params, id } = declaration;
        const named = params.length > MOST_POSITIONAL && isOptions(params[MOST_POSITIONAL]!);
        if (params.length <= MOST_POSITIONAL + (named ? 1 : 0)) return;
        context.report({
          node: id ?? declaration,
          message: `${id?.name} takes ${params.length} positional arguments`,
          hint: "at most two, then one options object",
        });
      },
    };
  },
};

/** The house rules as a plugin of `deno lint`. */
const plugin: Deno.lint.Plugin = {
  name: "llamero",
  rules: {
    arrow,
    "backend-only": backendOnly,
    "cheap-spec": cheapSpec,
    "file-name": fileName,
    "function-length": functionLength,
    "no-console": noConsole,
    "no-process": noProcess,
    positional,
  },
};

export default plugin;
