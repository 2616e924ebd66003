# Shared by the runs. Settings, all from the environment:
#   BIN     folder with what build.sh has made        DEVICE  a name that backend.Open knows, default cuda
#   OUT     folder for what is to be kept             WORK    folder for checkpoints, default /dev/shm/omnidocs
#   SHAPES  of randommodel, the first is the small one, default "2b 8b"
#   DTYPE   of the weights, default bfloat16          TOKENS  new tokens a page, default 128
#   BATCHES default "1,8,32,96"                       PAGE    page size of 1,024 visual tokens, default 896x1168
#   XLA_FLAGS of the machine's; those of a step are added to them
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
BIN=${BIN:-$here/bin} OUT=${OUT:-$here/out} DEVICE=${DEVICE:-cuda} WORK=${WORK:-/dev/shm/omnidocs} SHAPES=${SHAPES:-2b 8b}
DTYPE=${DTYPE:-bfloat16} TOKENS=${TOKENS:-128} BATCHES=${BATCHES:-1,8,32,96} PAGE=${PAGE:-896x1168}
[[ -d $BIN || ! -f $here/bin.tar.gz ]] || tar -C "$here" -xzf "$here/bin.tar.gz"
mkdir -p "$OUT" "$WORK" "$OUT/autotune"
results=$OUT/results.jsonl log=$OUT/log.txt
export GOMLX_NO_AUTO_INSTALL=1
flags=${XLA_FLAGS:-}
# What was tuned is kept for later processes; the folder must exist.
[[ $DEVICE == *cuda* ]] && flags="$flags --xla_gpu_per_fusion_autotune_cache_dir=$OUT/autotune"

# step NAME SECONDS COMMAND… runs a step under its own time limit. A line of its end and each JSON line that it prints go to
# results.jsonl as they come, everything to log.txt. It never stops the run.
step() {
	local name=$1 limit=$2 start=$SECONDS status line
	shift 2
	echo "=== $run: $name" | tee -a "$log"
	# Trimmed: of blanks alone XLA takes the name of a file.
	XLA_FLAGS=$(echo $flags) timeout -k 5 "$limit" "$@" 2>>"$log" </dev/null | tee -a "$log" | while IFS= read -r line; do
		[[ $line == '{'* ]] && echo "{\"run\":\"$run\",\"step\":\"$name\",${line#\{}" >>"$results"
	done
	status=${PIPESTATUS[0]}
	echo "{\"run\":\"$run\",\"step\":\"$name\",\"status\":$status,\"seconds\":$((SECONDS - start))}" | tee -a "$results"
	return 0
}

# with FLAGS… before a step adds flags of XLA's to it.
with() {
	local kept=$flags
	flags="$flags $1"
	shift
	"$@"
	flags=$kept
}

# checkpoint SHAPE makes a random checkpoint, once.
checkpoint() {
	[[ -f $WORK/$1/config.json ]] || step "checkpoint $1" 240 "$BIN/randommodel" -shape "$1" -out "$WORK/$1" -golden "$root/qwen/testdata/golden/qwen3_vl"
}

# bench NAME SECONDS SHAPE FLAGS… measures.
bench() {
	local name=$1 limit=$2 shape=$3
	shift 3
	step "$name" "$limit" "$BIN/bench" -model "$WORK/$shape" -device "$DEVICE" -dtype "$DTYPE" -new-tokens "$TOKENS" -size "$PAGE" "$@"
}

# tests NAME SECONDS PACKAGE PATTERN runs tests in the package's folder, where their data is.
tests() {
	step "$1" "$2" env -C "$root/$3" OMNIDOCS_DEVICE="$DEVICE" "$BIN/$(basename "$3").test" -test.run "$4" -test.v
}
