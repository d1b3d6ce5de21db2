#!/usr/bin/env bash
# Builds, checks and benchmarks the CUDA backend on a machine with an NVIDIA GPU, in one call:
#
#     scripts/gpu.sh pack      on any machine: puts Deno and the packages into .gpu, to be carried along
#     scripts/gpu.sh [OUT]     on the GPU machine, which may be bare; results go to OUT (default .gpu/out)
#
# Without nvcc there, carry kernels/cuda/built as well.
set -u
cd "$(dirname "$0")/.." || exit 1

if [ "${1:-}" = pack ]; then
  mkdir -p .gpu
  deno=$(deno eval 'console.log(Deno.execPath())') || exit 1
  xz -T0 -c "$deno" >.gpu/deno.xz
  deno install --quiet && tar -cJf .gpu/node_modules.tar.xz node_modules
  ls -l .gpu
  exit
fi

out=${1:-.gpu/out}
mkdir -p "$out"
if ! command -v deno >/dev/null; then
  xz -dc .gpu/deno.xz >/tmp/deno && chmod +x /tmp/deno || exit 1
  PATH="/tmp:$PATH"
fi
[ -d node_modules ] || [ ! -f .gpu/node_modules.tar.xz ] || tar -xJf .gpu/node_modules.tar.xz
export DENO_NO_UPDATE_CHECK=1 NO_COLOR=1

# Runs one part, keeps all that it prints, and shows the end of it.
part() {
  name=$1
  shift
  echo "== $name"
  timeout "${LIMIT:-300}" "$@" >"$out/$name.log" 2>&1
  echo "exit code $?" >>"$out/$name.log"
  tail -n 25 "$out/$name.log"
}

nvidia-smi --query-gpu=name,driver_version --format=csv
if command -v nvcc >/dev/null; then part build deno task build:cuda; fi
part doctor deno task llamero doctor
part kernels deno test -A --filter "(cuda)" tests/kernels tests/backend
part models deno test -A --filter "(cuda)" tests/infer/probe_test.ts tests/model/training tests/train
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    part "$tool" compute-sanitizer --tool "$tool" --target-processes all \
      deno test -A --filter "agrees with double precision (cuda)" tests/kernels/kernels_test.ts
  done
fi
# Every mesh as virtual ranks on one GPU, and a process for each GPU (NCCL with one rank is among the kernels).
part ranks deno run -A scripts/gpu_ranks.ts
part bench deno run -A scripts/bench/gpu.ts
