#!/usr/bin/env bash
# Generates the Swift of every .proto file beside it. The generators are built from the packages
# that the daemon uses, so that code and library fit; that takes minutes, so they are kept.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$root"

swift package resolve >/dev/null
generator() { # CHECKOUT PRODUCT: builds it once for each version, prints where it is
  local checkout=.build/checkouts/$1 product=$2 hash
  hash=$(git -C "$checkout" rev-parse HEAD | cut -c1-16)
  local kept=$cache/protoc/$product-$hash
  if [ ! -x "$kept" ]; then
    scripts/step.sh "$product" "Building $product" \
      swift build -c release --package-path "$checkout" --scratch-path "$root/.build-$product" --product "$product" >&2
    mkdir -p "$cache/protoc"
    cp "$root/.build-$product/release/$product" "$kept"
  fi
  echo "$kept"
}
messages=$(generator swift-protobuf protoc-gen-swift)
services=$(generator grpc-swift-protobuf protoc-gen-grpc-swift-2)

for proto in $(git ls-files '*.proto'); do
  directory=$(dirname "$proto")
  protoc --proto_path="$directory" "$(basename "$proto")" \
    --plugin=protoc-gen-swift="$messages" --swift_out="$directory" --swift_opt=Visibility=Public \
    --plugin=protoc-gen-grpc-swift-2="$services" --grpc-swift-2_out="$directory" \
    --grpc-swift-2_opt=Visibility=Public
  echo "    $proto"
done
